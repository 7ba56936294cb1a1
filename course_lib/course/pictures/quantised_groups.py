"""Which numbers of a quantised KV cache share a scale: a token's, or a channel's.

The keys drawn are made up, with one channel that is large at every token, as trained
keys have some.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import grid
from course_lib.kit.diagrams.pen import Pen

TOKENS, CHANNELS, LOUD = 6, 8, 5
LEFT, TOP, CELL = 50, 48, 23


def draw() -> Figure:
    """One scale for each token, and one for each channel."""
    return Figure(_panel(by_channel=False), _panel(by_channel=True))


def _panel(*, by_channel: bool) -> Panel:
    pen = Pen()
    wide, high = CHANNELS * CELL, TOKENS * CELL
    pen.text(4, 14, f"One scale per {'channel' if by_channel else 'token'}", "H")
    pen.text(LEFT, TOP - 10, "channels of one head", "s m")
    pen.text(LEFT - 6, TOP + 15, "tokens", "s m", "end")
    grid(pen, LEFT, TOP, TOKENS, CHANNELS, CELL, _size, gap=3)
    if by_channel:
        for j in range(CHANNELS):
            x = LEFT + j * CELL
            pen.rect(x - 1.5, TOP - 2, CELL, high + 1, "o kept", 4)
            _scale(pen, x + 2, TOP + high + 8, j == LOUD)
        pen.text(LEFT + wide + 8, TOP + high + 20, "scales", "s")
        said = ["Only the large", "channel has a", "large scale."]
    else:
        for i in range(TOKENS):
            y = TOP + i * CELL
            pen.rect(LEFT - 2, y - 1.5, wide + 1, CELL, "o kept", 4)
            _scale(pen, LEFT + wide + 8, y + 2, True)
        pen.text(LEFT + wide + 30, TOP + 15, "scales,", "s")
        pen.text(LEFT + wide + 30, TOP + 29, "all large", "s")
        said = []
    for i, words in enumerate(said):
        pen.text(LEFT + wide + 8, TOP + 30 + 14 * i, words, "s")
    _steps(pen, TOP + high + 44, by_channel)
    return Panel(
        f"One scale per {'channel' if by_channel else 'token'}",
        "Each channel has its own step, so the large one harms no other."
        if by_channel
        else "Every token's group contains the large channel, so the steps of all "
        "groups are coarse.",
        pen,
        TOP + high + 88,
    )


def _size(i: int, j: int) -> str:
    return "p attn" if j == LOUD else "q attn"


def _scale(pen: Pen, x: float, y: float, large: bool) -> None:
    pen.rect(x, y, 16, 16, "p kept" if large else "b kept", 2)


def _steps(pen: Pen, y: float, by_channel: bool) -> None:
    """The grid that a small number falls into, fine or coarse."""
    pen.text(4, y + 12, "grid of a", "s m")
    pen.text(4, y + 25, "small key", "s m")
    left, right = LEFT + 14, 330
    steps = 16 if by_channel else 2
    pen.path(f"M{left} {y + 16}H{right}", "l")
    for i in range(steps + 1):
        x = left + i * (right - left) / steps
        pen.path(f"M{x:.1f} {y + 9}v14", "l")
    at = left + 0.34 * (right - left)
    pen.circle(at, y + 16, 4.5, "k attn")
    nearest = left + round(0.34 * steps) / steps * (right - left)
    pen.path(f"M{at:.1f} {y + 27}H{nearest:.1f}", "u diff")
    pen.text(at + 8, y + 38, "error", "s")
