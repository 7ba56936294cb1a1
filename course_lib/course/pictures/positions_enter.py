"""Where positions enter a Transformer: added to the embeddings, turned into queries and
keys, or added to the scores.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, block, frame, pill, sign
from course_lib.kit.diagrams.pen import WIDTH, Pen
from course_lib.kit.diagrams.tensors import maths

QUERY, KEY, VALUE = 46, 104, 162  # the middles of the three columns
SCHEME = 212  # where the schemes stand, at the right


def draw() -> Figure:
    """The path of a token downward, the schemes at its right."""
    pen = Pen()
    block(pen, 30, 8, 148, 26, "token embedding", "emb", "")
    arrow(pen, (KEY, 34), (KEY, 51))
    sign(pen, KEY, 58)
    _scheme(pen, 58, "emb", "Absolute", "table or sines, once")
    arrow(pen, (SCHEME, 58), (KEY + 7, 58))
    arrow(pen, (KEY, 65), (KEY, 96))
    frame(pen, 84, 322, "", w=198)
    pen.text(14, 100, "each layer", "m")
    pen.path(f"M{QUERY} 114V106H{VALUE}V114M{KEY} 96V106", "l")
    for x, name in ((QUERY, "W_Q"), (KEY, "W_K"), (VALUE, "W_V")):
        block(pen, x - 25, 114, 50, 26, "", "attn")
        maths(pen, x + 2, 131, name, "B", "middle")
    for x in (QUERY, KEY):
        arrow(pen, (x, 140), (x, 158))
        pill(pen, x - 25, 158, 50, "turn", "attn")
        arrow(pen, (x, 176), (x, 194))
    _scheme(pen, 167, "attn", "RoPE", "turns q and k")
    arrow(pen, (SCHEME, 167), (KEY + 26, 167))
    block(pen, QUERY - 25, 194, 108, 28, "", "attn")
    maths(pen, 77, 212, "q · k / √d_k", "", "middle")
    arrow(pen, (77, 222), (77, 241))
    sign(pen, 77, 248)
    _scheme(pen, 248, "attn", "ALiBi, T5's bias", "added to the scores")
    arrow(pen, (SCHEME, 248), (84, 248))
    arrow(pen, (77, 255), (77, 274))
    block(pen, QUERY - 25, 274, 174, 28, "softmax, mean of the values", "attn", "s")
    arrow(pen, (VALUE, 140), (VALUE, 274))
    arrow(pen, (KEY, 302), (KEY, 340))
    return Figure(
        Panel(
            "Where positions enter",
            "A learned table or sines are added to the token embeddings, once. RoPE "
            "turns queries and keys in each layer, after the projections. ALiBi and "
            "T5's bias are added to the scores in each layer. Values never get a "
            "position of their own.",
            pen,
            344,
        )
    )


def _scheme(pen: Pen, y: float, role: str, name: str, words: str) -> None:
    """A way to give positions, with a line of words under its name."""
    block(pen, SCHEME, y - 18, WIDTH - SCHEME - 4, 36, [name, words], role, "B")
