"""The evidence of a claim, looked up: what tagged notebook cells recorded, what a call
returns.

A page links to a cell by the anchor that `anchors` gives; the Sphinx extension puts the
same on the cells.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

from course_lib.evaluate.seed_sets import difference, sets_of
from course_lib.kit.calls import call_named
from course_lib.kit.runs import load_run, other_seeds
from course_lib.kit.values import Value, cell_values

REMOVED = "remove-cell"  # the tag of a cell that is in the notebook, not on its page


@dataclass(frozen=True)
class Cell:
    """A tagged code cell of an executed notebook: its anchor, the heading above it,
    what it and the removed cells after it recorded.
    """

    anchor: str
    heading: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class TaggedCells:
    """The cells of one notebook that carry a tag."""

    notebook: str
    title: str
    cells: tuple[Cell, ...]

    @property
    def values(self) -> tuple[tuple[str, Value], ...]:
        """Return (anchor, value) for every number the cells recorded."""
        return tuple(
            (cell.anchor, value) for cell in self.cells for value in cell.values
        )

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """Return (anchor, heading) of the first cell under each heading."""
        first: dict[str, str] = {}
        for cell in self.cells:
            first.setdefault(cell.heading, cell.anchor)
        return tuple((anchor, heading) for heading, anchor in first.items())


@dataclass(frozen=True)
class Called:
    """A call of the library as Python writes it, and the value it returned just now."""

    code: str
    value: object

    def text(self) -> str:
        """Return the value for prose."""
        number = isinstance(self.value, int | float) and not isinstance(
            self.value, bool
        )
        return (
            Value("value", self.value, digits=6).text() if number else repr(self.value)
        )


@dataclass(frozen=True)
class Recorded:
    """A recorded experiment: one line a comparison, with what other seeds gave."""

    name: str
    lines: tuple[str, ...]
    held: bool


def tagged_cells(root: str | Path, item: Mapping) -> TaggedCells:
    """Return the code cells that `{notebook: chapter/name, tag: ...}` names.

    A cell that is not on the page (`remove-cell`) has no anchor: what it recorded is
    shown at the tagged cell before it.

    Raises:
        ValueError: if the notebook is not there, or no code cell of it that is on the
        page has the tag before others do.
    """
    path = Path("notebooks", f"{item['notebook']}.ipynb")
    try:
        cells = json.loads((Path(root) / path).read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"notebook: {path.as_posix()} is not there, or is no notebook"
        ) from error
    found: list[tuple[str, list[Value]]] = []
    headings = [""]
    for cell in cells:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            headings += re.findall(r"^#{1,6} +(.+?)\s*$", text, flags=re.M)
        elif item["tag"] in (tags := cell["metadata"].get("tags", ())):
            if REMOVED not in tags:
                found.append((headings[-1], []))
            elif not found:
                break
            found[-1][1].extend(cell_values(cell))
    if not found:
        raise ValueError(
            f"tag: {path.as_posix()} has no code cell on the page tagged {item['tag']}"
        )
    names = anchors(item["tag"], len(found))
    made = [
        Cell(name, heading, tuple(values))
        for name, (heading, values) in zip(names, found, strict=True)
    ]
    return TaggedCells(
        item["notebook"], next(filter(None, headings), path.stem), tuple(made)
    )


def anchors(tag: str, count: int) -> list[str]:
    """Return the anchors of the cells with a tag, in order.

    >>> anchors("claim-kv-formula", 3)
    ['claim-kv-formula', 'claim-kv-formula-2', 'claim-kv-formula-3']
    """
    return [tag if number == 1 else f"{tag}-{number}" for number in range(1, count + 1)]


def call(item: Mapping) -> Called:
    """Call the function that `{call: course_lib..., arguments: {...}, expected: ...}`
    names.

    Numbers are compared to a relative tolerance of `rel` (1e-9); all else has to be
    equal.

    Raises:
        ValueError: if there is no such function, if it raises, or if it returns
        something else.
    """
    arguments = ", ".join(
        f"{key}={value!r}" for key, value in item["arguments"].items()
    )
    found = call_named(item["call"], item["arguments"])
    if not _agrees(found, item["expected"], float(item.get("rel", 1e-9))):
        raise ValueError(
            f"call: {item['call']}({arguments}) is {found}, expected {item['expected']}"
        )
    return Called(f"{item['call']}({arguments})", found)


def recorded(item: Mapping) -> Recorded:
    """Read the record that `{experiment: name}` names.

    Raises:
        ValueError: there is none, or it was not run under other seeds.
    """
    run, others = load_run(item["experiment"]), other_seeds(item["experiment"])
    if not others:
        raise ValueError(f"experiment: {run.name} was not run under other seeds")
    found, lines = sets_of(run, others), []
    for each in found:
        own, *again = (difference(one.interval) for one in each.sets)
        unit = f" {run.unit}" if each.score is None else ""
        lines.append(
            f"{each.compared}, {own}{unit}; under other seeds {' and '.join(again)} "
            f"({each.verdict})"
        )
    return Recorded(run.name, tuple(lines), all(each.held for each in found))


def _agrees(found: object, expected: object, rel: float) -> bool:
    if isinstance(expected, Real) and not isinstance(expected, bool):
        return isinstance(found, Real) and math.isclose(found, expected, rel_tol=rel)
    return found == expected


def look_up(
    root: str | Path, item: Mapping
) -> TaggedCells | Called | Recorded | Mapping:
    """Return what a page shows of one piece of evidence; a test or a citation is shown
    as it is named.
    """
    if "experiment" in item:
        return recorded(item)
    if "notebook" in item:
        return tagged_cells(root, item)
    return call(item) if "call" in item else item
