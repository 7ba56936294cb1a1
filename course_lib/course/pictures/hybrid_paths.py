"""How tokens reach one another in four layers of a hybrid decoder, on the sentence."""

from course_lib.costs.cache import cache_line
from course_lib.course.sentence import recorded
from course_lib.kit.diagrams.figure import Figure, Panel
from course_lib.kit.diagrams.marks import arrow, legend, line
from course_lib.kit.diagrams.pen import Pen
from course_lib.kit.diagrams.tokens import tokens
from course_lib.specs.loader import load_spec
from course_lib.specs.records import AttentionSpec

MODEL = "qwen3.5-35b-a3b"
STEP, LEFT, TOP, ROW = 47, 8, 46, 52
RIGHT = LEFT + 5 * STEP - 4
NOTE = RIGHT + 8


def draw() -> Figure:
    """Three layers that hand a state on, and one that attends."""
    spec, line_ = load_spec(MODEL), cache_line(load_spec(MODEL))
    attends = [isinstance(layer.mixer, AttentionSpec) for layer in spec.layers]
    group = attends.index(True) + 1
    pen = Pen()
    pen.text(NOTE, 34, "kept here", "m s")
    words = [piece.strip() for piece in recorded().pieces]
    middles = tokens(pen, LEFT, 18, words, STEP)
    state = f"{line_.fixed_bytes / attends.count(False) / 2**20:.1f} MiB"
    per_token = f"{line_.bytes_per_token / attends.count(True) / 2**10:.0f} KiB"
    y = TOP
    for i in range(group):
        (_attention if attends[i] else _state)(pen, middles, y)
        pen.rect(NOTE, y + 14, 10, 10, "p kept", 2)
        pen.text(NOTE + 15, y + 23, per_token if attends[i] else state, "B")
        pen.text(NOTE, y + 39, "per token" if attends[i] else "for all tokens", "m s")
        y += ROW
    repeats = len(attends) // group
    pen.text(
        LEFT, y + 8, f"These {group} layers stand {repeats} times in the model.", "s"
    )
    entries = [
        ("p state", "hands a state on"),
        ("p attn", "attends"),
        ("p kept", "kept"),
    ]
    y += 20 + legend(pen, LEFT, y + 20, entries, 3)
    said = (
        f"Of every {group} layers, {group - 1} hand a state from each token to the "
        f"next and keep {state} whatever the length, and one attends from each token "
        f"to all earlier ones and keeps {per_token} per token."
    )
    return Figure(Panel("Paths in a hybrid decoder", said, pen, y))


def _state(pen: Pen, middles: list[float], y: float) -> None:
    """A chain: what a token knows of earlier ones comes from the one before it."""
    pen.rect(LEFT, y, RIGHT - LEFT, 44, "b state")
    pen.rect(LEFT, y, 4, 44, "p state", 0)
    for i, x in enumerate(middles):
        pen.circle(x, y + 22, 4, "k state")
        if i:
            arrow(pen, (middles[i - 1] + 5, y + 22), (x - 5, y + 22), cls="u state")


def _attention(pen: Pen, middles: list[float], y: float) -> None:
    """Each token is one step from every token before it."""
    pen.rect(LEFT, y, RIGHT - LEFT, 44, "b attn")
    pen.rect(LEFT, y, 4, 44, "p attn", 0)
    for i, x in enumerate(middles):
        pen.circle(x, y + 8, 3, "k attn")
        pen.circle(x, y + 36, 3, "k attn")
        for earlier in middles[: i + 1]:
            line(pen, (earlier, y + 8), (x, y + 36), cls="u attn")
