"""What one query attends to under four kinds of trained sparse attention: tokens,
blocks, compressed entries.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend
from course_lib.kit.diagrams.pen import Pen

TOKENS = 48
# how many tokens one unit holds, which units are looked at, and the local window;
# sizes are about a tenth of the models'
DSA = (1, (3, 9, 10, 21, 30, 31, 40, 44, 46, 47), 0)
MSA = (8, (1, 3, 5), 0)
CSA = (4, (0, 2, 5, 7), 6)
HCA = (12, (0, 1, 2, 3), 6)
FORMS = (
    ("DSA", "picks single tokens", DSA),
    ("MSA", "picks blocks of tokens", MSA),
    ("CSA", "picks from entries of 4 tokens", CSA),
    ("HCA", "attends to all entries of many tokens", HCA),
)
LEFT, CELL, TALL = 6, 6.8, 18


def looked_at(form: tuple) -> int:
    """Keys of the softmax: tokens under DSA and MSA, entries and a window else."""
    size, units, window = form
    merged = window > 0
    return len(units) * (1 if merged else size) + window


def draw() -> Figure:
    """Four rows over the same text."""
    pen, y = Pen(), 0.0
    for title, words, form in FORMS:
        y = _row(pen, y, title, words, form)
    entries = [("p attn", "tokens that are attended to")]
    entries += [("p kept", "one entry for its tokens"), ("p ffn", "local window")]
    y += legend(pen, LEFT, y, [*entries, ("e", "skipped")]) + 4
    counts = ", ".join(f"{title} {looked_at(form)}" for title, _, form in FORMS)
    said = f"Of {TOKENS} tokens, the softmax of one query runs over: {counts}."
    return Figure(Panel("Four ways to look at few", said, pen, y))


def _row(pen: Pen, y: float, title: str, words: str, form: tuple) -> float:
    size, units, window = form
    pen.text(4, y + 14, title, "T")
    pen.text(40, y + 14, words, "s m")
    pen.text(334, y + 14, f"{looked_at(form)} keys", "s B", "end")
    top = y + 20
    for unit in range(TOKENS // size):
        x, wide = LEFT + unit * size * CELL, size * CELL - 1
        merged = window > 0
        role = "p kept" if merged else "p attn"
        pen.rect(x, top, wide, TALL, role if unit in units else "e", 1)
    if window:
        x = LEFT + (TOKENS - window) * CELL
        pen.rect(x, top + TALL + 3, window * CELL - 1, 5, "p ffn", 0)
    return y + 52
