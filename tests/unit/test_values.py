"""A recorded value survives the notebook round trip, and bad ones are refused by name."""

import json

import pytest

from course_lib.kit.values import MIME, Value, read_values, record


def write_notebook(path, *recorded):
    cells = [{"cell_type": "code", "outputs": [{"data": r._repr_mimebundle_()}]} for r in recorded]
    path.write_text(json.dumps({"cells": cells}))
    return path


def test_round_trip_keeps_the_unrounded_values_in_order(tmp_path):
    stored = record(share=(1 / 3, "of bytes", 2), n=7), record(size=(2.5, "GiB"))
    found = read_values(write_notebook(tmp_path / "a.ipynb", *stored))
    assert list(found.values()) == [
        Value("share", 1 / 3, "of bytes", 2),
        Value("n", 7, "", 3),
        Value("size", 2.5, "GiB", 3),
    ]
    assert list(found) == ["share", "n", "size"]
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
    assert Value("x", value).text() == text


@pytest.mark.parametrize("recorded", [(record(x=1), record(x=2)), (record(y=1, x=1), record(x=1, z=1))])
def test_a_name_recorded_twice_is_refused(tmp_path, recorded):
    path = write_notebook(tmp_path / "a.ipynb", *recorded)
    with pytest.raises(ValueError, match="'x' is recorded twice"):
        read_values(path)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({}, "no value"),
        ({"a b": 1}, "name='a b'"),
        ({"y": 1, "x": float("nan")}, "x=nan"),
        ({"x": (float("inf"), "s")}, "x=inf"),
        ({"x": True}, "x=True"),
        ({"x": ("7", "s")}, "x='7'"),
        ({"x": ()}, r"x=\(\)"),
        ({"x": (1, "s", 2, 3)}, "x=.*number, unit, digits"),
        ({"x": (1.0, 2)}, "x: unit=2"),
        ({"x": (1.0, "", 0)}, "x: digits=0"),
        ({"x": (1.0, "", 2.0)}, "x: digits=2.0"),
    ],
)
def test_bad_input_names_the_argument(values, names):
    with pytest.raises(ValueError, match=names):
        record(**values)


def test_a_name_is_not_given_by_place():
    with pytest.raises(TypeError):
        record("x", 1)


def test_front_ends_without_the_type_show_one_line_a_value():
    bundle = record(x=(2, "GiB"), y=0.5)._repr_mimebundle_()
    assert bundle["text/plain"] == "x = 2 GiB\ny = 0.5"
    assert [value["name"] for value in bundle[MIME]] == ["x", "y"]
