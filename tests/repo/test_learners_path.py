"""ARCHITECTURE.md keeps two orders: the floors (test_floors.py), and a learner's path of modules."""

import ast
import re

import pytest

from .repository import ROOT, files, matching, text

PATH = text("ARCHITECTURE.md").split("## A learner's path\n")[1].split("\n## ")[0]
STEPS = re.findall(r"^\d+\. \[`([\w/]+\.py)`\]\(([^)]+)\): +(.+(?:\n   .+)*)", PATH, flags=re.M)
DOCS = [path.as_posix() for path in matching(r"(ARCHITECTURE|CONTRIBUTING|README)\.md")]
FOLDERS = ("course_lib/", "book/", "tests/", "tools/", "labs/", "notebooks/", "benchmarks/")


def test_the_path_is_about_a_dozen_files_each_with_a_sentence():
    assert 10 <= len(STEPS) <= 16
    assert len(STEPS) == len(re.findall(r"^\d+\. ", PATH, flags=re.M))
    assert [file for file, _, said in STEPS if not said.strip().endswith(".")] == []


@pytest.mark.parametrize(("file", "link", "said"), STEPS, ids=[step[0] for step in STEPS])
def test_a_step_is_a_module_and_names_what_is_in_it(file, link, said):
    assert link == f"course_lib/{file}"
    defined = {getattr(node, "name", "") for node in ast.walk(ast.parse(text(link)))}
    assert set(re.findall(r"`(\w+)`", said)) - defined == set()


@pytest.mark.parametrize("path", DOCS)
def test_a_file_or_folder_that_a_document_names_is_there(path):
    there = {p.as_posix() for p in files()}
    there |= {parent.as_posix() for p in files() for parent in p.parents}
    named = [name.rstrip("/") for name in re.findall(r"`([\w./-]+)`", text(path)) if name.startswith(FOLDERS)]
    assert [name for name in named if name not in there and "NN" not in name] == []
    assert (ROOT / path).exists()
