"""One more token under a causal and under a bidirectional mask: which rows are computed
again.
"""

from collections.abc import Callable

from course_lib.course.sentence import recorded
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import legend, paragraph
from course_lib.kit.diagrams.pen import HALF, Pen
from course_lib.kit.diagrams.tokens import word_mask

LEFT, TOP, SIZE = 47, 74, 19


def draw() -> Figure:
    """The mask after the new token; the rows that had to be computed are solid."""
    last = len(recorded().pieces)

    def causal(row: int, column: int) -> str | None:
        if column > row:
            return None
        return "p attn" if row == last else "q kept"

    return Figure(
        _panel(
            "Causal",
            causal,
            [
                "The old rows stay: their keys",
                "and values are cached.",
                "1 row is new.",
            ],
        ),
        _panel(
            "Bidirectional",
            lambda row, column: "p attn",
            [
                "Each old row gains a column,",
                "so its vector changes.",
                f"{last + 1} rows are new.",
            ],
        ),
    )


def _panel(
    title: str, role_of: Callable[[int, int], str | None], said: list[str]
) -> Panel:
    pen, seen = Pen(HALF), recorded()
    words = seen.words[: len(seen.pieces) + 1]
    pen.text(6, 15, title, "T")
    pen.text(6, 30, f"+ {words[-1]}", "B")
    height = word_mask(pen, LEFT, TOP, words, SIZE, role_of)
    y = TOP + height + 18
    y += paragraph(pen, 6, y, said, "s", 13)
    entries = [("p attn", "computed"), ("q kept", "kept")]
    y += legend(pen, 6, y - 4, entries, 2, HALF)
    return Panel(f"One more token, {title.lower()}", " ".join(said), pen, y)
