"""A graph and the mask that it is: who hears from whom, as arrows and as cells. Beside
it the graph that a causal model has.
"""

from math import cos, pi, sin

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, grid
from course_lib.kit.diagrams.pen import HALF, Pen

NODES = "ABCDE"
# source and target of each edge; every node hears itself as well
EDGES = ((0, 1), (1, 0), (1, 2), (3, 2), (2, 3), (4, 0))
MIDDLE, RADIUS, TOP, SIZE = (83, 96), 44, 166, 20


def mask(edges=EDGES, nodes: int = len(NODES)) -> list[list[bool]]:
    """Row i, column j: node i hears from node j."""
    heard = set(edges) | {(i, i) for i in range(nodes)}
    return [[(j, i) in heard for j in range(nodes)] for i in range(nodes)]


def causal_edges(nodes: int = len(NODES)) -> tuple[tuple[int, int], ...]:
    """An edge from each token to every later one."""
    return tuple((j, i) for i in range(nodes) for j in range(i))


def draw() -> Figure:
    """Friends in a graph; tokens in a line."""
    graph = _panel("A graph", "five pages and their links", EDGES)
    return Figure(graph, _panel("A causal model", "five tokens", causal_edges()))


def _panel(title: str, words: str, edges: tuple[tuple[int, int], ...]) -> Panel:
    pen, heard, count = Pen(HALF), mask(edges), len(NODES)
    pen.text(6, 15, title, "T")
    pen.text(6, 30, words, "s m")
    for source, target in edges:
        one, two = _place(source), _place(target)
        arrow(pen, _toward(one, two, 11), _toward(two, one, 12), cls="u attn", head=3)
    for i, name in enumerate(NODES):
        x, y = _place(i)
        pen.circle(x, y, 10, "b emb")
        pen.text(x, y + 4, name, "B", "middle")
    left = 48
    for i, name in enumerate(NODES):
        pen.text(left - 6, TOP + i * SIZE + 14, name, "s", "end")
        pen.text(left + i * SIZE + 9.5, TOP - 5, name, "s", "middle")

    def role(row: int, column: int) -> str | None:
        return "p attn" if heard[row][column] else None

    grid(pen, left, TOP, count, count, SIZE, role)
    low = TOP + count * SIZE
    sums = sum(map(sum, heard))
    pen.text(6, low + 16, f"{sums} of {count**2} pairs", "B")
    pen.text(6, low + 30, "row hears from column", "s m")
    said = f"{len(edges)} edges and each node itself: {sums} of {count**2} cells."
    return Panel(title, said, pen, low + 36)


def _place(i: int) -> tuple[float, float]:
    turn = 2 * pi * i / len(NODES) - pi / 2
    return MIDDLE[0] + RADIUS * cos(turn), MIDDLE[1] + RADIUS * sin(turn)


def _toward(one, two, far: float) -> tuple[float, float]:
    length = ((two[0] - one[0]) ** 2 + (two[1] - one[1]) ** 2) ** 0.5
    return tuple(a + far * (b - a) / length for a, b in zip(one, two, strict=True))
