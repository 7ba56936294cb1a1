"""A part as a box: its kind and its parameters, shapes, a small picture, a row a fact,
and what it keeps between tokens.

`marks` says which rows differ from another model, by full key: "changed" (≠) or "only"
(+). A row that differs has a sign, bold letters and a ground, never colour alone.
"""

from collections.abc import Iterator, Mapping

from course_lib.course.gallery.glyphs import draw_glyph, glyph_height
from course_lib.course.gallery.rows import Amount, Part, Row
from course_lib.course.gallery.strip import ROLES
from course_lib.kit.diagrams.marks import LINE
from course_lib.kit.diagrams.pen import Pen, text_width
from course_lib.kit.units import billions_text, bytes_text

INSET = 10  # from a box's edge to its text
SIGNS = {"changed": "≠ ", "only": "+ "}
Marks = Mapping[str, str]


def amount_text(amount: Amount) -> str:
    """A number that follows from the facts, with its unit.

    >>> amount_text(Amount("kept", "Keeps", 4096, "bytes per token"))
    '4 KiB per token'
    """
    if amount.unit == "parameters":
        return billions_text(amount.value)
    return bytes_text(amount.value) + amount.unit.removeprefix("bytes")


def wrapped(words: str, room: float, cls: str = "") -> list[str]:
    """Words in as many lines as they need.

    >>> wrapped("one two three", 40)
    ['one', 'two', 'three']
    """
    lines: list[str] = []
    for word in words.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer, cls) <= room:
            lines[-1] = longer
        else:
            lines += [word]
    return lines


def row_lines(row: Row, room: float, mark: str, cls: str = "") -> list[str]:
    """The lines of a row, with the sign of its difference in front."""
    return wrapped(SIGNS.get(mark, "") + row.text, room, f"{cls} B" if mark else cls)


def box_height(part: Part, w: float, where: str, marks: Marks) -> float:
    """The height of a part's box."""
    texts = list(_texts(part, w, where, marks))
    shape = 13 if part.shape else 0
    kept = 22 if _kept(part) else 0
    return 28 + shape + glyph_height(part) + LINE * len(texts) + kept


def draw_box(
    pen: Pen, x: float, y: float, w: float, part: Part, where: str, marks: Marks
) -> float:
    """Draw a part whose rows have the keys `where/part/row`. Returns its height."""
    height, role = box_height(part, w, where, marks), ROLES[part.role]
    pen.rect(x, y, w, height, f"b {role}")
    pen.rect(x, y, 4, height, f"p {role}", 0)
    at = _head(pen, x, y, w, part, where, marks) + 6
    draw_glyph(pen, x + INSET, at, w - INSET - 8, part)
    at += glyph_height(part)
    for words, key, mark, first in _texts(part, w, where, marks):
        at += LINE
        if mark:
            band(pen, x + 5, at - 11, w - 6)
        pen.text(x + INSET, at, words, "B" if mark else "", key=key if first else "")
    kept = _kept(part)
    if kept:
        pen.rect(x + INSET, at + 6, w - INSET - 6, 16, "b kept", 2)
        pen.text(x + INSET + 6, at + 17.5, kept, "s")
    return height


def _head(
    pen: Pen, x: float, y: float, w: float, part: Part, where: str, marks: Marks
) -> float:
    """The kind of a part, its parameters, its shapes. Returns the last baseline."""
    key = f"{where}/{part.key}/kind"
    title = SIGNS.get(marks.get(key, ""), "") + part.rows[0].text
    count = amount_text(part.amounts[0]) if part.amounts[0].value else ""
    if key in marks:
        band(pen, x + 5, y + 4, w - 6)
    pen.text(x + INSET, y + 16, title, "T", key=key)
    taken = text_width(SIGNS["changed"] + part.rows[0].text, "T") + text_width(count)
    beside = taken + 8 <= w - INSET - 6
    at = y + 16
    if part.shape:
        at += 13
        pen.text(x + INSET, at, part.shape, "c m")
    if count and (beside or part.shape):
        pen.text(x + w - 6, y + 16 if beside else at, count, "n", "end")
    return at


def _texts(
    part: Part, w: float, where: str, marks: Marks
) -> Iterator[tuple[str, str, str, bool]]:
    """The lines of a part's facts: words, full key, mark, whether it is the first line
    of its row.
    """
    for row in part.rows[1:]:
        key = f"{where}/{part.key}/{row.key}"
        mark = marks.get(key, "")
        for i, words in enumerate(row_lines(row, w - INSET - 6, mark)):
            yield words, key, mark, i == 0


def _kept(part: Part) -> str:
    """What a part keeps between tokens, in words."""
    for amount in part.amounts:
        if amount.key == "kept" and amount.value:
            long = ", however long" if amount.unit.endswith("sequence") else ""
            return f"keeps {amount_text(amount)}{long}"
    return ""


def band(pen: Pen, x: float, y: float, w: float) -> None:
    """The ground of a row that differs."""
    pen.rect(x, y, w, LINE, "x diff", 2)
    pen.rect(x, y, 3, LINE, "p diff", 0)
