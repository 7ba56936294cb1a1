"""Figures: one style, an alternative text always, the same bytes for the same data.

A figure is a near-white card, opaque, so that it reads on a light page and on a dark
one. Colours are the Okabe-Ito set, which readers with any common colour-vision
deficiency can tell apart; lines also differ in dash, so colour never carries the
meaning alone. Text stays at or above 11 points on a page 700 px wide.

    fig, ax = plt.subplots()
    ...
    show(
        fig,
        alt="Cache bytes grow linearly with context, to 10 GiB at 32K tokens.",
        name="cache_growth",
    )

`name` files the output under that name in the notebook, so that a page of the book can
show the very same figure; `show` must then be the last expression of its cell.
"""

import base64
import html
import io
from dataclasses import dataclass, field

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

# Okabe and Ito, "Color Universal Design" (2008), strongest contrast on the card first;
# their yellow is left out, too pale for a line on near-white.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, INK = "#E69F00", "#56B4E9", "#1A1A1A"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK)
DASHES = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (4, 1, 1, 1)),
    (0, (7, 2)),
    (0, (2, 1)),
    (0, (3, 1, 1, 1, 1, 1)),
)

CARD, GRID = "#FCFCFA", "#DCDCD6"
PAGE_PX = 700
WIDTH_IN = 7.0
SMALLEST_PT = 11.0
DPI = 150


@dataclass(frozen=True)
class Shown:
    """A finished figure as a notebook stores it: an HTML figure with its alternative
    text.

    Attributes:
        png: the image file.
        alt: what a reader who does not see the image is told.
        name: the name a page asks for it by, or None.
        width_px, height_px: size on the page; it shrinks with a narrower one.
    """

    png: bytes = field(repr=False)
    alt: str
    name: str | None
    width_px: int
    height_px: int

    def _repr_html_(self) -> str:
        # "dark-light" tells the book's theme that the image suits both modes: it then
        # dims nothing.
        data = base64.b64encode(self.png).decode("ascii")
        return (
            '<figure style="margin:0"><img class="dark-light" '
            f'alt="{html.escape(self.alt)}" '
            f'width="{self.width_px}" height="{self.height_px}" '
            f'style="max-width:100%;height:auto;border-radius:6px" '
            f'src="data:image/png;base64,{data}"></figure>'
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        metadata = (
            {"scrapbook": {"name": self.name, "mime_prefix": ""}} if self.name else {}
        )
        return {
            "text/html": self._repr_html_(),
            "text/plain": f"[figure] {self.alt}",
        }, metadata


def style() -> None:
    """Set the course's style for every figure that follows, in this process."""
    lines = mpl.cycler(color=COLOURS) + mpl.cycler(linestyle=DASHES)
    mpl.rcdefaults()
    mpl.rcParams.update(
        {
            "figure.figsize": (WIDTH_IN, 3.8),
            "figure.dpi": DPI,
            "figure.facecolor": CARD,
            "savefig.facecolor": CARD,
            "axes.facecolor": CARD,
            "figure.constrained_layout.use": True,
            "font.family": "DejaVu Sans",
            "font.size": 11.5,
            "axes.titlesize": 12.5,
            "axes.titleweight": "bold",
            "axes.titlelocation": "left",
            "axes.labelsize": 11.5,
            "xtick.labelsize": SMALLEST_PT,
            "ytick.labelsize": SMALLEST_PT,
            "legend.fontsize": SMALLEST_PT,
            "legend.frameon": False,
            "text.color": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.edgecolor": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": GRID,
            "grid.linewidth": 0.8,
            "lines.linewidth": 2.0,
            "lines.markersize": 6.0,
            "axes.prop_cycle": lines,
        }
    )


def show(fig: Figure, *, alt: str, name: str | None = None) -> Shown:
    """Turn a figure into its notebook form, and close it.

    Args:
        fig: a matplotlib figure, at most 7 inches wide at the style's text sizes.
        alt: what the figure shows, in a sentence: what is on the axes, and what a
            reader should see.
        name: letters, digits and underscores, unique in its notebook; a page shows the
            figure by this name.
    Returns:
        A `Shown`; as the last expression of a cell, the notebook stores it.
    Raises:
        ValueError: if `alt` is empty, `name` is not an identifier, or some text would
            stand below 11 points on a page 700 px wide.

    >>> style()
    >>> fig, ax = plt.subplots()
    >>> _ = ax.plot([1, 2], [1, 4])
    >>> show(fig, alt="A line that rises from 1 to 4.").alt
    'A line that rises from 1 to 4.'
    """
    alt = " ".join(alt.split())
    if not alt:
        raise ValueError(
            f"alt={alt!r}: allowed is a sentence that says what the figure shows"
        )
    if name is not None and not name.isidentifier():
        raise ValueError(
            f"name={name!r}: allowed are letters, digits and underscores, not "
            "starting with a digit"
        )
    _check_text(fig)
    png = _png(fig)
    plt.close(fig)
    width, height = fig.get_size_inches()
    shown_width = min(PAGE_PX, round(width / WIDTH_IN * PAGE_PX))
    return Shown(png, alt, name, shown_width, round(shown_width * height / width))


def page_points(size_pt: float, width_in: float) -> float:
    """Return the size, in CSS points, at which text stands when its figure is shown 700
    px wide or less.

    *Equation*: a figure of `width_in` inches is shown at `min(width_in, 7) / 7 * 700`
    px; a CSS inch is 96 px and holds 72 points, so one figure inch is `96/72` px a
    point times what the page scales it by.

    >>> round(page_points(11.0, 7.0), 2), round(page_points(11.0, 14.0), 2)
    (11.46, 5.73)
    """
    shown_px = min(PAGE_PX, width_in / WIDTH_IN * PAGE_PX)
    return size_pt * shown_px / (width_in * 96)


def _png(fig: Figure) -> bytes:
    """Draw to a PNG of at most 256 colours: no date, no program name, a third of the
    size of full colour.
    """
    drawn, packed = io.BytesIO(), io.BytesIO()
    fig.savefig(drawn, format="png", dpi=DPI)
    image = Image.open(drawn).convert("RGB")
    image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        packed, format="png", optimize=True
    )
    return packed.getvalue()


def _check_text(fig: Figure) -> None:
    width = fig.get_size_inches()[0]
    for text in fig.findobj(Text):
        size = page_points(text.get_fontsize(), width)
        if text.get_visible() and text.get_text().strip() and size < SMALLEST_PT:
            raise ValueError(
                f"text {text.get_text()!r} would stand at {size:.1f} pt on a {PAGE_PX} "
                f"px page: allowed is {SMALLEST_PT:.0f} pt or more; enlarge it, or "
                f"narrow the figure (at most {WIDTH_IN:.0f} in)"
            )
