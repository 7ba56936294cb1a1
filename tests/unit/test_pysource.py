"""Code shown on a page is the library's, less its docstrings."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("pysource", ROOT / "book" / "_ext" / "pysource.py")
pysource = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pysource)

TEXT = '''
class A:
    """What A is."""

    def f(self):
        """What f does.

        >>> 1
        """
        return 1  # one

    def g(self):
        return "not a docstring"
'''


def test_docstrings_go_and_the_rest_stays():
    assert pysource.source_of(TEXT, "A.f") == "def f(self):\n    return 1  # one"
    assert pysource.source_of(TEXT, "A.g").endswith('return "not a docstring"')
    whole = pysource.source_of(TEXT, "A")
    assert "What" not in whole
    assert "return 1" in whole


def test_a_name_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"'A.h': 'h' is not defined"):
        pysource.source_of(TEXT, "A.h")


def test_what_the_page_shows_of_the_library_still_runs():
    text = (ROOT / "course_lib/costs/cache.py").read_text(encoding="utf-8")
    code = pysource.source_of(text, "kv_cache_bytes")
    assert code.startswith("def kv_cache_bytes(")
    assert code.endswith("return 2 * batch * tokens * kv_heads * head_dim * layers * bytes_per_element")
