"""Attention patterns: which keys a query attends to, and how many edges that leaves."""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import grid
from course_lib.kit.diagrams.pen import HALF, Pen

N, WINDOW, GAP = 12, 4, 2
GLOBAL = (0,)
START = 1  # paths are counted from here to the last token
# BigBird's random keys, drawn once, one for each query; here a block is one token
RANDOM = (0, 6, 9, 7, 1, 11, 3, 9, 5, 2, 6, 4)
LEFT, TOP, SIZE = 11, 38, 12
FORMS = (
    ("causal", "Causal", "all earlier tokens"),
    ("window", "Window", "the last 4 tokens"),
    ("chunks", "Chunks", "its chunk of 4"),
    ("dilated", "Dilated", "every second of 8"),
    ("longformer", "Longformer", "window and global"),
    ("bigbird", "BigBird", "and one random key"),
)


def kind(pattern: str, t: int, s: int) -> str | None:
    """Why query t attends to key s; None where it does not."""
    if pattern in ("longformer", "bigbird"):
        if s in GLOBAL or t in GLOBAL:
            return "global"
        side = WINDOW // 2 if pattern == "longformer" else 1
        if abs(t - s) <= side:
            return "local"
        return "random" if pattern == "bigbird" and RANDOM[t] == s else None
    near = {
        "causal": True,
        "window": t - s < WINDOW,
        "chunks": t // WINDOW == s // WINDOW,
        "dilated": t - s < GAP * WINDOW and (t - s) % GAP == 0,
    }[pattern]
    return "local" if s <= t and near else None


def edges(pattern: str) -> int:
    """Pairs of query and key that are left."""
    return sum(kind(pattern, t, s) is not None for t in range(N) for s in range(N))


def steps(pattern: str) -> int | None:
    """Layers until the last token has heard of the second; None where it never does."""
    heard, layers = {START}, 0
    while N - 1 not in heard:
        more = {t for t in range(N) for s in heard if kind(pattern, t, s)}
        if more <= heard:
            return None
        heard, layers = heard | more, layers + 1
    return layers


def draw() -> Figure:
    """Six small masks: rows are queries, columns keys."""
    return Figure(*(_panel(*form) for form in FORMS))


def _panel(pattern: str, title: str, words: str) -> Panel:
    pen = Pen(HALF)
    pen.text(6, 14, title, "T")
    pen.text(6, 30, words, "s m")
    roles = {"local": "p attn", "global": "p kept", "random": "p diff", None: None}
    grid(pen, LEFT, TOP, N, N, SIZE, lambda t, s: roles[kind(pattern, t, s)])
    far = steps(pattern)
    hops = "never" if far is None else f"{far} layer" + "s" * (far > 1)
    low = TOP + N * SIZE + 13
    pen.text(6, low, f"{edges(pattern)} edges", "B")
    pen.text(HALF - 6, low, hops, "s", "end")
    heard = "never" if far is None else f"after {hops}"
    said = (
        f"{edges(pattern)} of {N * N} pairs are left; the last token hears of the "
        f"second {heard}."
    )
    return Panel(f"{title}: {words}", said, pen, low + 6)
