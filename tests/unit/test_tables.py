"""A table keeps its cells, escapes them, and refuses rows that do not fit its head."""

import pytest

from course_lib.kit.tables import table


def test_cells_are_escaped_and_headed():
    shown = table(["a < b", "GiB"], [["<x>", 1.5]], caption="R&D", name="t_one")._repr_html_()
    assert '<th scope="col">a &lt; b</th>' in shown
    assert '<th scope="row">&lt;x&gt;</th><td>1.5</td>' in shown
    assert "<caption>R&amp;D</caption>" in shown


def test_the_name_travels_as_glue_expects():
    bundle, metadata = table(["a"], [["x"]], caption="c", name="t_one")._repr_mimebundle_()
    assert metadata == {"scrapbook": {"name": "t_one", "mime_prefix": ""}}
    assert bundle["text/plain"] == "c\na\nx"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"caption": " "}, "caption="),
        ({"name": "a b"}, "name="),
        ({"rows": [["x", "y"]]}, "has 2 cells; allowed are 1"),
    ],
)
def test_bad_input_names_the_argument(change, message):
    arguments = {"head": ["a"], "rows": [["x"]], "caption": "c"} | change
    with pytest.raises(ValueError, match=message):
        table(**arguments)
