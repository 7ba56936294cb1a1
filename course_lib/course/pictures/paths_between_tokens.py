"""How far apart the first and the last token are in three kinds of layers."""

from itertools import pairwise, product

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, line, paragraph
from course_lib.kit.diagrams.pen import HALF, Pen

TOKENS = 8
STEP, HEIGHT = 21, 120
LEFT, TOP = 9.5, 50
REACH = 2  # tokens back that a convolution of width 3 sees
Node = tuple[int, int]  # layer, token


def draw() -> Figure:
    """Layers downward, tokens to the right; the shortest path is drawn heavily."""
    last = TOKENS - 1
    layers = -(-last // REACH)
    return Figure(
        _panel(
            "Recurrence",
            1,
            [((0, t), (1, t)) for t in range(TOKENS)]
            + [((1, t), (1, t + 1)) for t in range(last)],
            [(0, 0), *((1, t) for t in range(TOKENS))],
            [f"{last} steps along one layer"],
        ),
        _panel(
            "Convolution, width 3",
            layers,
            [
                ((depth, t - back), (depth + 1, t))
                for depth in range(layers)
                for t in range(TOKENS)
                for back in range(min(REACH, t) + 1)
            ],
            [(d, max(last - REACH * (layers - d), 0)) for d in range(layers + 1)],
            [f"{layers} layers, {REACH} tokens a layer"],
        ),
        _panel(
            "Attention",
            1,
            [((0, j), (1, t)) for t in range(TOKENS) for j in range(t + 1)],
            [(0, 0), (1, last)],
            ["1 step, at any distance"],
        ),
    )


def _panel(
    title: str,
    layers: int,
    links: list[tuple[Node, Node]],
    path: list[Node],
    said: list[str],
) -> Panel:
    pen = Pen(HALF)
    pen.text(6, 15, title, "T")
    pen.text(6, 32, f"token 1 to token {TOKENS}", "m s")

    def at(node: Node) -> tuple[float, float]:
        depth, t = node
        return LEFT + t * STEP, TOP + depth * HEIGHT / layers

    for start, end in links:
        line(pen, at(start), at(end), cls="e")
    for start, end in pairwise(path):
        _step(pen, at(start), at(end))
    for node in product(range(layers + 1), range(TOKENS)):
        pen.circle(*at(node), 5, "k attn" if node in path else "b")
    bottom = TOP + HEIGHT + 24
    paragraph(pen, 6, bottom, said, "s", 13)
    return Panel(f"{title}: a path", f"{said[0]}.", pen, bottom + 6)


def _step(pen: Pen, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A heavy arrow that ends at the rim of the next node."""
    (x0, y0), (x1, y1) = start, end
    length = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    rim = (x1 - (x1 - x0) / length * 5, y1 - (y1 - y0) / length * 5)
    arrow(pen, start, rim, cls="u attn")
