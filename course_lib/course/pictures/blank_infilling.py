"""GLM's blank infilling: a text with spans cut out, the spans, and two positions."""

from collections.abc import Callable, Iterable, Sequence

from course_lib.course.sentence import recorded
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tokens import tokens

SPANS = ((5,), (1, 2))  # in the order in which they are written
LEFT, STEP = 48, 47


def draw() -> Figure:
    """The text, part A and part B, each token with its two positions."""
    words = recorded().words
    kept, places = _part_a(words)
    pen = Pen()
    pen.text(4, 15, "The text", "T")
    tokens(
        pen, 4, 22, words, 47, lambda i: "b attn" if i in sum(SPANS, ()) else "b emb"
    )
    pen.text(4, 69, "Part A: the rest, with one [M] for each span", "B")
    _row(pen, 76, "in", kept, lambda i: "b diff" if kept[i] == "[M]" else "b emb")
    _numbers(pen, 108, "place", range(len(kept)))
    _numbers(pen, 122, "in span", [0] * len(kept))
    pen.text(4, 149, "Part B: the spans, in random order", "B")
    inputs, targets, place, within = _part_b(words, places)
    _row(pen, 156, "in", inputs, lambda i: "b emb")
    _row(pen, 180, "target", targets, lambda i: "b attn")
    _numbers(pen, 212, "place", place)
    _numbers(pen, 226, "in span", within)
    entries = [("b emb", "input"), ("b attn", "target"), ("b diff", "a span")]
    legend(pen, LEFT, 238, entries, 3, 386)
    return Figure(
        Panel(
            "Blank infilling",
            "The spans of a text are cut out. Part A is the rest, with one mask token "
            "for each span. Part B holds the spans in random order, each between a "
            "start and an end; all tokens of a span have the place of its mask token.",
            pen,
            252,
        )
    )


def _part_a(words: Sequence[str]) -> tuple[list[str], dict[int, int]]:
    """The text with one [M] a span, and the place of each span's [M] by its start."""
    kept: list[str] = []
    places: dict[int, int] = {}
    cut = {i: span for span in SPANS for i in span}
    for i, word in enumerate(words):
        if i not in cut:
            kept.append(word)
        elif i == cut[i][0]:
            places[i] = len(kept)
            kept.append("[M]")
    return kept, places


def _part_b(
    words: Sequence[str], places: dict[int, int]
) -> tuple[list[str], list[str], list[int], list[int]]:
    """Inputs, targets and both positions of the spans."""
    inputs, targets, place, within = [], [], [], []
    for span in SPANS:
        spelled = [words[i] for i in span]
        inputs += ["[S]", *spelled]
        targets += [*spelled, "[E]"]
        place += [places[span[0]]] * (len(span) + 1)
        within += range(1, len(span) + 2)
    return inputs, targets, place, within


def _row(
    pen: Pen, y: float, name: str, words: Sequence[str], cls_of: Callable[[int], str]
) -> None:
    pen.text(LEFT - 6, y + 14, name, "m s", "end")
    tokens(pen, LEFT, y, words, STEP, cls_of, gap=3)


def _numbers(pen: Pen, y: float, name: str, numbers: Iterable[int]) -> None:
    pen.text(LEFT - 6, y, name, "m s", "end")
    for i, number in enumerate(numbers):
        pen.text(LEFT + i * STEP + (STEP - 3) / 2, y, number, "c", "middle")
