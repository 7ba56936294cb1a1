"""Three places where text that was looked up can enter a language model: before the
prompt, through cross-attention, and in the attention of one layer.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, block, line
from course_lib.kit.diagrams.pen import HALF, Pen

TALL = 206


def draw() -> Figure:
    """In the prompt, by cross-attention, in one layer."""
    return Figure(_prompt(), _cross(), _nearest(), wrap=HALF)


def _start(title: str, words: str) -> Pen:
    pen = Pen(HALF)
    pen.text(6, 15, title, "T")
    pen.text(6, 30, words, "s m")
    return pen


def _layers(pen: Pen, x: float, w: float, roles: tuple[str, ...]) -> None:
    """A stack, input at the bottom."""
    for i, role in enumerate(roles):
        pen.rect(x, 48 + i * 22, w, 18, f"b {role}", 2)


def _store(pen: Pen, x: float, y: float) -> None:
    pen.rect(x, y, 52, 22, "b kept")
    pen.text(x + 26, y + 15, "index", "s", "middle")


def _prompt() -> Panel:
    pen = _start("In the prompt", "any model; RAG")
    _layers(pen, 60, 100, ("attn",) * 4)
    pen.rect(60, 142, 48, 20, "k kept", 2)
    pen.rect(112, 142, 48, 20, "b emb", 2)
    pen.text(84, 174, "found", "s", "middle")
    pen.text(136, 174, "question", "s", "middle")
    for x in (84, 136):
        arrow(pen, (x, 142), (x, 134), head=3)
    _store(pen, 4, 178)
    arrow(pen, (30, 178), (30, 152), (58, 152), head=3)
    line(pen, (136, 178), (136, 190))
    arrow(pen, (136, 190), (58, 190), head=3)
    said = "Found passages stand before the question, and every layer reads them."
    return Panel("In the prompt", said, pen, TALL)


def _cross() -> Panel:
    pen = _start("Cross-attention", "RETRO, by chunks")
    _layers(pen, 86, 74, ("attn", "kept", "attn", "kept"))
    for row in (1, 3):
        pen.text(123, 61 + row * 22, "cross", "s", "middle")
    pen.rect(86, 142, 74, 20, "b emb", 2)
    pen.text(123, 156, "text", "s", "middle")
    arrow(pen, (123, 142), (123, 134), head=3)
    block(pen, 4, 86, 60, 30, ["encoder", "of found"], "attn", "s")
    _store(pen, 4, 178)
    arrow(pen, (30, 178), (30, 116), head=3)
    line(pen, (64, 101), (74, 101))
    for y in (79, 123):
        line(pen, (74, 101), (74, y))
        arrow(pen, (74, y), (84, y), cls="u kept", head=3)
    line(pen, (123, 162), (123, 190))
    arrow(pen, (123, 190), (58, 190), head=3)
    said = "Found passages are encoded apart; some layers attend to them."
    return Panel("Cross-attention", said, pen, TALL)


def _nearest() -> Panel:
    pen = _start("In one layer", "kNN memory")
    _layers(pen, 86, 74, ("attn", "kept", "attn", "attn"))
    pen.text(123, 83, "+ nearest", "s", "middle")
    pen.rect(86, 142, 74, 20, "b emb", 2)
    pen.text(123, 156, "text", "s", "middle")
    arrow(pen, (123, 142), (123, 134), head=3)
    pen.rect(4, 62, 52, 36, "b kept")
    for i, words in enumerate(("keys and", "values")):
        pen.text(30, 77 + i * 13, words, "s", "middle")
    arrow(pen, (58, 74), (84, 74), cls="u kept", head=3)
    arrow(pen, (84, 84), (58, 84), cls="u attn", head=3)
    pen.text(6, 178, "No text is found:", "s")
    pen.text(6, 192, "vectors of the past are.", "s")
    said = "One layer's queries look up keys of the past; no text comes back."
    return Panel("In one layer", said, pen, TALL)
