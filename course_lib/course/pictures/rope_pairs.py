"""The two layouts of RoPE's pairs: neighbours, and coordinates half a head apart."""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.pen import Pen, number
from course_lib.kit.diagrams.tensors import cells, maths

HEAD = 8
X, Y, SIZE = 22, 92, 37
ROLES = ("attn", "ffn", "state", "emb")


def draw() -> Figure:
    """Neighbours at the left, rotate-half at the right."""
    half = HEAD // 2
    return Figure(
        _panel("Neighbours", "Meta's LLaMA", [(2 * i, 2 * i + 1) for i in range(half)]),
        _panel(
            "Rotate-half",
            "GPT-NeoX, Hugging Face's Llama",
            [(i, i + half) for i in range(half)],
        ),
    )


def _panel(title: str, users: str, pairs: list[tuple[int, int]]) -> Panel:
    pen = Pen()
    pen.text(8, 16, title, "T")
    pen.text(8, 32, users, "m")
    owner = {c: pair for pair, both in enumerate(pairs) for c in both}
    cells(
        pen,
        X,
        Y,
        [f"q_{c}" for c in range(HEAD)],
        SIZE,
        lambda c: f"b {ROLES[owner[c]]}",
        height=26,
    )
    for pair, (a, b) in enumerate(pairs):
        left, right = X + (a + 0.5) * SIZE, X + (b + 0.5) * SIZE
        high = 12 + 10 * pair * (b - a > 1)
        top = Y - high
        pen.path(f"M{number(left)} {Y}V{top}H{number(right)}V{Y}", f"u {ROLES[pair]}")
    for c in range(HEAD):
        maths(pen, X + (c + 0.5) * SIZE, Y + 42, f"ω_{owner[c]}", "m", "middle")
    said = ", ".join(f"{a} with {b}" for a, b in pairs)
    return Panel(title, f"Coordinates that turn together: {said}.", pen, Y + 50)
