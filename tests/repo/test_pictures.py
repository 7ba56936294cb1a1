"""Every diagram of `course_lib.course.pictures` stands on a page, with a caption and a name."""

import re

import pytest

from course_lib.course.pictures.drawn import names
from tests.repo.repository import ROOT

PAGES = sorted((ROOT / "book").glob("*.md"))
DIAGRAM = re.compile(r"```\{diagram\} (\w+)\n(.*?)```", re.DOTALL)
SHOWN = [(page.name, *found) for page in PAGES for found in DIAGRAM.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("name", names())
def test_a_diagram_is_shown(name):
    assert name in {shown for _, shown, _ in SHOWN}


@pytest.mark.parametrize(("page", "name", "body"), SHOWN, ids=[f"{page}-{name}" for page, name, _ in SHOWN])
def test_its_caption_is_in_whole_sentences(page, name, body):
    assert re.search(r"^:name: fig-[\w-]+$", body, re.MULTILINE)
    caption = re.sub(r"^:name:.*$", "", body, flags=re.MULTILINE).strip()
    assert len(caption.split()) >= 10 and caption.endswith((".", ".)"))
