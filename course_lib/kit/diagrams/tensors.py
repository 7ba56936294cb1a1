"""Tensors in a drawing: vectors as cells, matrices as rectangles, rows of numbers as
bars, an angle as a dial, and symbols with an index.

Symbols are written as in a formula, "W_Q x" or "v_{t-1}": what follows an underscore is
an index, and a letter that stands alone is a variable, so it leans.

Terms:
    diagram of a tensor: cells, rectangles and bars of a drawing -> matrix, bars, cells
"""

import math
import re
from collections.abc import Callable, Sequence
from html import escape

from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import Pen, Text, cell, number, text_size, text_width

INDEX = 10  # the size of an index, in units
_PIECE = re.compile(
    r"_\{([^}]*)\}|_(\w)|\^\{([^}]*)\}|((?<![^\W\d_])(?:[b-zB-Z]|a(?=_))(?![a-z]))"
)


def maths(
    pen: Pen,
    x: float,
    y: float,
    words: str,
    cls: str = "",
    anchor: str = "",
) -> None:
    """Words with indices and variables, on the baseline `y`: "z_{ts} = q_t · k_s"."""
    plain = re.sub(r"[_^]\{([^}]*)\}|_(\w)", _unbraced, words)
    wide = text_width(plain, cls)
    left = x - {"": 0.0, "middle": wide / 2, "end": wide}[anchor]
    marks = (f' class="{cls}"' if cls else "") + (
        f' text-anchor="{anchor}"' if anchor else ""
    )
    pen.over.append(
        f'<text x="{number(x)}" y="{number(y)}"{marks}>{_spans(words)}</text>'
    )
    pen.texts.append(Text(left, left + wide, y, text_size(cls), plain))


def _unbraced(found: re.Match) -> str:
    return found.group(1) or found.group(2)


def _spans(words: str) -> str:
    """The words as spans: indices lower, exponents higher, variables leaning."""
    out, at, lift = [], 0, 0
    for found in _PIECE.finditer(words):
        low, low_one, high, letter = found.groups()
        out.append(_span(words[at : found.start()], "", -lift))
        lift = 0 if words[at : found.start()] else lift
        if letter:
            out.append(_span(letter, ' font-style="italic"', -lift))
            lift = 0
        else:
            shift = -4 if high is not None else 3
            small = f' style="font-size:{INDEX}px"'
            out.append(_span(low or low_one or high, small, shift - lift))
            lift = shift
        at = found.end()
    out.append(_span(words[at:], "", -lift))
    return "".join(out)


def _span(words: str, style: str, shift: float) -> str:
    if not words:
        return ""
    if not style and not shift:
        return escape(words, quote=False)
    moved = f' dy="{number(shift)}"' if shift else ""
    return f"<tspan{moved}{style}>{escape(words, quote=False)}</tspan>"


def matrix(
    pen: Pen,
    x: float,
    y: float,
    w: float,
    h: float,
    name: str,
    role: str = "attn",
    rows: str = "",
    columns: str = "",
    cls: str = "b",
) -> None:
    """A matrix as a rectangle with its name in it; `rows` stands at its left side,
    `columns` above it.
    """
    pen.rect(x, y, w, h, f"{cls} {role}", 2)
    if name:
        maths(pen, x + w / 2, y + h / 2 + 4, name, "B", "middle")
    if rows:
        maths(pen, x - 5, y + h / 2 + 4, rows, "m", "end")
    if columns:
        maths(pen, x + w / 2, y - 5, columns, "m", "middle")


def cells(
    pen: Pen,
    x: float,
    y: float,
    words: Sequence[str],
    size: float,
    role_of: Callable[[int], str],
    down: bool = False,
    height: float = 0,
) -> None:
    """A vector as cells in a row, or in a column if `down`, each with its number;
    `role_of(i)` gives the classes of a cell ("b attn").
    """
    high = height or size
    for i, word in enumerate(words):
        left, top = (x, y + i * high) if down else (x + i * size, y)
        pen.rect(left, top, size, high, role_of(i), 0)
        if word:
            maths(pen, left + size / 2, top + high / 2 + 4, word, "", "middle")


def bars(
    pen: Pen,
    x: float,
    base: float,
    step: float,
    values: Sequence[float],
    unit: float,
    cls: str | Callable[[int], str] = "p attn",
    gap: float = 2,
) -> None:
    """Upright bars on the line `base`, `unit` high for a value of one; values below
    zero hang under it. A value that is not zero is at least a hair high.
    """
    of = cls if callable(cls) else lambda _: cls
    for i, value in enumerate(values):
        high = math.copysign(max(abs(value) * unit, 0.6), value) if value else 0
        top = base - max(high, 0)
        pen.path(cell(x + i * step + gap / 2, top, step - gap, abs(high)), of(i))
    line(pen, (x, base), (x + len(values) * step, base), cls="o")


def dial(
    pen: Pen, x: float, y: float, r: float, angle: float, role: str = "attn"
) -> None:
    """A circle with a hand at an angle in radians, counted as in mathematics: 0 points
    to the right, and it grows against the clock.
    """
    pen.circle(x, y, r, f"b {role}")
    tip = (x + r * math.cos(angle), y - r * math.sin(angle))
    line(pen, (x, y), tip, cls=f"u {role}")
    pen.circle(*tip, 2.2, f"p {role}")
