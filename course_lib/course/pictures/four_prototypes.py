"""The four prototypes on one sentence: the stack of each, and its mask."""

from collections.abc import Callable, Sequence

from course_lib.course.sentence import recorded
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, paragraph
from course_lib.kit.diagrams.pen import HALF, Pen
from course_lib.kit.diagrams.tokens import layer, word_mask

LEFT, TOP, SIZE = 47, 190, 16
PREFIX = 4
Mask = Callable[[int, int], str | None]


def draw() -> Figure:
    """Four narrow panels: two in a row on a phone, four on a wide page."""
    return Figure(
        _panel(
            "Encoder",
            "BERT",
            _one_stack,
            lambda i, j: "p attn",
            0,
            ["every token attends", "to every token"],
        ),
        _panel(
            "Decoder",
            "GPT, Llama",
            _one_stack,
            _causal,
            0,
            ["a token attends to", "itself and its past"],
        ),
        _panel(
            "PrefixLM",
            "GLM, PaliGemma",
            _one_stack,
            _prefix,
            PREFIX,
            ["the prefix attends to itself,", "the rest to its past"],
        ),
        _panel(
            "Encoder-decoder",
            "T5, BART",
            _two_stacks,
            _blocks,
            PREFIX,
            ["the same pairs, in three", "blocks of other weights"],
        ),
    )


def _causal(row: int, column: int) -> str | None:
    return "p attn" if column <= row else None


def _prefix(row: int, column: int) -> str | None:
    return "p attn" if column <= row or column < PREFIX else None


def _blocks(row: int, column: int) -> str | None:
    cross = row >= PREFIX > column
    return "q attn" if cross else _prefix(row, column)


def _panel(
    title: str,
    models: str,
    stack: Callable[[Pen], None],
    mask: Mask,
    split: int,
    said: Sequence[str],
) -> Panel:
    pen = Pen(HALF)
    pen.text(6, 15, title, "T")
    pen.text(6, 31, models, "m s")
    stack(pen)
    gap = 5 if title == "Encoder-decoder" else 1.5
    height = word_mask(pen, LEFT, TOP, recorded().words, SIZE, mask, split, gap)
    y = TOP + height + 18
    y += paragraph(pen, 6, y, said, "s", 13)
    return Panel(f"{title}: stack and mask", f"{' '.join(said).capitalize()}.", pen, y)


def _one_stack(pen: Pen) -> None:
    pen.text(83, 50, "the text", "s", "middle")
    arrow(pen, (83, 54), (83, 66))
    high = layer(pen, 38, 68, 90)
    arrow(pen, (83, 68 + high), (83, 68 + high + 14))
    pen.text(136, 68 + high / 2 + 4, "× L", "B")


def _two_stacks(pen: Pen) -> None:
    pen.text(36, 50, "source", "s", "middle")
    pen.text(119, 50, "target", "s", "middle")
    arrow(pen, (36, 54), (36, 66))
    arrow(pen, (119, 54), (119, 66))
    below = 68 + layer(pen, 4, 68, 64)
    arrow(pen, (36, below), (36, below + 9), (70, below + 9), (70, 93), (76, 93))
    below = 68 + layer(pen, 76, 68, 88, cross=True)
    arrow(pen, (119, below), (119, below + 14))
