"""Figures and tables of the pages: each through a directive that numbers it, with a caption and a name."""

import re

import pytest

from .repository import matching, text

PAGES = [path.as_posix() for path in matching(r"book/\d\d_\w+\.md")]
# Tables that stand without a number, by the first words of their head, and why.
FREE = {"| symbol |": "letters of the page, to look up: a heading says what it is"}
DIRECTIVE = re.compile(r"^(`{3,}|:{3,})\{(output|table)\}(.*)\n((?:.*\n)*?)\1$", re.M)


def shown(page: str) -> list[tuple[str, str, str]]:
    """Return kind, argument and body of each figure and table of a page."""
    return [(kind, argument.strip(), body) for _, kind, argument, body in DIRECTIVE.findall(text(page))]


def caption(kind: str, argument: str, body: str) -> str:
    words = argument if kind == "table" else re.sub(r"^:\w+:.*$", "", body, flags=re.M)
    return " ".join(words.split())


@pytest.mark.parametrize("page", PAGES)
def test_no_figure_or_table_stands_without_a_number(page):
    assert "{glue}" not in text(page)


@pytest.mark.parametrize("page", PAGES)
def test_each_has_a_name_and_a_caption_of_whole_sentences(page):
    for kind, argument, body in shown(page):
        said = caption(kind, argument, body)
        assert re.search(r"^:name: (fig|tbl)-[a-z0-9-]+$", body, flags=re.M), argument
        assert said[:1].isupper() or said[:1] in "{$", said
        assert said.endswith((".", ".)")) and len(said.split()) >= 10, said


@pytest.mark.parametrize("page", PAGES)
def test_a_table_of_the_page_stands_in_a_directive(page):
    inside = "\n".join(body for kind, _, body in shown(page) if kind == "table")
    heads = re.findall(r"^(\|.*\|)\n\|[-:| ]+\|$", text(page), flags=re.M)
    assert [head for head in heads if head not in inside and not head.startswith(tuple(FREE))] == []


def test_a_name_is_given_once():
    names = [name for page in PAGES for name in re.findall(r"^:name: ((?:fig|tbl)-\S+)$", text(page), re.M)]
    assert sorted(names) == sorted(set(names))
