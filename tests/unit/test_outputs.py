"""The `{output}` directive: what a notebook shows becomes a numbered figure or table of a page."""

import json
import sys
from pathlib import Path

import pytest
from docutils import nodes

from course_lib.kit.plotting import Shown
from course_lib.kit.tables import table

sys.path.insert(0, str(Path(__file__).parents[2] / "book" / "_ext"))
import outputs

FIGURE = Shown(
    "<svg width='1' wide</svg>".replace("'1'", '"1" height="1"'), "<svg narrow</svg>", "A line.", "fig_a"
)
TABLE = table(["model", "GiB & more"], [["a <b>", 1.5], ["c", ""]], caption="Cache", name="table_a")


@pytest.fixture
def notebook(tmp_path):
    cells = []
    for shown in (FIGURE, TABLE):
        data, metadata = shown._repr_mimebundle_()
        output = {"output_type": "execute_result", "data": data, "metadata": metadata}
        cells.append({"cell_type": "code", "outputs": [output]})
    path = tmp_path / "one.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    return path


def words() -> list[nodes.Node]:
    return [nodes.Text("What to see.")]


def test_a_figure_holds_the_drawing_for_the_site_and_the_words_for_other_forms(notebook):
    found = outputs.read_output(notebook, "fig_a")
    figure = outputs.figure(found, words(), "html")
    drawing, told, caption = figure.children
    assert (
        drawing["format"] == "html" and FIGURE.wide in drawing.astext() and FIGURE.narrow in drawing.astext()
    )
    assert set(told["format"].split()) == {"text", "latex"} and told.astext() == "A line."
    assert isinstance(caption, nodes.caption) and caption.astext() == "What to see."


def test_an_epub_has_the_words_alone(notebook):
    figure = outputs.figure(outputs.read_output(notebook, "fig_a"), words(), "epub")
    assert "svg" not in figure.astext() and "A line." in figure.astext()


def test_a_table_keeps_its_cells_and_heads_its_rows(notebook):
    made = outputs.table(outputs.read_output(notebook, "table_a")["text/html"], words())
    rows = [[entry.astext() for entry in row.findall(nodes.entry)] for row in made.findall(nodes.row)]
    assert rows == [["model", "GiB & more"], ["a <b>", "1.5"], ["c", ""]]
    assert [column.get("stub") for column in made.findall(nodes.colspec)] == [1, None]
    assert made.next_node(nodes.title).astext() == "What to see."


@pytest.mark.parametrize("name", ["fig_b", ""])
def test_an_output_that_is_not_there_is_named(notebook, name):
    with pytest.raises(KeyError, match="0 outputs"):
        outputs.read_output(notebook, name)


def test_an_output_filed_twice_is_refused(notebook):
    held = json.loads(notebook.read_text())
    held["cells"].append(held["cells"][0])
    notebook.write_text(json.dumps(held))
    with pytest.raises(KeyError, match="2 outputs"):
        outputs.read_output(notebook, "fig_a")
