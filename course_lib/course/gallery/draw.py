"""`draw_model(spec)`: a published model, or a config of one's own, as a picture.

A panel is a stack, downward from its token embedding to its head: the strip of its
layers, each kind of layer once, and under the last stack what all of it costs.
"""

from course_lib.course.gallery.blocks import draw_kind, echoed, norm_pill
from course_lib.course.gallery.boxes import (
    SIGNS,
    Marks,
    amount_text,
    band,
    draw_box,
    wrapped,
)
from course_lib.course.gallery.describe import describe
from course_lib.course.gallery.facts import sentence
from course_lib.course.gallery.rows import Row, Stack, View
from course_lib.course.gallery.shares import draw_shares
from course_lib.course.gallery.strip import columns, strip
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import LINE, STREAM, arrow, shape, stream
from course_lib.kit.diagrams.pen import WIDTH, Pen, text_width
from course_lib.specs.records import ModelSpec

HEAD = ("layers", "width", "context")
THICKEST = 12  # of a layer's column


def draw_model(spec: ModelSpec, name: str = "", marks: Marks | None = None) -> Figure:
    """Draw a model.

    Args: `spec` of the model; `name` to show, its own where it is ""; `marks` of rows
        that differ from another model ("changed", "only"), by full key.
    Returns: a figure of a panel a stack.
    Raises: ValueError naming a record or a word that is not described.

    >>> from course_lib.specs.loader import load_spec
    >>> draw_model(load_spec("t5-base")).panels[0].title
    'Architecture of t5-base, encoder'
    """
    view = describe(spec)
    panels = [draw_stack(view, stack, name, marks or {}) for stack in view.stacks[:-1]]
    last = draw_stack(view, view.stacks[-1], name, marks or {}, spec)
    return Figure(*panels, last)


def draw_stack(
    view: View, stack: Stack, name: str, marks: Marks, spec: ModelSpec | None = None
) -> Panel:
    """Draw one stack, and under it the costs of `spec` where that is given."""
    pen, title = Pen(), name or view.name
    if stack.key != "model":
        title = f"{title}, {stack.key}"
    y = _heading(pen, title, stack, marks)
    where = stack.key
    y += draw_box(pen, 8, y, WIDTH - 16, stack.start, where, marks)
    top = y
    shape(pen, STREAM + 8, y + 13, f"t × {stack.width:,}")
    y += 20
    for drawn in echoed(stack.kinds):
        scope, alone = f"{where}/{drawn.kind.letter}", len(stack.kinds) == 1
        y = draw_kind(pen, y, drawn, scope, alone, marks) + 10
    if stack.final:
        norm_pill(pen, 7, y, stack.final, f"{where}/final", marks)
        y += 24
    y = _end(pen, y, top, stack, marks)
    if spec is not None:
        y = _foot(pen, y + 12, view, spec)
    return Panel(f"Architecture of {title}", sentence(stack), pen, y + 6)


def _heading(pen: Pen, title: str, stack: Stack, marks: Marks) -> float:
    """The name, the sizes, and the strip of the layers. Returns where it ends."""
    y = 4.0
    for words in wrapped(title, WIDTH - 16, "H"):
        y += 17
        pen.text(8, y, words, "H")
    rows = {row.key: row for row in stack.head}
    y += 9
    _sizes(pen, y, [rows[key] for key in HEAD if key in rows], stack.key, marks)
    y += 22
    layers = columns(stack)
    strip(pen, 8, y, layers, min(THICKEST, (WIDTH - 16) / len(layers)))
    y += 18
    if "order" in rows:
        y = _order(pen, y, rows["order"], stack.key, marks)
    return y + 10


def _sizes(pen: Pen, y: float, rows: list[Row], where: str, marks: Marks) -> None:
    """Layers, width and context beside one another."""
    x = 8.0
    for row in rows:
        key = f"{where}/{row.key}"
        mark = marks.get(key, "")
        words = SIGNS.get(mark, "") + row.text
        wide = text_width(words, "B" if mark else "m")
        if mark:
            band(pen, x - 5, y, wide + 9)
        pen.text(x, y + 11, words, "B" if mark else "m", key=key)
        x += text_width(SIGNS["changed"] + row.text, "B") + 6  # room for a mark


def _order(pen: Pen, y: float, row: Row, where: str, marks: Marks) -> float:
    """The order of the layers in words. Returns its last baseline."""
    key = f"{where}/{row.key}"
    mark = marks.get(key, "")
    for i, words in enumerate(wrapped(SIGNS.get(mark, "") + row.text, WIDTH - 20, "B")):
        y += 12
        if mark:
            band(pen, 3, y - 11, text_width(words, "B") + 10)
        pen.text(8, y, words, "s B" if mark else "s", key=key if i == 0 else "")
    return y


def _end(pen: Pen, y: float, top: float, stack: Stack, marks: Marks) -> float:
    """The head behind the last layer, or the words for what comes out without one."""
    if stack.end:
        arrow(pen, (STREAM, y - 4), (STREAM, y + 4))
        stream(pen, top, y - 2)
        return y + 4 + draw_box(pen, 8, y + 4, WIDTH - 16, stack.end, stack.key, marks)
    stream(pen, top, y + 2)
    to = ", to every cross-attention" if stack.key == "encoder" else ""
    pen.text(STREAM + 8, y + 6, f"t × {stack.width:,}{to}", "c")
    return y + 10


def _foot(pen: Pen, y: float, view: View, spec: ModelSpec) -> float:
    """What follows from the facts: counts, bytes, and where the parameters are."""
    for amount in view.amounts:
        y += LINE
        style = "B" if amount.key == "total" else ""
        pen.text(8, y, f"{amount.label}: {amount_text(amount)}", style)
    return draw_shares(pen, y + 8, spec)
