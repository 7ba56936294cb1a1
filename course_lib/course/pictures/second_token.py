"""Multi-token prediction: a further layer predicts the token after the next one, and
the next pass of the model checks it.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, block, line
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tokens import token

TEXT = ("The", "capital", "of", "Greece", "is")
# a pass, the tokens that it runs over, their roles, and what comes of it
PASSES = (
    ("pass 1", ("… is",), ("b emb",), "Athens; then a guess: ."),
    ("pass 2", ("Athens", "."), ("b emb", "b state"), "right: two tokens"),
    ("pass 3", ("It", "was"), ("b emb", "b state"), "wrong: one token"),
)


def draw() -> Figure:
    """Training and use of one further layer."""
    return Figure(_two_losses(), _checked())


def _row(pen: Pen, y: float, words, step: float = 62) -> list[float]:
    return [token(pen, 8 + i * step, y, step - 6, word) for i, word in enumerate(words)]


def _two_losses() -> Panel:
    pen = Pen()
    pen.text(4, 15, "In training: two losses at each position", "T")
    at = _row(pen, 30, TEXT[1:])
    for x in at:
        arrow(pen, (x, 50), (x, 66))
    block(pen, 8, 66, 242, 34, ["model", "61 layers"], "attn")
    for x, word in zip(at, (*TEXT[2:], "Athens"), strict=True):
        arrow(pen, (x, 100), (x, 118))
        pen.text(x, 130, word, "s B", "middle")
    pen.text(268, 134, "next token", "s m")
    line(pen, (250, 83), (260, 83), (260, 167))
    arrow(pen, (260, 167), (251, 167))
    pen.text(268, 104, "last hidden", "s m")
    pen.text(268, 117, "state", "s m")
    for x in at:
        arrow(pen, (x, 134), (x, 150), cls="l d")
    block(pen, 8, 150, 242, 34, ["MTP module", "one layer"], "state")
    for x, word in zip(at, (*TEXT[3:], "Athens", "."), strict=True):
        arrow(pen, (x, 184), (x, 202))
        pen.text(x, 214, word, "s B", "middle")
    pen.text(262, 214, "one further", "s m")
    return Panel(
        "Training",
        "The model predicts the next token at each position. One further layer takes "
        "its hidden state and the next token, and predicts the token after that.",
        pen,
        224,
    )


def _checked() -> Panel:
    pen = Pen()
    pen.text(4, 15, "In use: one pass checks and writes", "T")
    for i, (title, words, roles, told) in enumerate(PASSES):
        y = 32 + i * 62
        pen.text(8, y + 14, title, "s B")
        for j, (word, cls) in enumerate(zip(words, roles, strict=True)):
            token(pen, 56 + j * 62, y, 56, word, cls)
        arrow(pen, (180, y + 10), (196, y + 10))
        pen.text(202, y + 14, told, "s")
        if i:
            new = "It" if i == 1 else "lies"
            pen.text(202, y + 30, f"this pass adds: {new}", "s m")
    pen.text(8, 214, "green: certain.  purple: guessed by the module", "s m")
    return Panel(
        "Use",
        "A pass runs over the last certain token and the guess. If the model would "
        "have written the guess itself, two tokens are won; if not, one.",
        pen,
        224,
    )
