"""One sentence under three objectives: what goes in, and where there is a loss."""

from collections.abc import Sequence

from course_lib.course.sentence import recorded
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tokens import tokens

LEFT, STEP = 46, 42
HIDDEN = (1, 2, 5)  # capital of, Athens
MASK = "[M]"


def draw() -> Figure:
    """Next token, masked token, span corruption; a target stands under its input."""
    words = recorded().words
    pen = Pen()
    y = _rows(pen, 4, "Next token (GPT)", words[:-1], words[1:])
    masked = [MASK if i in HIDDEN else word for i, word in enumerate(words)]
    asked = [word if i in HIDDEN else "" for i, word in enumerate(words)]
    y = _rows(pen, y, "Masked tokens (BERT)", masked, asked)
    y = _spans(pen, y, words)
    entries = [("b emb", "input"), ("b attn", "target, with a loss"), ("g", "no loss")]
    y += legend(pen, LEFT, y, entries, 2, 386)
    return Figure(
        Panel(
            "Three objectives on one sentence",
            "Next token: every position but the last has the following token as its "
            "target. Masked tokens: only the masked positions have a target, the token "
            "that was there. Spans: the source has one sentinel in place of each span, "
            "and the target spells the spans out.",
            pen,
            y,
        )
    )


def _rows(
    pen: Pen, y: float, title: str, inputs: Sequence[str], targets: Sequence[str]
) -> float:
    """Inputs, and their targets under them. Returns where the next pair begins."""
    pen.text(4, y + 11, title, "T")
    _row(pen, y + 20, "in", inputs, "b emb")
    _row(pen, y + 43, "target", targets, "b attn")
    return y + 86


def _row(pen: Pen, y: float, name: str, words: Sequence[str], cls: str) -> None:
    pen.text(LEFT - 6, y + 14, name, "m s", "end")
    tokens(pen, LEFT, y, words, STEP, lambda i: cls if words[i] else "g", gap=3)


def _spans(pen: Pen, y: float, words: Sequence[str]) -> float:
    """Span corruption: a source, and a target that is predicted token by token."""
    source, target, sentinels = [], [], 0
    for i, word in enumerate(words):
        if i not in HIDDEN:
            source.append(word)
        elif i - 1 in HIDDEN:
            target.append(word)
        else:
            sentinel = f"<{sentinels}>"
            source.append(sentinel)
            target += [sentinel, word]
            sentinels += 1
    pen.text(4, y + 11, "Span corruption (T5)", "T")
    _row(pen, y + 20, "source", source, "b emb")
    _row(pen, y + 49, "in", ["<s>", *target], "b emb")
    _row(pen, y + 72, "target", [*target, f"<{sentinels}>"], "b attn")
    return y + 112
