"""What a text of 262,144 tokens takes in Qwen3.5-35B-A3B, and in the same stack with
fewer or more of its layers attending.
"""

from course_lib.course.pictures.state_or_cache import MODEL, cache_bytes_at, state_bytes
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.pen import Pen
from course_lib.specs.loader import load_spec

TOKENS = 262_144
COUNTS = (40, 20, 10, 5, 1, 0)
LEFT, MOST, TOP, ROW = 124, 132, 50, 26


def parts(attends: int) -> tuple[int, int]:
    """Bytes of keys and values, and of states, if so many of the layers attend."""
    others = len(load_spec(MODEL).layers) - attends
    return attends * cache_bytes_at(TOKENS), others * state_bytes()


def draw() -> Figure:
    """A bar for each number of attention layers."""
    pen, said, most = Pen(), [], sum(parts(COUNTS[0]))
    pen.text(4, 15, "What one long text takes", "H")
    pen.text(4, 32, f"of {TOKENS:,} tokens, by layers that attend", "s m")
    for row, count in enumerate(COUNTS):
        kept, states = parts(count)
        y = TOP + row * ROW
        own = count == 10
        words = f"{count} of 40" + (" (its own)" if own else "")
        pen.text(4, y + 12, words, "B" if own else "")
        wide = MOST * kept / most
        if kept:
            pen.rect(LEFT, y, wide, 16, "b kept", 0)
        if states:
            pen.rect(LEFT + wide, y, max(MOST * states / most, 1.5), 16, "k state", 0)
        size = f"{(kept + states) / 2**20:,.0f} MiB"
        pen.text(LEFT + wide + 8, y + 12, size, "B n" if own else "n")
        said.append(f"{count} of 40 layers: {size}.")
    y = TOP + len(COUNTS) * ROW + 6
    pen.rect(4, y, 10, 10, "b kept", 2)
    pen.text(19, y + 9, "keys and values", "s")
    pen.rect(124, y, 10, 10, "k state", 2)
    pen.text(139, y + 9, "states", "s")
    return Figure(Panel("Memory by attention layers", " ".join(said), pen, y + 16))
