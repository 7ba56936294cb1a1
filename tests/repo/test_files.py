"""What the repository may hold: no machine's paths, no registry's name, nothing large, links that resolve."""

import re

import pytest

from .evidence import anchors
from .repository import ROOT, files, ids, matching, text

LARGEST = 500_000
TEXT = matching(r"(?!.*\.(png|jpg|gif|ico|woff2?|pdf|apkg|safetensors)$).*")
# In pieces, so that this file does not find itself.
MACHINE = re.compile(r"(?<![\w.])/" + r"(?:home|root|Users|work)/|[A-Z]:\\\\" + "Users")
REGISTRY = re.compile("pypi" + r"\.org|python" + r"hosted\.org|npm" + r"js\.(?:org|com)|torch" + r"\.org/whl")
DOCS = matching(r"[A-Z]+\.md")


@pytest.mark.parametrize("path", TEXT, ids=ids(TEXT))
def test_a_file_knows_no_machine_and_no_registry(path):
    content = (ROOT / path).read_text(encoding="utf-8")
    assert MACHINE.findall(content) == []
    assert REGISTRY.findall(content) == []


def test_no_file_is_large():
    assert [path for path in files() if (ROOT / path).stat().st_size > LARGEST] == []


@pytest.mark.parametrize("path", DOCS, ids=ids(DOCS))
def test_the_links_of_a_document_resolve(path):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text(path.as_posix())):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        there = (ROOT / file) if file else (ROOT / path)
        if not there.exists() or (anchor and anchor not in anchors(there.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("path", DOCS, ids=ids(DOCS))
def test_the_pictures_of_a_document_have_alt_text(path):
    content = text(path.as_posix())
    assert re.findall(r"!\[\s*\]\(", content) == []
    assert all("alt=" in tag for tag in re.findall(r"<img[^>]*>", content))


def test_a_make_target_named_in_a_document_exists():
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), flags=re.M))
    named = {name for path in DOCS for name in re.findall(r"`make ([a-z-]+)", text(path.as_posix()))}
    assert named - targets == set()
    assert {"book", "test"} <= named


def test_the_pins_are_for_every_machine():
    pins = [line for line in text("constraints.txt").splitlines() if not line.startswith("#")]
    assert "torch==2.13.0" in pins
    assert [pin for pin in pins if not re.match(r"[\w.-]+==[\w.!]+( ; .+)?$", pin)] == []
    assert [pin for pin in pins if pin.startswith(("nvidia-", "cuda-", "triton"))] == []
    assert text("constraints.txt").startswith("# Made by `make lock`")
