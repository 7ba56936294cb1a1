"""How far back a Transformer-XL sees: with a memory of one segment, each layer takes
the context one segment further.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import line
from course_lib.kit.diagrams.pen import Pen
from course_lib.models.hybrids.segment_recurrence import earliest_seen

LAYERS, SEGMENT, MEMORY, TOKENS = 3, 4, 4, 20
LEFT, STEP, TOP, ROW = 48, 14.4, 52, 34


def first_seen(level: int) -> int:
    """The first token that matters at a level, 0 the embeddings, for the last token's
    output.
    """
    return earliest_seen(TOKENS - 1, LAYERS - level, SEGMENT, MEMORY)


def draw() -> Figure:
    """Levels of vectors, the output on top; solid: what the last output depends on."""
    pen = Pen()
    pen.text(4, 15, "Context grows by a segment a layer", "H")
    pen.text(4, 33, "segments of 4 tokens, a memory of 4 in each layer", "s m")
    for level in range(LAYERS + 1):
        y = TOP + (LAYERS - level) * ROW
        name = "input" if level == 0 else f"layer {level}"
        pen.text(4, y + 10, name, "s")
        first = first_seen(level)
        for t in range(TOKENS):
            near = first <= t and (level < LAYERS or t == TOKENS - 1)
            role = "k attn" if near else "e"
            pen.rect(_x(t), y, STEP - 4, 14, role, 1)
        if level:
            last = TOKENS - 1
            start = last if level == LAYERS else first
            for above, below in ((start, first_seen(level - 1)), (last, last)):
                top, low = (_middle(above), y + 14), (_middle(below), y + ROW)
                line(pen, top, low, cls="u attn d", under=True)
    low = TOP + LAYERS * ROW + 14
    for cut in range(SEGMENT, TOKENS, SEGMENT):
        x = _x(cut) - 2
        line(pen, (x, TOP - 4), (x, low + 4), cls="g")
    pen.text(4, low + 18, "segment", "s m")
    for part in range(TOKENS // SEGMENT):
        x = _x(part * SEGMENT) + SEGMENT * STEP / 2 - 2
        pen.text(x, low + 18, part + 1, "s m n", "middle")
    reach = TOKENS - first_seen(0)
    pen.text(4, low + 38, f"The last output depends on {reach} tokens.", "B")
    pen.text(4, low + 53, "Its gradient stops at the left end of its segment.", "s")
    said = (
        f"With {LAYERS} layers, segments of {SEGMENT} and a memory of {MEMORY}, the "
        f"output at the last of {TOKENS} tokens depends on {reach} of them: one "
        "segment more with each layer."
    )
    return Figure(Panel("Segments and what they see", said, pen, low + 60))


def _x(token: int) -> float:
    return LEFT + token * STEP


def _middle(token: int) -> float:
    return _x(token) + STEP / 2 - 2
