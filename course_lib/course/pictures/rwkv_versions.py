"""RWKV 4 to 7 as one table: what the state is, how it fades, and how it is written."""

from dataclasses import dataclass

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import grid
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import maths

HEAD = 64  # width of a head from version 5 on


@dataclass(frozen=True)
class Version:
    """One row; `numbers` is the size of the state for each channel of a layer."""

    name: str
    bird: str
    year: int
    numbers: int
    fades: str
    writes: str
    source: str


VERSIONS = (
    Version("4", "", 2023, 3, "a fixed rate per channel", "eᵏ v, eᵏ", "peng2023rwkv"),
    Version(
        "5", "Eagle", 2024, HEAD, "a fixed rate per channel", "v kᵀ", "peng2024eagle"
    ),
    Version("6", "Finch", 2024, HEAD, "a rate from the token", "v kᵀ", "peng2024eagle"),
    Version(
        "7",
        "Goose",
        2025,
        HEAD,
        "a rate from the token",
        "v kᵀ, erases",
        "peng2025rwkv7",
    ),
)
RULES = (
    "a ← w a + e^{k} v ;  b ← w b + e^{k}",
    "S ← S diag(w) + v kᵀ",
    "S ← S diag(w_t) + v kᵀ",
    "S ← S (diag(w_t) − κ (aκ)ᵀ) + v kᵀ",
)
TOP, ROW = 34, 62


def draw() -> Figure:
    """A row a version; at the left its state, to scale of its cells."""
    pen = Pen()
    pen.text(4, 15, "RWKV, version by version", "H")
    for i, (version, rule) in enumerate(zip(VERSIONS, RULES, strict=True)):
        _row(pen, TOP + i * ROW, version, rule)
    low = TOP + len(VERSIONS) * ROW
    pen.text(4, low + 4, "cells: the state of eight channels, in small", "s m")
    said = "; ".join(
        f"version {v.name} ({v.year}): {v.fades}, writes {v.writes}" for v in VERSIONS
    )
    return Figure(Panel("RWKV 4 to 7", f"{said}.", pen, low + 12))


def _row(pen: Pen, y: float, version: Version, rule: str) -> None:
    pen.path(f"M4 {y}H336", "e")
    pen.text(8, y + 20, f"RWKV-{version.name}", "T")
    under = f"{version.bird}, {version.year}" if version.bird else str(version.year)
    pen.text(8, y + 36, under, "s m")
    rows = 3 if version.numbers == 3 else 8
    cls = "p state" if version.name == "7" else "q state"
    grid(pen, 78, y + 8, rows, 8, 5.5, lambda i, j: cls, gap=1)
    maths(pen, 132, y + 20, rule)
    pen.text(132, y + 36, version.fades, "s")
    words = {
        "4": "3 numbers per channel",
        "5": f"a matrix per head, {HEAD} per channel",
        "6": f"a matrix per head, {HEAD} per channel",
        "7": "erases what lies under the key κ",
    }
    pen.text(132, y + 51, words[version.name], "s m")
