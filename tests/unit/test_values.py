"""A recorded value survives the notebook round trip, and bad ones are refused by name."""

import json

import pytest

from course_lib.kit.values import MIME, read_values, record


def write_notebook(path, *values):
    cells = [{"cell_type": "code", "outputs": [{"data": v._repr_mimebundle_()}]} for v in values]
    path.write_text(json.dumps({"cells": cells}))
    return path


def test_round_trip_keeps_the_unrounded_value(tmp_path):
    stored = record("share", 1 / 3, "of bytes", digits=2)
    found = read_values(write_notebook(tmp_path / "a.ipynb", stored))
    assert found == {"share": stored}
    assert found["share"].text() == "0.33 of bytes"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10.0, "10"),
        (1234567, "1,234,567"),
        (123456.7, "123,000"),
        (0.0, "0"),
        (0.000123456, "0.000123"),
        (-2.5, "-2.5"),
    ],
)
def test_prose_form(value, text):
    assert record("x", value).text() == text


def test_a_name_recorded_twice_is_refused(tmp_path):
    path = write_notebook(tmp_path / "a.ipynb", record("x", 1), record("x", 2))
    with pytest.raises(ValueError, match="'x' is recorded twice"):
        read_values(path)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("a b", 1), "name="),
        (("x", float("nan")), "value=nan"),
        (("x", True), "value=True"),
        (("x", 1.0, "", 0), "digits=0"),
    ],
)
def test_bad_input_names_the_argument(arguments, names):
    with pytest.raises(ValueError, match=names):
        record(*arguments)


def test_front_ends_without_the_type_show_text():
    assert record("x", 2, "GiB")._repr_mimebundle_()["text/plain"] == "x = 2 GiB"
    assert MIME in record("x", 2)._repr_mimebundle_()
