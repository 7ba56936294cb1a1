"""An encoder-decoder: the encoder's output enters every layer of the decoder."""

from course_lib.course.sentence import recorded
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, block, line
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tokens import layer, tokens

SOURCE = 4  # tokens of the sentence that are the source
LAYERS = 3
LEFT, RIGHT, RAIL = 8, 206, 172
TOP, STEP = 66, 66


def draw() -> Figure:
    """The source at the left, the target at the right, and the rail between them."""
    words = recorded().words
    source, target = words[:SOURCE], words[SOURCE:]
    pen = Pen()
    pen.text(LEFT, 14, "source", "T")
    pen.text(RIGHT, 14, "target, so far", "T")
    tokens(pen, LEFT, 24, source, 40, gap=2)
    tokens(pen, RIGHT, 24, target, 44, gap=3)
    arrow(pen, (RIGHT + 63, 46), (RIGHT + 63, TOP))
    for i in range(LAYERS):
        y = TOP + STEP * i
        _encoder_layer(pen, y, i)
        _decoder_layer(pen, y)
    y = TOP + STEP * LAYERS
    block(pen, LEFT, y, 140, 34, ["E", "the finished source"], "kept")
    line(pen, (LEFT + 140, y + 17), (RAIL, y + 17), (RAIL, TOP + 25), cls="u attn")
    block(pen, RIGHT, y, 126, 34, ["Output head", "the next token"], "emb")
    return Figure(
        Panel(
            "Encoder-decoder with cross-attention",
            "The encoder's layers run over the source, each token attending to all. "
            "Its output E feeds the cross-attention of every decoder layer, in which "
            "each target token attends to all source tokens.",
            pen,
            y + 44,
        )
    )


def _encoder_layer(pen: Pen, y: float, i: int) -> None:
    middle = LEFT + 70
    if not i:
        arrow(pen, (middle, 46), (middle, y))
    high = layer(pen, LEFT, y, 140)
    arrow(pen, (middle, y + high), (middle, y + STEP))


def _decoder_layer(pen: Pen, y: float) -> None:
    middle = RIGHT + 63
    high = layer(pen, RIGHT, y, 126, cross=True)
    arrow(pen, (middle, y + high), (middle, y + STEP))
    arrow(pen, (RAIL, y + 25), (RIGHT, y + 25), cls="u attn")
