"""The picture on the first page says what the library computes, in the picture and in its words."""

import html
import re
import sys

from .repository import ROOT, text

sys.path.insert(0, str(ROOT / "tools"))

import draw_cover


def test_the_words_are_those_of_the_numbers():
    expected = draw_cover.alt()
    assert f"![{expected}]" in text("README.md")
    assert f":alt: {expected}\n" in text("book/index.md")


def test_the_picture_was_drawn_from_these_numbers():
    described = re.search(r"<dc:description>(.*?)</dc:description>", text("book/_static/cover.svg"), re.S)
    assert html.unescape(described[1]) == draw_cover.alt()
