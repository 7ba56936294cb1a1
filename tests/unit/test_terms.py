"""Terms are read from headers or refused by file and line; where a small course teaches them is found."""

import json

import pytest
import yaml

from course_lib.course.terms.headers import Term, coming_terms, header_terms, homes, read_terms, slug
from course_lib.course.terms.mentions import found_in, of_topic
from course_lib.course.terms.places import Course
from course_lib.course.terms.uses import used_names, uses

CODE = """
CAUSAL = 1
EMPTY: int = -1

def attend():
    pass

class Ring:
    def update(self):
        pass
"""
GOOD = """    GQA, grouped-query attention: g KV heads: each shared
        by h / g query heads -> attend, Ring.update
    causal mask: never a later key -> CAUSAL, EMPTY"""


def module(block: str, after: str = "") -> str:
    return f'"""Attention.\n\nSymbols.\n\nTerms:\n{block}\n{after}"""\n{CODE}'


def test_a_header_is_read_with_its_lines():
    gqa, mask = header_terms(module(GOOD), "forms.py")
    assert gqa.names == ("GQA", "grouped-query attention")
    assert gqa.means == "g KV heads: each shared by h / g query heads"
    assert (gqa.targets, gqa.where, mask.where) == (("attend", "Ring.update"), "forms.py:6", "forms.py:8")
    assert mask.targets == ("CAUSAL", "EMPTY")


def test_a_module_without_a_block_has_no_terms():
    assert header_terms('"""Attention.\n"""\n', "forms.py") == header_terms("x = 1\n", "forms.py") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (module("    GQA: shared keys"), "forms.py:6: .*name, other name"),
        (module("    GQA -> attend"), "forms.py:6: .*name, other name"),
        (module("    GQA: shared keys -> attended"), "forms.py:6: GQA: the module defines no 'attended'"),
        (module("    GQA: shared keys -> Ring.read"), "forms.py:6: .*no 'Ring.read'"),
        (module("    GQA, : shared keys -> attend"), "forms.py:6: names"),
        (module("  GQA: shared keys -> attend"), "forms.py:6: .*4 spaces"),
        (module("        GQA: shared keys -> attend"), "forms.py:6: .*4 spaces"),
        (
            module("    GQA: shared keys -> attend", after="\nSource: a paper.\n"),
            "forms.py:7: .*ends the docstring",
        ),
        (module("    a: b -> attend\n\n    c: d -> attend"), "forms.py:7: .*ends the docstring"),
        (module("    a: b -> attend\n\nTerms:\n    c: d -> attend"), "forms.py:8: a second"),
        (module(""), "forms.py:5: the `Terms:` block is empty"),
    ],
)
def test_a_block_that_is_not_in_order_is_refused_by_file_and_line(text, message):
    with pytest.raises(ValueError, match=message):
        header_terms(text, "forms.py")


def test_a_term_has_one_home():
    one, two = Term(("GQA",), "", ("a",), "a.py", 3), Term(("heads", "gqa"), "", ("b",), "b.py", 4)
    with pytest.raises(ValueError, match=r"b\.py:4: 'gqa' has a home already: a\.py:3"):
        homes([one, two])
    with pytest.raises(ValueError, match="has a home already"):
        homes([Term(("byte pair", "byte-pair"), "", ("b",), "b.py", 4)])
    assert homes([one])["gqa"] is one


def test_terms_to_come_are_read_or_refused(tmp_path):
    (tmp_path / "book").mkdir()
    listed = tmp_path / "book" / "terms_to_come.yml"
    listed.write_text(yaml.safe_dump([{"names": ["S4"], "means": "a recurrence", "chapter": "05_ssm"}]))
    (term,) = coming_terms(tmp_path)
    assert (term.name, term.chapter, term.module, term.targets) == ("S4", "05_ssm", "", ())
    listed.write_text(yaml.safe_dump([{"names": ["S4"], "means": "", "chapter": "five"}]))
    with pytest.raises(ValueError, match="means: empty") as refused:
        coming_terms(tmp_path)
    assert "entry 1: chapter='five'" in str(refused.value)
    listed.write_text("- S4\n")
    with pytest.raises(ValueError, match="entry 1: 'S4': allowed is a mapping"):
        coming_terms(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("sliding window", "Sliding-window attention, a sliding\nwindow, two sliding windows", 3),
        ("RoPE", "a rope, RoPE, RoPE's, ropes", 2),
        ("decode", "decoder, decode", 1),
        ("attention", "FlashAttention, cross-attention", 0),
        ("top-p", "top-p and top-priority", 1),
    ],
)
def test_a_name_is_found_as_words(name, text, count):
    assert len(found_in((name,), text)) == count


def test_a_topic_is_about_a_term_by_its_whole_name():
    flash = Term(("FlashAttention", "tiled attention"), "", ("f",), "flash.py")
    assert of_topic(flash, "flashattention") and not of_topic(flash, "attention-cost-q8")
    assert not of_topic(Term(("S4",), "", (), "x"), "s40-models")


@pytest.fixture
def course(tmp_path):
    """A course of one page, one notebook, one lab and two cards, and the terms of one module."""
    for folder in (
        "book/topics",
        "book/cards",
        "notebooks/03_kv",
        "labs/source",
        "course_lib/course/labs/lab03",
    ):
        (tmp_path / folder).mkdir(parents=True)
    library = tmp_path / "course_lib"
    block = '"""X.\n\nTerms:\n    MHA: own heads -> attend\n    GQA: shared heads -> attend\n'
    (library / "forms.py").write_text(block + '    ring: slots -> Ring.update\n"""\n' + CODE)
    (library / "__init__.py").write_text("from course_lib.forms import attend\n")
    (library / "course/labs/lab03/rings.py").write_text(
        "from course_lib.forms import Ring\n\nRing().update()\n"
    )
    page = (
        "(ch-kv)=\n# Caches\nGQA once.\n(kv-symbols)=\n## Symbols\nGQA GQA\n(kv-code)=\n## The code\n"
        "```{pysource} course_lib/forms.py attend\n```\n```python\n# not a heading\n```\n"
        "(kv-cards)=\n## Cards\nGQA\n"
    )
    (tmp_path / "book/03_kv.md").write_text(page)
    topics = [{"id": "ring", "covered": [{"lab": "03_kv", "exercise": "exercise-1"}]}]
    (tmp_path / "book/topics/03_kv.yml").write_text(yaml.safe_dump(topics))
    cards = [
        {"id": "a", "topics": ["ring"], "question": "Why?", "answer": "So."},
        {
            "id": "b",
            "topics": ["x"],
            "question": "Q",
            "options": [{"text": "GQA", "correct": True}, {"text": "MHA"}],
        },
    ]
    (tmp_path / "book/cards/03_kv.yml").write_text(yaml.safe_dump(cards))
    write(
        tmp_path / "notebooks/03_kv/01_heads.ipynb",
        "# Heads?",
        "%matplotlib inline\nfrom course_lib import attend",
        "attend()",
    )
    exercise = {
        "cell_type": "code",
        "source": "rings.check()",
        "metadata": {"nbgrader": {"grade_id": "exercise-1"}},
    }
    write(
        tmp_path / "labs/source/03_kv.ipynb",
        "# Lab\n",
        "from course_lib.course.labs.lab03 import rings",
        "## Exercise 1: slots (5 minutes, ★☆☆)\nWrite.",
        exercise,
        "## Exercise 2: other (5 minutes, ★☆☆)\nWrite.",
        "1 + 1",
    )
    return Course.read(tmp_path, read_terms(tmp_path))


def write(path, *cells):
    """Write a notebook: text that starts with # is Markdown, other text code."""
    made = [
        cell
        if isinstance(cell, dict)
        else {"cell_type": "markdown" if cell[0] == "#" else "code", "source": cell, "metadata": {}}
        for cell in cells
    ]
    path.write_text(json.dumps({"cells": made}))


def taught(course, name):
    return course.taught(homes(course.terms)[slug(name)])


def test_a_listing_and_a_use_count_for_the_first_term_of_shared_code(course):
    first, second = taught(course, "MHA"), taught(course, "GQA")
    assert [place.anchor for place in first.pages] == ["kv-code"]
    assert [place.number for place in first.notebooks] == ["3.1"]
    assert (second.pages, second.notebooks) == ((), ())
    assert [place.anchor for place in second.named] == ["ch-kv"]


def test_an_exercise_counts_by_its_topic_and_by_the_code_of_its_check(course):
    (exercise,) = taught(course, "ring").labs
    assert (exercise.title, exercise.anchor) == ("Exercise 1: slots", "Exercise 1: slots (5 minutes, ★☆☆)")
    assert uses(exercise.used, "course_lib.forms", ("Ring.update",)) > 0


def test_a_card_counts_by_its_topic_or_its_right_answer(course):
    assert [len(taught(course, name).cards) for name in ("ring", "GQA", "MHA")] == [1, 1, 0]
    assert taught(course, "ring").cards[0].anchor == "kv-cards"


def test_uses_are_found_through_aliases_modules_and_packages(tmp_path):
    (tmp_path / "course_lib").mkdir()
    (tmp_path / "course_lib/__init__.py").write_text("from course_lib.forms import attend\n")
    code = (
        "from course_lib import attend as a\nfrom course_lib.layers import masks\n"
        "import course_lib.costs.cache as c\n"
        "import torch\na()\na()\nmasks.CAUSAL\nc.kv()\ntorch.zeros(1)\n"
    )
    used = used_names(tmp_path, code)
    assert used["course_lib.forms", "attend"] == 2
    assert used["course_lib.layers.masks", "CAUSAL"] == used["course_lib.costs.cache", "kv"] == 1
    assert uses(used, "course_lib.forms", ("Ring.update",)) == 0
