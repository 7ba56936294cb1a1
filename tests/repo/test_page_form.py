"""The form of a chapter's page: not too long, few numbers, exercises in the flow, a picture before a formula.

A chapter that is rewritten joins. One that is read in two pages (chapter 1) is held to each page's length and
order, and its exercises and diagrams are counted together.
"""

import re

import pytest

from .repository import text

CHAPTERS = {
    "00_why_architecture": ["00_why_architecture"],
    "01_prototypes": ["01_prototypes", "01_families_and_blocks"],
    "03_kv_cache": ["03_kv_cache"],
    "04_moe": ["04_moe"],
    "05_ssm": ["05_ssm"],
    "09_hybrids": ["09_hybrids"],
    "06_long_context": ["06_long_context"],
}
PAGES = [page for pages in CHAPTERS.values() for page in pages]
MOST_WORDS, WORDS_A_NUMBER, EXERCISES, DIAGRAMS = 4500, 80, 18, 6
PRIVATE = ["the guide", "word table", "chapter 6"]
END_OF_PAGE = ["When it loses, and how it fails", "Takeaways"]
END_OF_CHAPTER = [
    "When it loses, and how it fails",
    "Problems",
    "Takeaways",
    "Cards",
    "Claims, judged",
    "Symbols",
    "Sources",
]

each_page = pytest.mark.parametrize("page", [text(f"book/{page}.md") for page in PAGES], ids=PAGES)
each_chapter = pytest.mark.parametrize(
    "pages", [[text(f"book/{page}.md") for page in pages] for pages in CHAPTERS.values()], ids=CHAPTERS
)


def read(page: str) -> str:
    """Return what a reader reads: no code, no formula, no directive's own lines, a link by its words.

    >>> read("(a)=\\n## One $x$ [two](#b)\\n:::{exercise} Three\\n:label: c\\nfour\\n:::").split()
    ['##', 'One', 'two', 'Three', 'four']
    """
    page = re.sub(r"^```\{(?:cards|ledger|calculator|pysource)\}.*?^```$", "", page, flags=re.S | re.M)
    page = re.sub(
        r"^(?:```|:::)\{\w+\} ?(?:\d\S*|[a-z]\w*_\w*|(?:kv|why|proto|moe|ssm|hyb|long)-\S*|tip)?(.*)$",
        r"\1",
        page,
        flags=re.M,
    )
    page = re.sub(r"^(?:```|:::|:\w+:.*|\(\S+\)=)$", "", page, flags=re.M)
    page = re.sub(r"\$\$.*?\$\$(?: *\(\S+\))?|\$[^$]*\$|\{(?:cite|eq)\}`[^`]*`", "", page, flags=re.S)
    page = re.sub(r"\(?\{numref\}`[^`]*`\)?", "", page)  # pointing at a figure is no reading
    page = re.sub(r"\{(?:measured|doc)\}`[^`]*`", "number", page)
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


@each_chapter
def test_exercises_stand_in_the_flow_with_folded_answers(pages):
    page = "\n".join(pages)
    asked = re.findall(r"^:::\{exercise\} .+\n:label: (\S+)$", page, flags=re.M)
    told = re.findall(r"^:::\{solution\} (\S+)\n:class: dropdown$", page, flags=re.M)
    assert asked == told and len(set(asked)) == len(asked) >= EXERCISES
    sections = page.split("\n## ")
    assert sum("{exercise}" in section for section in sections) >= 8


@each_chapter
def test_a_third_of_the_exercises_are_estimates_on_the_hybrid(pages):
    """Of Qwen3.5-35B-A3B, the configuration that runs through the course; their labels say so."""
    asked = re.findall(r"^:label: (\S+)\n(.*?)^:::$", "\n".join(pages), flags=re.M | re.S)
    on_it = [label for label, words in asked if "-hybrid-" in label and "Qwen3.5" in words]
    assert 3 * len(on_it) >= len(asked)
    assert len(on_it) == sum("-hybrid-" in label for label, _ in asked)


@each_page
def test_a_picture_comes_before_the_formula(page):
    """In each section with a diagram, the diagram stands before the first displayed formula."""
    drawn = [section for section in re.split(r"^## ", page, flags=re.M) if "{diagram}" in section]
    assert [s[:30] for s in drawn if "$$" in s and s.index("$$") < s.index("{diagram}")] == []


@each_chapter
def test_it_has_diagrams(pages):
    assert len(re.findall(r"\{diagram\}", "\n".join(pages))) >= DIAGRAMS


@each_page
def test_a_figure_is_referred_to_before_it_stands(page):
    """By its number, in the text above it: each diagram, each figure and table of a notebook."""
    shown = re.finditer(r"^```\{(?:diagram|output|table)\}.*\n:name: (\S+)$", page, flags=re.M)
    assert [name[1] for name in shown if f"{{numref}}`{name[1]}`" not in page[: name.start()]] == []


@each_page
def test_it_does_not_point_at_what_is_below(page):
    said = re.findall(r"\b(?:figure|table|picture|diagram)s? (?:below|above)\b", page, flags=re.I)
    assert said == []


@each_chapter
def test_the_parts_come_in_the_order_of_every_chapter(pages):
    heads = [re.findall(r"^## (.+)$", page, flags=re.M) for page in pages]
    assert heads[-1][-len(END_OF_CHAPTER) :] == END_OF_CHAPTER
    assert [h for h in heads[:-1] if h[-len(END_OF_PAGE) :] != END_OF_PAGE] == []
