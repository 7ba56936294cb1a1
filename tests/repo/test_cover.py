"""The README's picture and its words are what the library draws and computes."""

import sys

from course_lib.course.pictures.cover import MODELS, cache_gib, shown, words

from .repository import ROOT, text

sys.path.insert(0, str(ROOT / "tools"))

import draw_cover


def test_the_words_are_those_of_the_numbers():
    assert f"![{words()}](book/_static/cover.svg)" in text("README.md")


def test_the_file_is_the_drawing():
    assert text("book/_static/cover.svg") == draw_cover.drawn()


def test_the_picture_says_what_each_model_keeps():
    drawn = draw_cover.drawn()
    assert all(f">{shown(cache_gib(model, 131072))}</text>" in drawn for model, *_ in MODELS)


def test_the_file_follows_the_reader_s_light_or_dark_system():
    assert "prefers-color-scheme:dark" in draw_cover.drawn()
