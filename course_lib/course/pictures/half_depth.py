"""A decoder and a causal encoder-decoder: which layers a token of the prompt passes."""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, line, paragraph
from course_lib.kit.diagrams.pen import HALF, Pen
from course_lib.kit.diagrams.tokens import layer, token

LAYERS = 6
TOP, STEP = 74, 42


def draw() -> Figure:
    """Two columns in each panel: a token of the prompt, a token that is written."""
    return Figure(
        _panel(
            "Decoder", "Llama", LAYERS, [f"cached: {LAYERS} sets of", "keys and values"]
        ),
        _panel(
            "Encoder-decoder",
            "causal, as YOCO",
            LAYERS // 2,
            [f"cached: {LAYERS // 2} sets, and 1", "for all upper layers"],
        ),
    )


def _panel(title: str, note: str, passed: int, said: list[str]) -> Panel:
    pen = Pen(HALF)
    pen.text(4, 15, title, "T")
    pen.text(4, 31, note, "m s")
    token(pen, 4, 40, 62, "prompt")
    token(pen, 98, 40, 62, "answer")
    for i in range(LAYERS):
        y = TOP + i * STEP
        _column(pen, 4, y, i < passed)
        _column(pen, 98, y, True)
        start = 4 + 62
        if i < passed:
            arrow(pen, (start, y + 8), (98, y + 8), cls="u kept")
        else:
            arrow(pen, (82, y + 8), (98, y + 8), cls="u kept")
    if passed < LAYERS:
        y = TOP + passed * STEP
        pen.rect(12, y + 6, 46, 20, "b kept", 2)
        pen.text(35, y + 20, "K, V", "B", "middle")
        arrow(pen, (35, y - 8), (35, y + 5))
        line(pen, (58, y + 16), (82, y + 16), cls="u kept")
        line(pen, (82, y + 8), (82, y + 8 + (LAYERS - passed - 1) * STEP), cls="u kept")
    y = TOP + LAYERS * STEP + 8
    pen.text(4, y + 6, f"prompt token: {passed} layers", "B")
    paragraph(pen, 4, y + 22, said, "s", 13)
    return Panel(
        title, f"A prompt token passes {passed} of {LAYERS} layers.", pen, y + 42
    )


def _column(pen: Pen, x: float, y: float, passed: bool) -> None:
    if passed:
        arrow(pen, (x + 31, y - 14 if y == TOP else y - 8), (x + 31, y - 0.5))
        layer(pen, x, y, 62)
