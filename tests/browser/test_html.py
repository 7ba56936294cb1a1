"""The built pages as text: all they load lies in the site, links resolve, pictures have alt text."""

from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest
from bs4 import BeautifulSoup

from .conftest import ROOT, SITE
from .test_pages import PAGES, WITH_INDEXES

LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}


@cache
def page(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@cache
def targets(path: Path) -> frozenset[str]:
    """Return what a link to the page may end in."""
    named = (page(path).find_all(attrs={key: True}) for key in ("id", "name"))
    return frozenset(element.get("id") or element["name"] for found in named for element in found)


@pytest.mark.parametrize("name", WITH_INDEXES)
def test_a_page_loads_only_what_lies_in_the_site(name):
    found = [
        element[key]
        for tag, key in LOADS.items()
        for element in page(SITE / name).find_all(tag, **{key: True})
    ]
    local = [url for url in found if not url.startswith("data:")]
    assert [url for url in local if url.startswith(("http:", "https:", "//"))] == []
    folder = (SITE / name).parent
    paths = [unquote(urldefrag(url).url.split("?")[0]) for url in local]
    assert [path for path in paths if path and not (folder / path).exists()] == []


@pytest.mark.parametrize("name", PAGES)
def test_the_links_between_pages_resolve(name):
    here, broken = SITE / name, []
    for link in page(here).select("a[href]"):
        url, anchor = urldefrag(link["href"])
        if ":" in url.split("/")[0] or link["href"] == "#":
            continue
        there = (here.parent / unquote(url)).resolve() if url else here
        known = there.suffix != ".html" or not anchor or unquote(anchor) in targets(there)
        if not there.exists() or not known:
            broken.update(link["href"])
    assert broken == []


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_says_what_it_shows(name):
    pictures = page(SITE / name).select(".bd-article img")
    assert [str(picture)[:120] for picture in pictures if len(picture.get("alt", "").strip()) < 10] == []


NOT_YET = {"book/06_long_context.html", "book/06_long_context_reference.html"}
"""Pages that are written before their notebooks; the table of contents takes both at once."""


def test_every_chapter_notebook_and_lab_has_its_page():
    sources = [*ROOT.glob("book/*.md"), *ROOT.glob("notebooks/*/*.ipynb"), *ROOT.glob("labs/*.ipynb")]
    expected = {path.relative_to(ROOT).with_suffix(".html").as_posix() for path in sources}
    assert "book/index.html" in expected
    assert expected - set(PAGES) == NOT_YET
