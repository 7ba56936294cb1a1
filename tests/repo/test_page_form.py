"""The form of a chapter's page: not too long, few numbers, exercises in the flow, a picture before a formula.

Chapter 3 is the first that has it; a chapter that is rewritten joins.
"""

import re

import pytest

from .repository import text

CHAPTERS = ["03_kv_cache"]
MOST_WORDS, WORDS_A_NUMBER, EXERCISES, DIAGRAMS = 4500, 80, 18, 6
PRIVATE = ["the guide", "word table", "chapter 6"]

each_page = pytest.mark.parametrize(
    "page", [text(f"book/{chapter}.md") for chapter in CHAPTERS], ids=CHAPTERS
)


def read(page: str) -> str:
    """Return what a reader reads: no code, no formula, no directive's own lines, a link by its words.

    >>> read("(a)=\\n## One $x$ [two](#b)\\n:::{exercise} Three\\n:label: c\\nfour\\n:::").split()
    ['##', 'One', 'two', 'Three', 'four']
    """
    page = re.sub(r"^```\{(?:cards|ledger|calculator|pysource)\}.*?^```$", "", page, flags=re.S | re.M)
    page = re.sub(r"^(?:```|:::)\{\w+\} ?(?:\d\S*|[a-z]\w*_\w*|(?:kv|why|proto)-\S*|tip)?(.*)$", r"\1", page, flags=re.M)
    page = re.sub(r"^(?:```|:::|:\w+:.*|\(\S+\)=)$", "", page, flags=re.M)
    page = re.sub(r"\$\$.*?\$\$(?: *\(\S+\))?|\$[^$]*\$|\{(?:cite|eq)\}`[^`]*`", "", page, flags=re.S)
    page = re.sub(r"\{(?:measured|doc|numref)\}`[^`]*`", "number", page)
    return (
        re.sub(r"\]\([^)]*\)", "]", page)
        .replace("|", " ")
        .replace("---", "")
        .replace("[", "")
        .replace("]", "")
    )


def words(page: str) -> int:
    return len(re.findall(r"\w[\w'.,%/*-]*", read(page)))


@each_page
def test_it_is_read_in_one_sitting(page):
    assert words(page) <= MOST_WORDS


@each_page
def test_numbers_are_rare_outside_of_tables(page):
    prose = "\n".join(line for line in page.splitlines() if not line.startswith("|"))
    assert prose.count("{measured}`") * WORDS_A_NUMBER <= words(page)


@each_page
def test_it_is_titled_with_its_number_and_argues_with_nobody(page):
    assert re.search(r"^# \d+\. ", page, flags=re.M)
    assert [word for word in PRIVATE if word in page.lower()] == []


@each_page
def test_exercises_stand_in_the_flow_with_folded_answers(page):
    asked = re.findall(r"^:::\{exercise\} .+\n:label: (\S+)$", page, flags=re.M)
    told = re.findall(r"^:::\{solution\} (\S+)\n:class: dropdown$", page, flags=re.M)
    assert asked == told and len(set(asked)) == len(asked) >= EXERCISES
    sections = page.split("\n## ")
    assert sum("{exercise}" in section for section in sections) >= 8


@each_page
def test_a_picture_comes_before_the_formula(page):
    """In each section with a diagram, the diagram stands before the first displayed formula."""
    drawn = [section for section in re.split(r"^## ", page, flags=re.M) if "{diagram}" in section]
    assert len(re.findall(r"\{diagram\}", page)) >= DIAGRAMS
    assert [s[:30] for s in drawn if "$$" in s and s.index("$$") < s.index("{diagram}")] == []


@each_page
def test_the_parts_come_in_the_order_of_every_chapter(page):
    heads = re.findall(r"^## (.+)$", page, flags=re.M)
    order = [
        "When it loses, and how it fails",
        "Problems",
        "Takeaways",
        "Cards",
        "Claims, judged",
        "Symbols",
        "Sources",
    ]
    assert heads[-len(order) :] == order
