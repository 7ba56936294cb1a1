"""What a notebook of the course holds: it was run from top to bottom, and every part does its work."""

import ast
import re
from itertools import pairwise

import pytest

from .repository import ROOT, code_cells, ids, notebook, notebooks, source, tags

NOTEBOOKS = notebooks()
LONGEST_CELL = 30
REMOVED = "remove-cell"
LARGEST = 500_000

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=ids(NOTEBOOKS))


def outputs(path) -> list[dict]:
    return [output for cell in code_cells(path) for output in cell["outputs"]]


@each_notebook
def test_it_was_run_from_top_to_bottom(path):
    counts = [cell["execution_count"] for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))
    assert outputs(path)


@each_notebook
def test_it_ran_without_error_and_without_a_word_on_stderr(path):
    loud = [o for o in outputs(path) if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert loud == []


@each_notebook
def test_it_is_small_and_its_cells_are_short(path):
    assert (ROOT / path).stat().st_size <= LARGEST
    shown = [cell for cell in code_cells(path) if REMOVED not in tags(cell)]
    lines = {source(cell)[:40]: source(cell).count("\n") + 1 for cell in shown}
    assert {start: count for start, count in lines.items() if count > LONGEST_CELL} == {}


def only_records(cell) -> bool:
    """Say whether a code cell holds one call of `record` and nothing else."""
    body = ast.parse(source(cell)).body
    return len(body) == 1 and calls_record(body[0])


def calls_record(statement) -> bool:
    call = getattr(statement, "value", None)
    return isinstance(call, ast.Call) and getattr(call.func, "id", "") == "record"


@each_notebook
def test_a_cell_that_only_records_is_not_on_the_page_and_no_other_is_removed(path):
    for cell in code_cells(path):
        assert only_records(cell) == (REMOVED in tags(cell)), source(cell)[:60]


@each_notebook
def test_values_are_recorded_by_the_last_statement_in_as_few_cells_as_may_be(path):
    cells = notebook(path)["cells"]
    for cell in code_cells(path):
        *before, _ = ast.parse(source(cell)).body or [None]
        assert [s for s in before if calls_record(s)] == [], "record is the last statement"
    removed = [cell["cell_type"] == "code" and only_records(cell) for cell in cells]
    assert [i for i, pair in enumerate(pairwise(removed)) if all(pair)] == [], "adjacent: one call does it"


@each_notebook
def test_it_asserts_and_some_of_its_outputs_are_checked(path):
    cells = code_cells(path)
    assert any(re.search(r"^\s*assert\b|assert_close\(", source(cell), flags=re.M) for cell in cells)
    checked = [cell for cell in cells if "nbval-check-output" in tags(cell)]
    assert checked
    assert [source(cell)[:60] for cell in checked if not cell["outputs"]] == [], "checked, but nothing stored"


@each_notebook
def test_every_figure_says_what_it_shows(path):
    for output in outputs(path):
        data = output.get("data", {})
        html = "".join(data.get("text/html", ""))
        images = re.findall(r"<img\b[^>]*>", html)
        assert [tag[:80] for tag in images if not re.search(r'\balt="[^"]{10,}"', tag)] == []
        assert not {"image/png", "image/svg+xml", "image/jpeg"} & set(data) or images, "use kit.plotting.show"


@each_notebook
def test_its_stored_form_does_not_depend_on_who_ran_it(path):
    metadata = notebook(path)["metadata"]
    assert metadata["kernelspec"] == {"name": "python3", "display_name": "Python 3", "language": "python"}
    assert set(metadata) <= {"kernelspec", "language_info", "widgets", "mystnb"}
    assert all("execution" not in cell["metadata"] for cell in notebook(path)["cells"])


@each_notebook
def test_it_opens_with_its_title(path):
    first = notebook(path)["cells"][0]
    assert first["cell_type"] == "markdown" and source(first).startswith("# ")
