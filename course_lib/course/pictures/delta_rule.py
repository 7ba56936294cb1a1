"""The delta rule on a state of 2 by 2: what the state recalls for a key, what is
missing, and what is written; beside it a plain sum, which does not erase.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow
from course_lib.kit.diagrams.pen import WIDTH, Pen
from course_lib.kit.diagrams.tensors import maths

Vector = tuple[float, float]
Matrix = tuple[Vector, Vector]

# Two pairs with the same key: "the door is" red, then blue.
KEY: Vector = (0.6, 0.8)
OLD: Vector = (10.0, 0.0)
NEW: Vector = (0.0, 10.0)
CELL = 34


def outer(v: Vector, k: Vector) -> Matrix:
    """v k^T: rows follow the value, columns the key."""
    return tuple(tuple(a * b for b in k) for a in v)


def plus(one: Matrix, other: Matrix) -> Matrix:
    """Sum of two matrices."""
    return tuple(
        tuple(a + b for a, b in zip(r, s, strict=True))
        for r, s in zip(one, other, strict=True)
    )


def recall(state: Matrix, key: Vector) -> Vector:
    """S k: what the state returns for a key."""
    return tuple(sum(a * b for a, b in zip(row, key, strict=True)) for row in state)


def by_sum(state: Matrix, key: Vector, value: Vector) -> Matrix:
    """S + v k^T."""
    return plus(state, outer(value, key))


def by_delta(state: Matrix, key: Vector, value: Vector, beta: float = 1.0) -> Matrix:
    """S + beta (v - S k) k^T."""
    missing = tuple(
        beta * (a - b) for a, b in zip(value, recall(state, key), strict=True)
    )
    return plus(state, outer(missing, key))


def before() -> Matrix:
    """The state after the first pair."""
    return outer(OLD, KEY)


def draw() -> Figure:
    """Three steps of the delta rule; the sum beside it."""
    return Figure(_delta(), _sum())


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−") if abs(value) > 1e-9 else "0"


def _matrix(pen: Pen, x: float, y: float, rows: Matrix, cls: str, name: str) -> None:
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            pen.rect(x + j * CELL, y + i * CELL, CELL, CELL, cls, 0)
            middle = x + (j + 0.5) * CELL
            pen.text(middle, y + (i + 0.5) * CELL + 4, _number(value), "n", "middle")
    maths(pen, x + CELL, y - 6, name, "B", "middle")


def _column(pen: Pen, x: float, y: float, values: Vector, cls: str, name: str) -> None:
    for i, value in enumerate(values):
        pen.rect(x, y + i * CELL, CELL, CELL, cls, 0)
        middle = x + CELL / 2
        pen.text(middle, y + (i + 0.5) * CELL + 4, _number(value), "n", "middle")
    maths(pen, x + CELL / 2, y - 6, name, "B", "middle")


def _sign(pen: Pen, x: float, y: float, words: str) -> None:
    pen.text(x, y + CELL + 5, words, "H", "middle")


def _delta() -> Panel:
    pen, state = Pen(), before()
    held = recall(state, KEY)
    missing = tuple(a - b for a, b in zip(NEW, held, strict=True))
    after = by_delta(state, KEY, NEW)
    pen.text(4, 15, "The delta rule", "H")
    pen.text(4, 33, "1. Read: what does the state recall for the key?", "")
    y = 58
    _matrix(pen, 20, y, state, "b state", "S")
    _sign(pen, 102, y, "×")
    _column(pen, 116, y, KEY, "b attn", "k")
    _sign(pen, 167, y, "=")
    _column(pen, 184, y, held, "b kept", "S k")
    pen.text(230, y + 39, "the old value", "s m")
    pen.text(4, y + 92, "2. Compare with the value that is wanted.", "")
    y += 118
    _column(pen, 20, y, NEW, "b ffn", "v")
    _sign(pen, 72, y, "−")
    _column(pen, 88, y, held, "b kept", "S k")
    _sign(pen, 139, y, "=")
    _column(pen, 156, y, missing, "b diff", "e")
    pen.text(202, y + 32, "erases the old,", "s m")
    pen.text(202, y + 46, "writes the new", "s m")
    pen.text(4, y + 92, "3. Write the difference under the key.", "")
    y += 118
    _matrix(pen, 20, y, outer(missing, KEY), "b diff", "e kᵀ")
    _sign(pen, 104, y, "+")
    _matrix(pen, 120, y, state, "b state", "S")
    arrow(pen, (192, y + CELL), (214, y + CELL))
    _matrix(pen, 220, y, after, "b state", "new S")
    now = recall(after, KEY)
    words = f"It now recalls ({_number(now[0])}, {_number(now[1])}) for k."
    pen.text(20, y + 2 * CELL + 20, words, "B")
    said = (
        f"The state recalls ({_number(held[0])}, {_number(held[1])}) for the key; "
        f"wanted is ({_number(NEW[0])}, {_number(NEW[1])}). The difference is written "
        f"under the key, and the state then recalls ({_number(now[0])}, "
        f"{_number(now[1])})."
    )
    return Panel("The delta rule", said, pen, y + 2 * CELL + 28)


def _sum() -> Panel:
    pen, state = Pen(), before()
    after = by_sum(state, KEY, NEW)
    now = recall(after, KEY)
    pen.text(4, 15, "A sum, as in linear attention", "H")
    pen.text(4, 33, "The new pair is added to the old one.", "")
    y = 58
    _matrix(pen, 20, y, outer(NEW, KEY), "b ffn", "v kᵀ")
    _sign(pen, 104, y, "+")
    _matrix(pen, 120, y, state, "b state", "S")
    arrow(pen, (192, y + CELL), (214, y + CELL))
    _matrix(pen, 220, y, after, "b state", "new S")
    pen.text(4, y + 92, "Reading gives both values at once.", "")
    y += 118
    _matrix(pen, 20, y, after, "b state", "S")
    _sign(pen, 102, y, "×")
    _column(pen, 116, y, KEY, "b attn", "k")
    _sign(pen, 167, y, "=")
    _column(pen, 184, y, now, "b diff", "S k")
    pen.text(230, y + 32, "red and blue", "s m")
    pen.text(230, y + 46, "mixed", "s m")
    said = (
        "Added, both values stay under the key, and the state recalls "
        f"({_number(now[0])}, {_number(now[1])}): the sum of old and new."
    )
    assert pen.width == WIDTH
    return Panel("A sum", said, pen, y + 2 * CELL + 10)
