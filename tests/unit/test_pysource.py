"""Code shown on a page is the library's, without its docstrings and the checks of arguments."""

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
    assert pysource.source_of(TEXT, "A.f")[0] == "def f(self):\n    return 1  # one"
    assert pysource.source_of(TEXT, "A.g")[0].endswith('return "not a docstring"')
    whole, checked = pysource.source_of(TEXT, "A")
    assert not checked
    assert "What" not in whole
    assert "return 1" in whole


CHECKED = """
def f(n, names):
    check_count(n=n)
    if n % 2:
        raise ValueError("odd")
    for name in names:
        if not name:
            raise ValueError("empty")
    if n > 4:
        n = 4
    for name in names:
        if name == "stop":
            return n
    if n == 0:
        raise RuntimeError("nothing is left to return")
"""


def test_checks_of_arguments_go_and_what_computes_stays():
    code, checked = pysource.source_of(CHECKED, "f")
    assert checked and code.splitlines() == [
        "def f(n, names):",
        "    if n > 4:",
        "        n = 4",
        "    for name in names:",
        '        if name == "stop":',
        "            return n",
        "    if n == 0:",
        '        raise RuntimeError("nothing is left to return")',
    ]


def test_a_name_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"'A.h': 'h' is not defined"):
        pysource.source_of(TEXT, "A.h")


def test_what_the_page_shows_of_the_library_still_runs():
    text = (ROOT / "course_lib/costs/cache.py").read_text(encoding="utf-8")
    code, checked = pysource.source_of(text, "kv_cache_bytes")
    assert checked
    assert code.startswith("def kv_cache_bytes(")
    assert code.endswith("return 2 * batch * tokens * kv_heads * head_dim * layers * bytes_per_element")
