"""`course draw MODEL|config.json [--against OTHER]`: a model as a picture (SVG), alone
or beside another with their differences marked.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from course_lib.course.cli.console import JSON, answer, say, table
from course_lib.course.cli.lookup import Model, complete_model, find_model
from course_lib.course.gallery.catalogue import shown_name
from course_lib.course.gallery.describe import describe
from course_lib.course.gallery.differences import differences
from course_lib.course.gallery.draw import draw_model
from course_lib.course.gallery.facts import facts
from course_lib.course.gallery.pair import draw_pair
from course_lib.specs.records import ModelSpec

Against = Annotated[
    str | None,
    typer.Option(
        "--against",
        metavar="OTHER",
        help="Draw this model beside it, and mark what differs.",
        autocompletion=complete_model,
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="The SVG file to write. Default: the model's name, here.",
        show_default=False,
    ),
]


def draw(
    model: Model = None,
    against: Against = None,
    output: Out = None,
    as_json: JSON = False,
) -> None:
    """A model's architecture as an SVG file, and its facts."""
    found = find_model(model)
    other = find_model(against) if against else None
    figure = draw_model(found, shown_name(found))
    if other:
        figure = draw_pair(found, other, (shown_name(found), shown_name(other)))
    path = output or Path(_file_name(found, other))
    _write(path, figure.as_file())
    answer(draw_facts(found, other) | {"file": str(path)}, as_json, show)


def _file_name(found: ModelSpec, other: ModelSpec | None) -> str:
    return f"{found.name}-and-{other.name}.svg" if other else f"{found.name}.svg"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"output={str(path)!r}: cannot be written ({error.strerror})"
        ) from error


def draw_facts(found: ModelSpec, other: ModelSpec | None) -> dict[str, Any]:
    """The rows of a model, or what differs from another."""
    told: dict[str, Any] = {"model": found.name, **_rows(found)}
    if other is not None:
        told["against"] = {"model": other.name, **_rows(other)}
        told["differences"] = [
            {
                "fact": one.label,
                "model": one.left,
                "against": one.right,
                "where": list(one.where),
            }
            for one in differences(describe(found), describe(other))
        ]
    return told


def _rows(found: ModelSpec) -> dict[str, Any]:
    view = describe(found)
    return {
        "facts": {
            key: {"label": row.label, "text": row.text}
            for key, row in facts(view).items()
        },
        "amounts": [
            {"label": one.label, "value": one.value, "unit": one.unit}
            for one in view.amounts
        ],
    }


def show(told: Mapping[str, Any]) -> None:
    """Print where the picture is, and a table of facts or of differences."""
    if "differences" in told:
        rows = [
            (one["fact"], one["model"], one["against"], ", ".join(one["where"]))
            for one in told["differences"]
        ]
        head = ("fact", told["model"], told["against"]["model"], "where")
        if rows:
            table(head, rows)
        else:
            say("The two have the same architecture.")
    else:
        rows = [(key, row["text"]) for key, row in told["facts"].items()]
        table(("fact", told["model"]), rows)
    say(f"Drawn: {told['file']}")
