"""The scan: a recurrence in a loop, as a tree of pairs, and in chunks."""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, line
from course_lib.kit.diagrams.pen import Pen

STEPS, CHUNK = 8, 4
LEFT, STEP, SIZE = 12, 41, 26


def combine(first: tuple[float, float], then: tuple[float, float]):
    """Two steps h -> a h + b as one: (a_2 a_1, a_2 b_1 + b_2)."""
    return then[0] * first[0], then[0] * first[1] + then[1]


def after_two(a_1: float, b_1: float, a_2: float, b_2: float, state: float) -> float:
    """The state after two steps, from their combination."""
    a, b = combine((a_1, b_1), (a_2, b_2))
    return a * state + b


def tree_levels(steps: int) -> list[list[tuple[int, int]]]:
    """The pairs (from, to) that are combined at each level: place `to` takes in what
    place `from` covers, at distances 1, 2, 4, ...
    """
    levels, reach = [], 1
    while reach < steps:
        levels.append([(i - reach, i) for i in range(reach, steps)])
        reach *= 2
    return levels


def draw() -> Figure:
    """Left the tree, right the chunks."""
    return Figure(_tree(), _chunks())


def _at(i: int) -> float:
    return LEFT + i * STEP + SIZE / 2


def _tree() -> Panel:
    pen, levels = Pen(), tree_levels(STEPS)
    pen.text(4, 15, "As a tree", "H")
    pen.text(4, 31, f"{len(levels)} rounds for {STEPS} steps, all places at once", "m")
    y = 44
    for i in range(STEPS):
        pen.rect(LEFT + i * STEP, y, SIZE, 20, "b emb")
        pen.text(_at(i), y + 14, i + 1, "s B", "middle")
    for level, pairs in enumerate(levels):
        reach = 2**level
        top, low = y + 20, y + 52
        for first, then in pairs:
            line(
                pen, (_at(first), top), (_at(then), low - 1), cls="u state", under=True
            )
        for i in range(STEPS):
            line(pen, (_at(i), top), (_at(i), low - 1))
            done = i < 2 * reach
            pen.rect(LEFT + i * STEP, low, SIZE, 20, "k state" if done else "b state")
            first = max(0, i - 2 * reach + 1) + 1
            words = f"{first}–{i + 1}" if first <= i else f"{i + 1}"
            pen.rect(LEFT + i * STEP + 2, low + 3, SIZE - 4, 14, "x", 2)
            pen.text(_at(i), low + 14, words, "s", "middle")
        y += 52
    pen.text(4, y + 38, "solid: everything from step 1 on is in it", "s m")
    work = sum(len(pairs) for pairs in levels)
    said = (
        f"{STEPS} steps are combined in {len(levels)} rounds at distances 1, 2 and 4, "
        f"with {work} combinations; a loop needs {STEPS - 1}, one after another."
    )
    return Panel("A scan as a tree", said, pen, y + 46)


def _chunks() -> Panel:
    pen, chunks = Pen(), STEPS // CHUNK
    pen.text(4, 15, "In chunks", "H")
    pen.text(4, 31, "in parallel inside, one state between", "m")
    wide = CHUNK * STEP - 14
    for c in range(chunks):
        x = LEFT - 2 + c * CHUNK * STEP
        pen.rect(x, 78, wide, 62, "b attn", 6)
        pen.text(x + wide / 2, 116, f"chunk {c + 1}", "T", "middle")
        pen.text(x + wide / 2, 131, "all tokens at once", "s", "middle")
        for j in range(CHUNK):
            i = c * CHUNK + j
            pen.rect(LEFT + i * STEP, 44, SIZE, 20, "b emb")
            pen.text(_at(i), 58, i + 1, "s B", "middle")
            arrow(pen, (_at(i), 64), (_at(i), 77))
            arrow(pen, (_at(i), 140), (_at(i), 158))
            pen.rect(LEFT + i * STEP, 159, SIZE, 20, "b attn")
            pen.text(_at(i), 173, f"y{'₁₂₃₄₅₆₇₈'[i]}", "s", "middle")
    x = LEFT - 9 + CHUNK * STEP
    pen.rect(x - 26, 84, 52, 16, "b state", 8)
    pen.text(x, 95, "state", "s", "middle")
    arrow(pen, (x + 26, 92), (x + 42, 92), cls="u state", head=5)
    pen.text(4, 198, "the state is stored at the borders of chunks only", "s m")
    said = (
        f"{STEPS} steps in {chunks} chunks of {CHUNK}: outputs inside a chunk are "
        "computed in parallel, and one state goes from each chunk to the next."
    )
    return Panel("A scan in chunks", said, pen, 206)
