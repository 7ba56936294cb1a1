"""The blocks of a PrefixLM's mask, and the same pairs in an encoder-decoder."""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import grid, paragraph
from course_lib.kit.diagrams.pen import HALF, Pen

S, T, SIZE = 5, 4, 13
LEFT, TOP = 26, 52


def draw() -> Figure:
    """One matrix with its blocks; three matrices at the same places."""
    return Figure(
        _panel("PrefixLM", 0, ["one softmax along a row,", "one set of weights"]),
        _panel(
            "Encoder-decoder",
            14,
            ["a softmax for each block,", "three sets of weights"],
        ),
    )


def _panel(title: str, gap: float, said: list[str]) -> Panel:
    pen = Pen(HALF)
    pen.text(6, 15, title, "T")
    across, down = LEFT + S * SIZE + gap, TOP + S * SIZE + gap
    for x, n, name in ((LEFT, S, "s"), (across, T, "t")):
        pen.text(x + n * SIZE / 2, TOP - 8, f"{name} keys", "s", "middle")
    pen.text(LEFT - 8, TOP + S * SIZE / 2 + 4, "s", "s", "end")
    pen.text(LEFT - 8, down + T * SIZE / 2 + 4, "t", "s", "end")
    grid(pen, LEFT, TOP, S, S, SIZE, lambda i, j: "p attn")
    if not gap:
        grid(pen, across, TOP, S, T, SIZE, lambda i, j: None)
    grid(pen, LEFT, down, T, S, SIZE, lambda i, j: "q attn" if gap else "p attn")
    grid(pen, across, down, T, T, SIZE, lambda i, j: "p attn" if j <= i else None)
    end, bottom = across + T * SIZE, down + T * SIZE
    row = down + SIZE - 1.5
    for x0, x1 in (
        [(LEFT, end)] if not gap else [(LEFT, LEFT + S * SIZE), (across, end)]
    ):
        pen.rect(x0 - 2, row, x1 - x0 + 3, SIZE + 2, "o diff", 3)
    if gap:
        _names(pen, across + 2, TOP + 28, "encoder's")
        _names(pen, LEFT, bottom + 14, "cross-")
        _names(pen, across, bottom + 14, "decoder's")
    paragraph(pen, 6, TOP + 9 * SIZE + 58, said, "s", 13)
    return Panel(
        f"{title}: blocks of the mask", f"{' '.join(said)}.", pen, TOP + 9 * SIZE + 76
    )


def _names(pen: Pen, x: float, y: float, whose: str) -> None:
    paragraph(pen, x, y, [whose, "attention"], "s", 13)
