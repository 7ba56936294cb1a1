"""Four ways to forget: what is left in a state after some tokens, channel by channel of
the key.
"""

from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.pen import HALF, Pen
from course_lib.kit.diagrams.tensors import bars

CHANNELS, TOKENS = 8, 12
# decays of one token: of a head that is fixed, of three tokens that differ, by channel
FIXED = 0.93
BY_TOKEN = (1.0, 1.0, 0.99, 1.0, 0.98, 1.0, 1.0, 0.5, 1.0, 0.99, 1.0, 1.0)
BY_CHANNEL = (1.0, 0.998, 0.99, 0.97, 0.94, 0.9, 0.84, 0.75)
LEFT, SIZE, TOP, TALL = 10, 18, 46, 84
# title, what it says, and the rule
FORMS = (
    ("Linear attention", "nothing is forgotten", "none"),
    ("Lightning, RetNet", "a fixed rate for a head", "fixed"),
    ("Gated DeltaNet", "one rate, from the token", "token"),
    ("KDA", "a rate for each channel", "channel"),
)


def left_over(rule: str) -> list[float]:
    """The share that is left in each channel after all tokens."""
    if rule == "none":
        return [1.0] * CHANNELS
    if rule == "fixed":
        return [FIXED**TOKENS] * CHANNELS
    share = 1.0
    for decay in BY_TOKEN:
        share *= decay
    if rule == "token":
        return [share] * CHANNELS
    return [decay**TOKENS for decay in BY_CHANNEL]


def draw() -> Figure:
    """Four small panels."""
    return Figure(*(_panel(*form) for form in FORMS))


def _panel(title: str, words: str, rule: str) -> Panel:
    pen, left = Pen(HALF), left_over(rule)
    pen.text(6, 15, title, "T")
    pen.text(6, 31, words, "s m")
    base = TOP + TALL
    bars(pen, LEFT, base, SIZE, [1.0] * CHANNELS, TALL, "q state", gap=3)
    bars(pen, LEFT, base, SIZE, left, TALL, "p state", gap=3)
    low = base + 16
    least, most = min(left), max(left)
    same = f"{least:.2f} left" if least == most else f"{least:.2f} to {most:.2f} left"
    pen.text(6, low + 2, same, "B")
    said = f"{words}; after {TOKENS} tokens {same}."
    return Panel(title, said[0].upper() + said[1:], pen, low + 8)
