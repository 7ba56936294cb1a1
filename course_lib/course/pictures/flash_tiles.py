"""FlashAttention: which tiles of the score matrix are made, and what stands on the chip
while one of them is.
"""

from course_lib.costs.hardware import load_hardware
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, grid, legend, line
from course_lib.kit.diagrams.pen import WIDTH, Pen
from course_lib.kit.diagrams.tensors import maths
from course_lib.kit.units import bytes_text

BLOCKS, ROW, COLUMN = 6, 3, 1  # the tile that is being worked on
TILE, HEAD = 128, 128
X, Y, SIZE = 92, 84, 32
DEVICE = "H100-SXM"


def draw() -> Figure:
    """The large memory at the left, the chip at the right."""
    return Figure(_memory(), _chip())


def _memory() -> Panel:
    pen = Pen()
    rate = load_hardware(DEVICE).bandwidth_bytes_per_s / 1e12
    pen.text(8, 16, "HBM: large and slow", "T")
    pen.text(WIDTH - 8, 16, f"H100: {rate:.2f} TB/s", "m", "end")
    for j in range(BLOCKS):
        role = "b diff" if j == COLUMN else "b attn"
        for top, letter in ((36, "K"), (56, "V")):
            pen.rect(X + j * SIZE, top, SIZE - 2, 17, role, 2)
            maths(
                pen, X + (j + 0.5) * SIZE - 1, top + 12, f"{letter}_{j}", "s", "middle"
            )
    for i in range(BLOCKS):
        top = Y + i * SIZE
        pen.rect(X - 40, top, 32, SIZE - 2, "b diff" if i == ROW else "b attn", 2)
        maths(pen, X - 24, top + 19, f"Q_{i}", "s", "middle")
        done = "b kept" if i < ROW else "e"
        pen.rect(X + BLOCKS * SIZE + 6, top, 32, SIZE - 2, done, 2)
        maths(pen, X + BLOCKS * SIZE + 22, top + 19, f"Y_{i}", "s", "middle")
    grid(pen, X, Y, BLOCKS, BLOCKS, SIZE, _tile, 2)
    y = Y + (ROW + 0.5) * SIZE - 1
    arrow(
        pen,
        (X + (COLUMN + 1) * SIZE + 1, y),
        (X + (ROW + 1) * SIZE - 8, y),
        cls="u diff",
    )
    pen.text(X - 8, 48, "keys", "s", "end")
    pen.text(X - 8, 68, "values", "s", "end")
    pen.text(8, Y + 19, "queries", "s")
    pen.text(X + BLOCKS * SIZE + 6, Y - 8, "output", "s")
    bottom = Y + BLOCKS * SIZE + 8
    entries = [
        ("p diff", "tile being worked on"),
        ("q norm", "tile, never written"),
        ("b kept", "output, written once"),
        ("e", "above the diagonal: skipped"),
    ]
    bottom += legend(pen, 8, bottom, entries)
    return Panel(
        "HBM",
        "Queries, keys and values lie in memory in blocks. The score matrix is a grid "
        "of tiles of which one is being worked on; its row is walked from left to "
        "right, and tiles above the diagonal are skipped. No tile is ever written.",
        pen,
        bottom + 4,
    )


def _tile(i: int, j: int) -> str | None:
    if (i, j) == (ROW, COLUMN):
        return "p diff"
    return None if j > i else "q norm"


def _chip() -> Panel:
    pen = Pen()
    pen.text(8, 16, "SRAM: on the chip, small and fast", "T")
    pen.rect(4, 26, WIDTH - 8, 240, "o", 8, under=True)
    q, k = f"Q_{ROW}", f"K_{COLUMN}"
    held = 2 * TILE * HEAD
    _part(pen, 38, 36, "diff", q, "stays for the whole row", held)
    _part(pen, 80, 36, "diff", f"{k}, V_{COLUMN}", "then the next two blocks", 2 * held)
    line(pen, (40, 116), (40, 126))
    _part(
        pen,
        122,
        36,
        "norm",
        f"Z = {q} {k}ᵀ / √d_k",
        "one tile of scores, then gone",
        4 * TILE**2,
    )
    arrow(pen, (40, 158), (40, 172), head=3)
    _part(pen, 172, 84, "kept", "carried along the row", "", 4 * TILE * (HEAD + 2))
    for i, words in enumerate(
        (
            "m   largest score so far",
            "ℓ   sum of e^{z − m}",
            "y   weighted sum of values",
        )
    ):
        maths(pen, 26, 208 + i * 18, words)
    arrow(pen, (WIDTH - 60, 256), (WIDTH - 60, 286), cls="u kept")
    maths(pen, WIDTH - 70, 281, f"Y_{ROW} = y / ℓ, after the last tile", "", "end")
    return Panel(
        "SRAM",
        f"On the chip stand one block of {TILE} queries, one block of keys and values, "
        "one tile of scores, and what is carried from tile to tile: the largest score, "
        "the sum of exponentials and the weighted sum of values.",
        pen,
        296,
    )


def _part(
    pen: Pen, y: float, h: float, role: str, name: str, words: str, held: float
) -> None:
    pen.rect(14, y, WIDTH - 28, h, f"b {role}")
    maths(pen, 26, y + 15, name, "B")
    if words:
        pen.text(26, y + 29, words, "s")
    pen.text(WIDTH - 24, y + 15, bytes_text(held), "n", "end")
