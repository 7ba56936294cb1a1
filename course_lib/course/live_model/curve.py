"""The training curve of the page's model as SVG, from the record of its run: training
loss as a line, held-out loss as dots, count tables as dashed lines.

Classes alone: the page's style sheet gives the colours of the theme. A pointer at the
right edge shows the loss of the reader's own text; the page's script moves it.
"""

import math
from collections.abc import Mapping
from html import escape

from course_lib.course.live_model.kept import kept, run_record

WIDTH, HEIGHT = 340, 236
LEFT, RIGHT, TOP, BOTTOM = 34, 278, 22, 196
LOW, HIGH = 0.5, 6.0  # nats per byte, on a logarithmic axis
TICKS = (0.5, 1, 2, 3, 5)
BELOW = "4-gram"  # its label stands under its line, clear of the curve's end


def curve_svg() -> str:
    """The drawing."""
    run = _run()
    body = [*_axes(run["updates"]), *_baselines(), *_losses(run), _pointer()]
    title, words = "Training curve of the model on this page", alternative()
    return (
        f'<svg class="live-curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}. {escape(words)}" data-low="{LOW}" '
        f'data-high="{HIGH}" data-top="{TOP}" data-bottom="{BOTTOM}">'
        f"{''.join(body)}</svg>"
    )


def alternative() -> str:
    """What the drawing shows, in words.

    >>> alternative().split(".")[0]
    'Held-out loss falls from 5'
    """
    held_out = list(_run()["curve"].values())
    lines = [f"{name} {loss:.2f}" for name, loss in _tables().items()]
    return (
        f"Held-out loss falls from {held_out[0]:.2f} to {held_out[-1]:.2f} nats per "
        f"byte in {_run()['updates']:,} updates. Count tables: {', '.join(lines)}."
    )


def _run() -> Mapping:
    """The run whose weights are kept."""
    runs = run_record().runs(run_record().base, kept()["updates"])
    return next(run for run in runs if run["seed"] == kept()["seed"])


def _tables() -> Mapping[str, float]:
    return run_record().baselines()


def _x(updates: float) -> float:
    return LEFT + (RIGHT - LEFT) * updates / _run()["updates"]


def _y(loss: float) -> float:
    share = math.log(loss / LOW) / math.log(HIGH / LOW)
    return BOTTOM - (BOTTOM - TOP) * share


def _axes(updates: int) -> list[str]:
    parts = []
    for loss in TICKS:
        parts.append(_line("live-axis", LEFT - 3, _y(loss), LEFT, _y(loss)))
        parts.append(_text(LEFT - 5, _y(loss) + 4, f"{loss:g}", "end"))
    for part in range(5):
        at = updates * part // 4
        parts.append(_text(_x(at), BOTTOM + 15, f"{at:,}", "middle"))
    parts.append(_line("live-axis", LEFT, BOTTOM, RIGHT, BOTTOM))
    parts.append(_line("live-axis", LEFT, TOP, LEFT, BOTTOM))
    parts.append(_text((LEFT + RIGHT) / 2, BOTTOM + 32, "updates", "middle"))
    parts.append(_text(2, TOP - 10, "loss (nats per byte)", "start"))
    return parts


def _baselines() -> list[str]:
    parts = []
    for name, loss in _tables().items():
        below = name == BELOW
        x, y = (LEFT + 12, _y(loss) + 12) if below else (RIGHT - 4, _y(loss) - 4)
        parts.append(_line("live-table-line", LEFT, _y(loss), RIGHT, _y(loss)))
        words = f"{name} {loss:.2f}"
        parts.append(_text(x, y, words, "start" if below else "end"))
    return parts


def _losses(run: Mapping) -> list[str]:
    means = [(int(at), loss) for at, loss in run["train"].items()]
    path = " ".join(f"{_x(at):.1f},{_y(loss):.1f}" for at, loss in means)
    dots = [
        f'<circle class="live-dot" cx="{_x(int(at)):.1f}" cy="{_y(loss):.1f}" r="4"/>'
        for at, loss in run["curve"].items()
    ]
    return [f'<polyline class="live-line" points="{path}"/>', *dots]


def _pointer() -> str:
    """A triangle that points at the axis, at the right edge; it is moved down."""
    path = f"M{RIGHT + 1} 0l8 -5v10z"
    return (
        f'<g class="live-yours live-away"><path d="{path}"/>'
        f"{_text(RIGHT + 12, 4, 'this text', 'start')}</g>"
    )


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    places = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line class="{kind}" {places}/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(words)}</text>"
