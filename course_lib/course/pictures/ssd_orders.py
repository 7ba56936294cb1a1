"""State-space duality: one lower-triangular matrix of decays and scores, multiplied in
two orders, and cut into blocks.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import grid, legend
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tensors import maths

N, CHUNK = 12, 4
LEFT, TOP, SIZE = 14, 58, 13


def kind(t: int, s: int) -> str:
    """What a cell (output t, input s) is computed from, in the chunked order."""
    if s > t:
        return "future"
    return "inside" if t // CHUNK == s // CHUNK else "carried"


def products(n: int, k: int, v: int, chunk: int | None = None) -> int:
    """Multiply-adds for n tokens: over all pairs, or with chunks of `chunk` tokens.

    All pairs: a score (k) and a sum (v) for each. Chunks: the same inside a chunk, and
    per token one write into the state (k v) and one read (k v).
    """
    if chunk is None:
        return n * (n + 1) // 2 * (k + v)
    whole, rest = divmod(n, chunk)
    inside = whole * products(chunk, k, v) + products(rest, k, v)
    return inside + 2 * n * k * v


def draw() -> Figure:
    """Left all pairs, as attention does; right blocks, as a chunked kernel does."""
    return Figure(_pairs(), _blocks())


def _around(pen: Pen, low: str) -> None:
    right = LEFT + N * SIZE
    maths(pen, LEFT - 2, TOP - 7, "inputs s", "s m")
    pen.text(LEFT, TOP + N * SIZE + 16, low, "s m")
    maths(pen, right + 14, TOP + 16, "cell (t, s):", "B")
    maths(pen, right + 14, TOP + 34, "(q_t · k_s)", "")
    maths(pen, right + 14, TOP + 50, "times the decays", "")
    maths(pen, right + 14, TOP + 66, "between s and t", "")


def _pairs() -> Panel:
    pen = Pen()
    pen.text(4, 15, "All pairs", "H")
    pen.text(4, 31, "as attention: first the matrix", "m")
    shade = {"future": None, "inside": "p attn", "carried": "p attn"}
    grid(pen, LEFT, TOP, N, N, SIZE, lambda t, s: shade[kind(t, s)])
    _around(pen, "rows: outputs t, downward")
    right = LEFT + N * SIZE + 14
    cells = N * (N + 1) // 2
    pen.text(right, TOP + 96, f"{cells} cells for", "B")
    pen.text(right, TOP + 111, f"{N} tokens", "B")
    pen.text(right, TOP + 130, "grows with n²", "")
    said = (
        f"A lower-triangular matrix of {N} by {N}: each of {cells} cells is a score of "
        "query and key times the decays between them."
    )
    return Panel("All pairs", said, pen, TOP + N * SIZE + 22)


def _blocks() -> Panel:
    pen = Pen()
    pen.text(4, 15, "Blocks and a state", "H")
    pen.text(4, 31, "as a recurrence: first the sum of keys and values", "m")
    shade = {"future": None, "inside": "p attn", "carried": "q state"}
    grid(pen, LEFT, TOP, N, N, SIZE, lambda t, s: shade[kind(t, s)])
    for i in range(1, N // CHUNK):
        x, y = LEFT + i * CHUNK * SIZE - 0.5, TOP + i * CHUNK * SIZE - 0.5
        pen.path(f"M{x} {y}V{TOP + N * SIZE}", "l")
        pen.path(f"M{LEFT} {y}H{x}", "l")
    _around(pen, "rows: outputs t, downward")
    right = LEFT + N * SIZE + 14
    y = TOP + 84
    entries = [("p attn", "pairs inside a chunk"), ("q state", "through the state")]
    legend(pen, right, y, entries, columns=1)
    pen.text(right, y + 46, "grows with n", "")
    inside = sum(kind(t, s) == "inside" for t in range(N) for s in range(N))
    said = (
        f"With chunks of {CHUNK}, {inside} cells on the diagonal are computed as "
        "pairs; all others are read from the state that the chunk before left."
    )
    return Panel("Blocks and a state", said, pen, TOP + N * SIZE + 22)
