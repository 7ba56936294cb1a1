"""The marks of the drawing language: what runs along a line, where it branches, what
repeats.

Conventions: downward, as code reads. The residual stream is the one thick line, at the
left; a branch leaves it to the right and comes back into a plus. A norm is a pill: on
the branch it is a pre-norm, on the stream a post-norm. Colour says what a part does,
pale is the lighter form and solid the heavier, and what is kept between tokens is
yellow.

Terms:
    drawing language: lines, pills, boxes and grids of every diagram -> stream, pill
"""

from collections.abc import Callable, Sequence

from course_lib.kit.diagrams.pen import WIDTH, Pen, cell, number

STREAM = 16
LINE = 15  # from one row of text to the next
Point = tuple[float, float]


def arrow(pen: Pen, *points: Point, cls: str = "l", head: float = 4) -> None:
    """A line through the points, with a head at the last. With a role and "u" in `cls`
    it has the role's colour ("u attn"), and with "d" it is dashed.
    """
    (x0, y0), (x1, y1) = points[-2:]
    length = max(((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 1e-9)
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    back = (x1 - ux * head * 1.6, y1 - uy * head * 1.6)
    line(pen, *points[:-1], back, cls=cls)
    wing = (uy * head * 0.8, ux * head * 0.8)
    tip = ((x1, y1), (back[0] - wing[0], back[1] + wing[1]))
    tip += ((back[0] + wing[0], back[1] - wing[1]),)
    names = [name for name in cls.split() if name not in ("u", "l", "d")]
    pen.path(_through(tip) + "Z", " ".join(["p", *names]) if names else "h")


def line(pen: Pen, *points: Point, cls: str = "l", under: bool = False) -> None:
    """A line through the points."""
    pen.path(_through(points), cls, under)


def stream(pen: Pen, y0: float, y1: float, x: float = STREAM) -> None:
    """The residual stream, from one height to another."""
    pen.path(f"M{number(x)} {number(y0)}V{number(y1)}", "w", under=True)


def plus(pen: Pen, y: float, x: float = STREAM) -> None:
    """Where a branch is added to the stream: a circled plus."""
    sign(pen, x, y, "+")


def sign(pen: Pen, x: float, y: float, what: str = "+") -> None:
    """An operation of two numbers, in a circle: "+" adds, "×" multiplies."""
    pen.circle(x, y, 6.5, "b")
    if what == "+":
        strokes = f"M{number(x - 3.5)} {number(y)}h7M{number(x)} {number(y - 3.5)}v7"
    elif what == "×":
        strokes = (
            f"M{number(x - 2.5)} {number(y - 2.5)}l5 5"
            f"M{number(x - 2.5)} {number(y + 2.5)}l5 -5"
        )
    else:
        raise ValueError(f"what={what!r}: allowed are '+' and '×'")
    pen.path(strokes, "l")


def pill(
    pen: Pen,
    x: float,
    y: float,
    w: float,
    words: str,
    role: str = "norm",
    key: str = "",
    h: float = 18,
) -> None:
    """A thin part that does one thing, such as a norm or an activation."""
    pen.rect(x, y, w, h, f"b {role}", 9)
    pen.text(x + w / 2, y + h / 2 + 3.5, words, "s", "middle", key)


def block(
    pen: Pen,
    x: float,
    y: float,
    w: float,
    h: float,
    words: str | Sequence[str],
    role: str,
    cls: str = "T",
) -> None:
    """A plain box with a stripe in its role's colour and one or several centred lines,
    of which the first is in the class `cls` and the others are small.
    """
    lines = [words] if isinstance(words, str) else list(words)
    pen.rect(x, y, w, h, f"b {role}")
    pen.rect(x, y, 4, h, f"p {role}", 0)
    top = y + h / 2 + 4 - (len(lines) - 1) * 6.5
    for i, text in enumerate(lines):
        style = cls if i == 0 else "s"
        pen.text(x + 2 + w / 2, top + i * 13, text, style, "middle")


def bracket(
    pen: Pen, x: float, y0: float, y1: float, words: str, side: int = 1
) -> None:
    """A square bracket along a column, with words beside it: what repeats. `side` is 1
    for words at its right, -1 for its left.
    """
    pen.path(f"M{number(x)} {number(y0)}h{5 * side}V{number(y1)}h{-5 * side}", "l")
    at = "" if side > 0 else "end"
    pen.text(x + 9 * side, (y0 + y1) / 2 + 4, words, "B", at)


def frame(
    pen: Pen,
    y0: float,
    y1: float,
    words: str,
    x: float = 4,
    w: float = WIDTH - 8,
    key: str = "",
) -> None:
    """A rounded outline with a title in its upper edge: one kind of layer, a device."""
    pen.rect(x, y0, w, y1 - y0, "o", 8, under=True)
    pen.text(x + 36, y0 + 15, words, "T", key=key)


def shape(pen: Pen, x: float, y: float, words: str, anchor: str = "") -> None:
    """The shape of what runs along a line, as "t × 4,096"."""
    pen.text(x, y, words, "c m", anchor)


def grid(
    pen: Pen,
    x: float,
    y: float,
    rows: int,
    columns: int,
    size: float,
    role_of: Callable[[int, int], str | None],
    gap: float = 1,
) -> None:
    """A tensor or a mask as cells: `role_of(row, column)` gives the classes of a cell
    ("p attn"), or None for an empty one. Cells of the same classes are one element.
    """
    paths: dict[str, list[str]] = {}
    for i in range(rows):
        for j in range(columns):
            piece = cell(x + j * size, y + i * size, size - gap, size - gap)
            paths.setdefault(role_of(i, j) or "e", []).append(piece)
    for classes, pieces in paths.items():
        pen.path("".join(pieces), classes)


def paragraph(
    pen: Pen,
    x: float,
    y: float,
    lines: Sequence[str],
    cls: str = "",
    step: float = LINE,
    anchor: str = "",
) -> float:
    """Lines of text under one another. Returns their height."""
    for i, words in enumerate(lines):
        pen.text(x, y + i * step, words, cls, anchor)
    return len(lines) * step


def legend(
    pen: Pen,
    x: float,
    y: float,
    entries: Sequence[tuple[str, str]],
    columns: int = 2,
    width: float = WIDTH,
) -> float:
    """Swatches with words, as ("p attn", "attends to"). Returns the height."""
    for i, (classes, words) in enumerate(entries):
        left = x + (i % columns) * (width - 2 * x) / columns
        top = y + (i // columns) * LINE
        pen.rect(left, top, 10, 10, classes, 2)
        pen.text(left + 15, top + 9, words, "s")
    return -(-len(entries) // columns) * LINE


def _through(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)
