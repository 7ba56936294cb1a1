"""Shared prefixes: prompts of several requests as a tree of blocks of the KV cache."""

from dataclasses import dataclass

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import Pen

WIDE, GAP, HIGH = 54, 16, 26
DEEPEST = 3  # the column of a request's own words


@dataclass(frozen=True)
class Node:
    """A block: its words, the requests whose prompts go through it, its place."""

    words: str
    requests: str
    column: int
    row: float
    parent: int | None


# the root is the empty text; columns are blocks of a prompt, rows keep paths apart
NODES = (
    Node("system", "ABCD", 0, 1.5, None),
    Node("prompt", "ABCD", 1, 1.5, 0),
    Node("file 1", "AB", 2, 0.5, 1),
    Node("file 2", "CD", 2, 2.5, 1),
    Node("user", "A", 3, 0, 2),
    Node("user", "B", 3, 1, 2),
    Node("user", "C", 3, 2, 3),
    Node("user", "D", 3, 3, 3),
    Node("09:14", "E", 0, 4.2, None),
    Node("system", "E", 1, 4.2, 8),
    Node("prompt", "E", 2, 4.2, 9),
    Node("user", "E", 3, 4.2, 10),
)


def draw() -> Figure:
    """The tree, from left to right as the prompts read."""
    pen, apart = Pen(), sum(len(node.requests) for node in NODES)
    pen.text(4, 14, "Five prompts as a tree of blocks", "H")
    for node in NODES:
        _branch(pen, node)
    floor = _place(NODES[-1])[1]
    said = f"{len(NODES)} blocks stored, {apart} without sharing"
    pen.text(4, floor + 36, said, "B")
    return Figure(
        Panel(
            "Prompts as a tree",
            "Requests A to D begin with the same system prompt and share its blocks; A "
            "and B share a file, C and D another. E begins with the time of day and "
            f"shares nothing. {said}.",
            pen,
            floor + 42,
        )
    )


def _branch(pen: Pen, node: Node) -> None:
    """A block, and the line from the block before it."""
    x, y = _place(node)
    if node.parent is not None:
        px, py = _place(NODES[node.parent])
        middle = px + WIDE + GAP / 2
        points = ((px + WIDE, py), (middle, py), (middle, y), (x, y))
        line(pen, *points, under=True)
    role = "diff" if node.requests == "E" else "kept"
    pen.rect(x, y - HIGH / 2, WIDE, HIGH, f"b {role}")
    pen.text(x + WIDE / 2 + 2, y + 4, node.words, "s", "middle")
    if len(node.requests) > 1:
        pen.rect(x, y - HIGH / 2, 5, HIGH, f"p {role}", 0)
        times = f"×{len(node.requests)}"
        pen.text(x + WIDE / 2, y + HIGH / 2 + 12, times, "s B", "middle")
    if node.column == DEEPEST:
        pen.text(x + WIDE + 8, y + 4, node.requests, "T")


def _place(node: Node) -> tuple[float, float]:
    """The left end of a block, and its middle."""
    return 6 + node.column * (WIDE + GAP), 52 + node.row * 46
