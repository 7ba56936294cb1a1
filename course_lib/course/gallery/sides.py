"""Side parts as rows of the part beside which they stand, or as boxes of their own."""

from collections.abc import Iterator
from dataclasses import replace

from course_lib.costs.sides import side_params
from course_lib.course.gallery.rows import Amount, Part, Row
from course_lib.specs.records import SideSpec

BESIDE = {"mixer": "mixer", "ffn": "ffn", "start": "model"}
"""A part's key, and what a side part says of the part beside which it stands."""


def sizes_text(side: SideSpec) -> str:
    """How many numbers a side part has."""
    parts = (("weights", side.weights), ("rows", side.rows), ("vectors", side.vectors))
    said = [f"{count:,} {name}" for name, count in parts if count]
    said += [f"keeps {side.inputs:,}"] if side.inputs else []
    return ", ".join(said)


def side_text(side: SideSpec) -> str:
    """What a side part is, and how many numbers it has."""
    sizes = sizes_text(side)
    return f"{side.words} ({sizes})" if sizes else side.words


def with_sides(part: Part, sides: tuple[SideSpec, ...]) -> Part:
    """A part with a row for each side part that stands beside it."""
    of = BESIDE.get(part.key, "")
    own = tuple(side for side in sides if side.of == of)
    if not own:
        return part
    rows = tuple(
        Row(f"side_{i}", "Beside it", side_text(side)) for i, side in enumerate(own)
    )
    counted = tuple(
        replace(one, value=one.value + side_params(own)) if one.key == "params" else one
        for one in part.amounts
    )
    return replace(part, rows=part.rows + rows, amounts=counted)


def side_parts(sides: tuple[SideSpec, ...]) -> Iterator[Part]:
    """The side parts of a block that stand by themselves."""
    for i, side in enumerate(sides):
        if side.of == "block":
            count = side_params((side,))
            amounts = (Amount("params", "Parameters", count, "parameters"),)
            rows = (Row("kind", "Beside", side.words),)
            if sizes_text(side):
                rows += (Row("size", "Size", sizes_text(side)),)
            yield Part(f"side_{i}", "embedding", rows, amounts, "", side)
