"""A kind of layer as a frame: its branches off the residual stream, with their norms.

Before its part a norm stands on the branch (pre-norm), behind the sum on the stream
itself (post-norm); a sandwich has both on the branch; in parallel residuals the
branches leave the stream at one point.
"""

from dataclasses import dataclass

from course_lib.course.gallery.boxes import (
    INSET,
    SIGNS,
    Marks,
    band,
    box_height,
    draw_box,
)
from course_lib.course.gallery.rows import Kind, Part, Row, Sublayer
from course_lib.kit.diagrams.marks import LINE, STREAM, arrow, frame, line, pill, plus
from course_lib.kit.diagrams.pen import WIDTH, Pen, text_width

BOX = 40  # where the boxes of branches begin
WIDE = WIDTH - BOX - 12
PILL = 150
RAIL = 29  # where the second branch of a parallel residual runs


@dataclass(frozen=True)
class Drawn:
    """A kind of layer as it is drawn: `echoes` are the parts that an earlier kind has
    shown, each with its letter and with the rows in which it differs.
    """

    kind: Kind
    echoes: dict[str, tuple[str, tuple[Row, ...]]]


def echoed(kinds: tuple[Kind, ...]) -> list[Drawn]:
    """Kinds of layers in order, with what earlier ones have shown."""
    shown: list[tuple[str, Part]] = []
    found = []
    for kind in kinds:
        echoes = {}
        for branch in kind.sublayers:
            echo = _echo(branch.part, shown)
            if echo:
                echoes[branch.part.key] = echo
            else:
                shown.append((kind.letter, branch.part))
        found.append(Drawn(kind, echoes))
    return found


def _echo(
    part: Part, shown: list[tuple[str, Part]]
) -> tuple[str, tuple[Row, ...]] | None:
    """The letter of a kind that shows a part like this one, and the rows to add."""
    for letter, other in shown:
        if (other.key, other.rows[0]) == (part.key, part.rows[0]):
            new = tuple(row for row in part.rows if row not in other.rows)
            lost = {row.key for row in other.rows} - {row.key for row in part.rows}
            if len(new) <= 3 and not lost:
                return letter, new
    return None


def draw_kind(
    pen: Pen, y: float, drawn: Drawn, where: str, alone: bool, marks: Marks
) -> float:
    """Draw one kind of layer from `y` on. Returns where it ends."""
    kind, top = drawn.kind, y
    y += 26
    if kind.layout.text.startswith("parallel"):
        y = _parallel(pen, y, drawn, where, marks)
    else:
        post = kind.layout.text.startswith("post")
        for branch in kind.sublayers:
            y = _branch(pen, y, branch, drawn, post, where, marks)
    key = f"{where}/layout"
    mark = marks.get(key, "")
    name, whole = "Layer" if alone else f"Layer {kind.letter}", f"{where}/name"
    title = f"{SIGNS.get(marks.get(whole, ''), '')}{name} × {len(kind.indices)}"
    if whole in marks:
        band(pen, BOX - 6, top + 4, text_width(title, "T") + 12)
    frame(pen, top, y, title, key=whole)
    layout = SIGNS.get(mark, "") + kind.layout.text
    pen.text(WIDTH - 14, top + 15, layout, "s B" if mark else "s m", "end", key)
    return y


def _branch(
    pen: Pen,
    y: float,
    branch: Sublayer,
    drawn: Drawn,
    post: bool,
    where: str,
    marks: Marks,
) -> float:
    """One branch: off the stream, through its norm and its part, back onto it."""
    scope = f"{where}/{branch.part.key}"
    if branch.before:
        arrow(pen, (STREAM, y + 9), (BOX, y + 9))
        norm_pill(pen, BOX, y, branch.before, f"{scope}/before", marks)
        arrow(pen, (BOX + 24, y + 18), (BOX + 24, y + 26))
        y += 26
    else:
        arrow(pen, (STREAM, y + 11), (BOX, y + 11))
    y += draw_part(pen, y, branch.part, drawn, where, marks)
    back = y - 9
    if branch.after and not post:
        arrow(pen, (BOX + 24, y), (BOX + 24, y + 8))
        norm_pill(pen, BOX, y + 8, branch.after, f"{scope}/after", marks)
        y += 26
        back = y - 9
    arrow(pen, (BOX, back), (STREAM + 7, back))
    plus(pen, back)
    if post and branch.after:
        norm_pill(pen, 7, y + 4, branch.after, f"{scope}/after", marks)
        y += 24
    return y + 10


def _parallel(pen: Pen, y: float, drawn: Drawn, where: str, marks: Marks) -> float:
    """Branches that leave the stream at one point and are added one after the other."""
    tap = y + 9
    for i, branch in enumerate(drawn.kind.sublayers):
        if branch.before:
            if i:
                line(pen, (STREAM, tap - 6), (RAIL, tap - 6), (RAIL, y + 9))
                arrow(pen, (RAIL, y + 9), (BOX, y + 9))
            else:
                arrow(pen, (STREAM, tap), (BOX, tap))
            key = f"{where}/{branch.part.key}/before"
            norm_pill(pen, BOX, y, branch.before, key, marks)
            arrow(pen, (BOX + 24, y + 18), (BOX + 24, y + 26))
            y += 26
        else:
            right = WIDTH - 7
            line(pen, (BOX + PILL, tap), (right, tap), (right, y + 12))
            arrow(pen, (right, y + 12), (BOX + WIDE, y + 12))
        y += draw_part(pen, y, branch.part, drawn, where, marks)
        arrow(pen, (BOX, y - 9), (STREAM + 7, y - 9))
        plus(pen, y - 9)
        y += 10
    return y


def norm_pill(pen: Pen, x: float, y: float, row: Row, key: str, marks: Marks) -> None:
    """A norm, as a pill."""
    mark = marks.get(key, "")
    role = "diff" if mark else "norm"
    pill(pen, x, y, PILL, SIGNS.get(mark, "") + row.text, role, key)


def draw_part(
    pen: Pen, y: float, part: Part, drawn: Drawn, where: str, marks: Marks
) -> float:
    """A part as its box, or as the name of a box that an earlier kind has shown.
    Returns its height.
    """
    if part.key not in drawn.echoes:
        return draw_box(pen, BOX, y, WIDE, part, where, marks)
    letter, new = drawn.echoes[part.key]
    rows = replace_rows(part, new)
    height = 24 + (box_height(rows, WIDE, where, marks) - 28 if new else 0)
    hidden = [row for row in part.rows if row not in new]
    scope = f"{where}/{part.key}"
    mark = next((marks[k] for r in hidden if (k := f"{scope}/{r.key}") in marks), "")
    pen.rect(BOX, y, WIDE, height, "g")
    but = ", but" if new else ""
    if mark:
        band(pen, BOX + 5, y + 4, WIDE - 6)
    title = f"{SIGNS.get(mark, '')}{part.rows[0].text}: as in {letter}{but}"
    style = "s B" if mark else "s m"
    pen.text(BOX + INSET, y + 16, title, style, key=f"{scope}/kind")
    for i, row in enumerate(new):
        at, key = y + 16 + LINE * (i + 1), f"{scope}/{row.key}"
        if key in marks:
            band(pen, BOX + 5, at - 11, WIDE - 6)
        pen.text(
            BOX + INSET, at, SIGNS.get(marks.get(key, ""), "") + row.text, "B", key=key
        )
    return height


def replace_rows(part: Part, new: tuple[Row, ...]) -> Part:
    """A part with its kind and some rows alone, for their height."""
    return Part(part.key, part.role, (part.rows[0], *new), (), "", None)
