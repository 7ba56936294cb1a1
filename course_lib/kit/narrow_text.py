"""Words of a figure on a narrower sheet: smaller, wrapped where they have become too
long, thinned where tick labels would touch.
"""

import math
import re
import textwrap
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text

NUMBER = re.compile(r"^[\d.,\s$\\{}^−+\-kKMG%°×x]*(mathdefault)?[\d.,\s$\\{}^−-]*$")
LABEL_SHARE = 0.36  # of the width, for the names of rows
NARROW_AXES = 0.25  # left of axes that leave a title too little room
GAP_PT = 2


def shrink_words(fig: Figure, factor: float) -> None:
    """Set all words of a figure smaller, those of ticks to come too."""
    for text in fig.findobj(Text):
        text.set_fontsize(text.get_fontsize() * factor)
    for ax in fig.axes:
        for axis in (ax.xaxis, ax.yaxis):
            labels = axis.get_ticklabels()
            if labels:  # set above; a new tick takes its size from here
                axis.set_tick_params(labelsize=labels[0].get_fontsize())


def fit_words(fig: Figure) -> None:
    """Wrap titles and labels that are longer than their place, and thin tick labels
    that touch.
    """
    fig.draw_without_rendering()
    shown = [ax for ax in fig.axes if ax.get_visible()]
    if any([_wrap_rows(fig, ax.yaxis) for ax in shown]):
        fig.draw_without_rendering()
    _widen_title(fig)
    for ax in shown:
        _thin(fig, ax.xaxis, 0)
        _thin(fig, ax.yaxis, 1)
        _wrap_labels(fig, ax)
    _wrap_whole(fig)


def wrapped(words: str, share: float) -> str:
    """Return words broken into lines of at most `share` of their present length, and of
    about equal length.

    >>> wrapped("tokens for the same sentences (English = 1)", 0.9)
    'tokens for the same\\nsentences (English = 1)'
    """
    lines = words.split("\n")
    longest = max(map(len, lines))
    even = math.ceil(longest / math.ceil(1 / share)) + 2
    width = max(6, min(int(longest * share), even))
    filled = [
        textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)
        for line in lines
    ]
    return "\n".join(filled)


def _size(text: Text) -> tuple[float, float]:
    box = text.get_window_extent()
    return box.width, box.height


def _wrap(text: Text, room: float, side: int = 0) -> None:
    words, size = text.get_text(), _size(text)[side]
    if words.strip() and "$" not in words and size > room:
        text.set_text(wrapped(words, room / size))


def _wrap_rows(fig: Figure, axis: Axis) -> bool:
    """Wrap the names of rows; numbers are left alone. Say whether any was."""
    labels = axis.get_ticklabels()
    if not labels or all(NUMBER.match(label.get_text()) for label in labels):
        return False
    room = LABEL_SHARE * fig.bbox.width
    if max(_size(label)[0] for label in labels) <= room:
        return False
    words = [label.get_text() for label in labels]
    for label in labels:
        _wrap(label, room)
    if sum(_size(label)[1] for label in labels) > axis.axes.get_window_extent().height:
        for label, text in zip(labels, words, strict=True):  # no room for more lines
            label.set_text(text)
        return False
    # the labels in hand: asked for again, they would be written anew, in one line
    axis.set_ticks(axis.get_ticklocs(), [label.get_text() for label in labels])
    return True


def _thin(fig: Figure, axis: Axis, side: int) -> None:
    """Leave out every second label while neighbours touch; names are set aslant, and
    those of rows all stay.
    """
    for _ in range(3):
        shown = [x for x in axis.get_ticklabels() if x.get_text() and x.get_visible()]
        named = not all(NUMBER.match(x.get_text()) for x in shown)
        if not _touch(shown, side) or (side and named):
            return
        if named:
            angle = 35 if min(len(x.get_text()) for x in shown) > 1 else 90
            axis.set_tick_params(rotation=angle)
            for label in axis.get_ticklabels():
                label.set(ha="right", rotation_mode="anchor")
            return
        ticks = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
        kept = [(at, x.get_text()) for at, x in ticks if x.get_text()][::2]
        axis.set_ticks(*zip(*kept, strict=True))
        fig.draw_without_rendering()


def _touch(labels: list[Text], side: int) -> bool:
    """Say whether two labels of one axis stand closer than a gap."""
    if any(label.get_rotation() for label in labels):
        return False  # aslant: their boxes overlap and they do not
    boxes = [label.get_window_extent() for label in labels]
    spans = sorted((b.x0, b.x1) if side == 0 else (b.y0, b.y1) for b in boxes)
    gap = GAP_PT if side == 0 else -GAP_PT
    return any(a[1] + gap > b[0] for a, b in pairwise(spans))


def _wrap_labels(fig: Figure, ax: Axes) -> None:
    box, whole = ax.get_window_extent(), fig.bbox.width
    middle = (box.x0 + box.x1) / 2
    _wrap(ax.yaxis.label, box.height, 1)
    _wrap(ax.xaxis.label, min(1.3 * box.width, 1.96 * min(middle, whole - middle)))
    room = 0.98 * whole - box.x0 if box.x1 > 0.7 * whole else box.width
    for title in (ax.title, ax._left_title, ax._right_title):
        _wrap(title, room)


def _widen_title(fig: Figure) -> None:
    """Let the title of a single pair of axes begin at the figure's edge when names of
    rows take much of the width.
    """
    shown = [ax for ax in fig.axes if ax.get_visible()]
    words = shown[0].get_title("left") if len(shown) == 1 else ""
    if not words or fig.get_suptitle():
        return
    if shown[0].get_window_extent().x0 > NARROW_AXES * fig.bbox.width:
        look = shown[0]._left_title
        size, weight = look.get_fontsize(), look.get_fontweight()
        shown[0].set_title("", loc="left")
        fig.suptitle(words, x=0.01, ha="left", fontsize=size, fontweight=weight)


def _wrap_whole(fig: Figure) -> None:
    for text in (fig._suptitle, fig._supxlabel, fig._supylabel):
        if text is not None:
            side = int(text is fig._supylabel)
            _wrap(text, (fig.bbox.height if side else fig.bbox.width) * 0.95, side)
