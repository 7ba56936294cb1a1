"""One sentence through SmolLM2, pass by pass: what is computed again without a KV
cache, and what is read from one.

Notebook 3.8 runs the sentence: the words and the tokens of each pass are its own. The
last token that it writes is a line break.
"""

from course_lib.course.sentence import recorded
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, legend
from course_lib.kit.diagrams.pen import Pen, text_width

SEEN = recorded()
PROMPT = SEEN.words[: len(SEEN.pieces)]
WRITTEN = (*SEEN.words[len(SEEN.pieces) :], "⏎")
LEFT, STEP, TOP, ROW = 44, 37, 58, 40


def draw() -> Figure:
    """Both ways side by side."""
    return Figure(_panel(cached=False), _panel(cached=True))


def _panel(*, cached: bool) -> Panel:
    pen, words = Pen(), PROMPT + WRITTEN
    pen.text(4, 14, "With a cache" if cached else "Without a cache", "H")
    for i, word in enumerate(words[:-1]):
        pen.text(LEFT + i * STEP + 17, TOP - 14, word, "s", "middle")
    counts = []
    for step, word in enumerate(WRITTEN):
        tokens = len(PROMPT) + step
        kept = tokens - 1 if cached and step else 0
        _row(pen, TOP + step * ROW, step, tokens, kept)
        _written(pen, TOP + step * ROW, tokens, word)
        counts.append(tokens - kept)
    y = TOP + len(WRITTEN) * ROW
    total = f"{' + '.join(map(str, counts))} = {sum(counts)} tokens"
    pen.text(LEFT, y + 10, f"computed: {total}", "B")
    entries = [("p attn", "computed, in all layers")]
    if cached:
        entries.append(("b kept", "only its k and v are read"))
    legend(pen, LEFT, y + 24, entries, width=340 + LEFT)
    return Panel(
        "With a cache" if cached else "Without a cache",
        f"Three passes write {', '.join(WRITTEN[:2])} and a line break. They run over "
        f"{', '.join(map(str, counts))} tokens: {sum(counts)} in all.",
        pen,
        y + 40,
    )


def _row(pen: Pen, y: float, step: int, tokens: int, kept: int) -> None:
    pen.text(4, y + 12, f"pass {step + 1}", "B s")
    pen.text(4, y + 24, "prefill" if kept == step == 0 else "", "s m")
    for i in range(tokens):
        x = LEFT + i * STEP
        if i < kept:
            pen.rect(x, y, STEP - 4, 24, "b kept")
            pen.text(x + (STEP - 4) / 2, y + 16, "k v", "s", "middle")
        else:
            pen.rect(x, y, STEP - 4, 24, "p attn")


def _written(pen: Pen, y: float, tokens: int, word: str) -> None:
    x = LEFT + tokens * STEP
    arrow(pen, (x - 2, y + 12), (x + 9, y + 12), head=3)
    pen.rect(x + 11, y + 2, max(text_width(word, "s B") + 6, 14), 20, "b emb")
    pen.text(x + 14, y + 16, word, "s B")
