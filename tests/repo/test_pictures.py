"""Every diagram of `course_lib.course.pictures` stands on a page, with a caption and a name."""

import json
import re
from datetime import date

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


def test_all_pairs_of_the_gallery_were_drawn_without_a_fault_on_a_day():
    """`make gallery-check`, outside of CI. New models may have come since: their pairs are drawn in CI."""
    found = json.loads((ROOT / "tools" / "gallery_check.json").read_text(encoding="utf-8"))
    assert date.fromisoformat(found["date"]) and found["pairs_with_a_fault"] == 0
    assert found["pairs"] == found["models"] * (found["models"] - 1) // 2 > 2000
    assert re.fullmatch("[0-9a-f]{40}", found["specs_commit"])
