"""A bi-encoder and a cross-encoder: how many passes, and where query meets document."""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, grid, paragraph
from course_lib.kit.diagrams.pen import HALF, Pen
from course_lib.kit.diagrams.tokens import token

QUERY, DOCUMENT = 3, 5  # tokens
SIZE = 11


def draw() -> Figure:
    """Text downward through the encoder to one number for the pair."""
    return Figure(_bi(), _cross())


def _bi() -> Panel:
    pen = Pen(HALF)
    pen.text(6, 15, "Bi-encoder", "T")
    for x, words, n in ((6, "query", QUERY), (86, "document", DOCUMENT)):
        middle = x + 37
        token(pen, x, 26, 74, words)
        arrow(pen, (middle, 46), (middle, 58))
        pen.rect(x, 60, 74, 84, "b attn")
        pen.text(middle, 75, "encoder", "s", "middle")
        left = middle - n * SIZE / 2
        grid(pen, left, 82, n, n, SIZE, lambda i, j: "p attn")
        arrow(pen, (middle, 144), (middle, 158))
        pen.rect(middle - 25, 160, 50, 14, "b kept" if n == DOCUMENT else "b emb", 2)
        pen.text(middle, 171, "vector", "s", "middle")
        arrow(pen, (middle, 174), (83, 196))
    token(pen, 36, 198, 94, "dot product", "b")
    said = ["documents: one pass each,", "before anyone asks", "query: one pass"]
    paragraph(pen, 6, 240, said, "s", 13)
    return Panel("Bi-encoder", "Query and document are encoded apart.", pen, 272)


def _cross() -> Panel:
    pen, n = Pen(HALF), QUERY + DOCUMENT
    pen.text(6, 15, "Cross-encoder", "T")
    token(pen, 6, 26, 74, "query")
    token(pen, 82, 26, 78, "document")
    arrow(pen, (83, 46), (83, 58))
    pen.rect(6, 60, 154, 114, "b attn")
    pen.text(83, 75, "encoder", "s", "middle")
    left = 83 - n * SIZE / 2

    def met(i: int, j: int) -> str:
        return "p diff" if (i < QUERY) != (j < QUERY) else "p attn"

    grid(pen, left, 82, n, n, SIZE, met)
    arrow(pen, (83, 174), (83, 196))
    token(pen, 36, 198, 94, "score", "b")
    said = ["query and document attend", "to each other:", "one pass for each pair"]
    paragraph(pen, 6, 240, said, "s", 13)
    return Panel("Cross-encoder", f"{' '.join(said)}.".capitalize(), pen, 272)
