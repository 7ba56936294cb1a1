"""Figures: one style, an alternative text always, the same bytes for the same data, and
two forms of each, for a desk and for a phone.

    fig, ax = plt.subplots()
    ...
    show(
        fig,
        alt="Cache bytes grow linearly with context, to 10 GiB at 32K tokens.",
        name="cache_growth",
    )

`name` files the output under that name in the notebook, so that a page of the book can
show the very same figure; `show` must then be the last expression of its cell.

The notebook stores two SVGs as images: any viewer shows the one that fits its width, on
a near-white card. The book puts them into its pages as drawings (`inlined`), where they
take the page's colours, and their words can be searched and selected.
"""

import base64
import hashlib
import html
import re
from dataclasses import dataclass, field

import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.text import Text

from course_lib.kit.narrow import NARROW_IN, make_narrow
from course_lib.kit.narrow_legend import fit_legends
from course_lib.kit.output_names import check_name, named
from course_lib.kit.palette import (
    BLUE,
    CARD,
    COLOURS,
    DASHES,
    DIVERGING,
    GREEN,
    GRID,
    INK,
    MUTED,
    ORANGE,
    PURPLE,
    SHADES,
    SKY,
    SMALLEST_PT,
    VERMILION,
    WIDTH_IN,
    style,
)
from course_lib.kit.themed_svg import themed_svg

__all__ = [
    "BLUE",
    "CARD",
    "COLOURS",
    "DASHES",
    "DIVERGING",
    "GREEN",
    "GRID",
    "INK",
    "MUTED",
    "ORANGE",
    "PURPLE",
    "SHADES",
    "SKY",
    "VERMILION",
    "Shown",
    "inlined",
    "show",
    "style",
]

PAGE_PX, PHONE_PX = 700, 350  # what a page gives a figure, on a desk and on a phone
SMALLEST_PHONE_PX = 9.0
NARROW_BELOW_PX = 600
POINTS = 72  # an inch, in the unit of matplotlib's SVG
MOST_MARKS = 500  # beyond, the marks of one artist are drawn as pixels
DATA = "data:image/svg+xml;base64,"
STYLE = re.compile("<style>.*?</style>", re.S)


@dataclass(frozen=True)
class Shown:
    """A finished figure as a notebook stores it: an HTML figure with its alternative
    text.

    Attributes:
        wide, narrow: the SVG for a desk and the one for a phone.
        alt: what a reader who does not see the image is told.
        name: the name a page asks for it by, or None.
    """

    wide: str = field(repr=False)
    narrow: str = field(repr=False)
    alt: str
    name: str | None

    def _repr_html_(self) -> str:
        wide, narrow = (DATA + _base64(svg) for svg in (self.wide, self.narrow))
        size = re.search(r'width="\d+" height="\d+"', self.wide)[0]
        return (
            '<figure class="plot" style="margin:0"><picture>'
            f'<source media="(max-width: {NARROW_BELOW_PX}px)" srcset="{narrow}">'
            f'<img alt="{html.escape(self.alt)}" {size} '
            'style="max-width:100%;height:auto;border-radius:6px" '
            f'src="{wide}"></picture></figure>'
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> tuple[dict, dict]:
        return {
            "text/html": self._repr_html_(),
            "text/plain": f"[figure] {self.alt}",
        }, named(self.name)


def show(
    fig: Figure,
    *,
    alt: str,
    name: str | None = None,
    narrow: Figure | int | None = None,
) -> Shown:
    """Turn a figure into its notebook form, and close it.

    Args:
        fig: a matplotlib figure, at most 7 inches wide at the style's text sizes.
        alt: what the figure shows, in a sentence: what is on the axes, and what a
            reader should see.
        name: letters, digits and underscores, unique in its notebook; a page shows the
            figure by this name.
        narrow: how a phone shows it. None: the same artists laid out again
            (`make_narrow`). A number: with so many panels side by side. A figure of at
            most 3.6 inches: that one.
    Returns:
        A `Shown`; as the last expression of a cell, the notebook stores it.
    Raises:
        ValueError: if `alt` is empty, `name` is not an identifier, or some text would
            stand below 11 points on a page 700 px wide, or below 9 px on a phone.

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
    if name is not None:
        check_name(name)
    prefix = "p" + hashlib.sha256(f"{name} {alt}".encode()).hexdigest()[:7]
    _check_text(fig)
    fig.set_dpi(POINTS)
    fit_legends(fig)
    wide = _svg(fig, f"{prefix}w", alt, "wide")
    if isinstance(narrow, Figure):
        phone = narrow
        phone.set_dpi(POINTS)
    else:
        phone = fig
        make_narrow(fig, narrow)
    _check_narrow_text(phone)
    slim = _svg(phone, f"{prefix}n", alt, "narrow")
    plt.close(fig)
    plt.close(phone)
    return Shown(wide, slim, alt, name)


def inlined(page: str) -> str:
    """Return a notebook's HTML with the figures in it as drawings and not as images.

    A page's style sheet shows the form that fits (`.plot-wide`, `.plot-narrow`), and
    has the colours of diagrams, so that a diagram's own style is left out.
    """
    image = re.escape(DATA) + '([^"]+)"'
    both = rf'<picture><source [^>]*srcset="{image}><img [^>]*src="{image}></picture>'
    page = re.sub(both, lambda m: _text(m[2]) + _text(m[1]), page)
    diagram = f'<img data-diagram[^>]*src="{image}>'
    return re.sub(diagram, lambda m: STYLE.sub("", _text(m[1])), page)


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


def _svg(fig: Figure, prefix: str, alt: str, kind: str) -> str:
    for artist in _crowds(fig):
        artist.set_rasterized(True)
    for image in fig.findobj(AxesImage):
        image.set_interpolation("none")
    fig.draw_without_rendering()
    return themed_svg(fig, prefix, _title(fig), alt, kind)


def _crowds(fig: Figure) -> list[Artist]:
    """Return the artists with more marks than are worth an element each."""
    clouds = [
        c for c in fig.findobj(PathCollection) if len(c.get_offsets()) > MOST_MARKS
    ]
    lines = [x for x in fig.findobj(Line2D) if x.get_marker() not in ("None", "", " ")]
    return clouds + [line for line in lines if len(line.get_xdata()) > MOST_MARKS]


def _title(fig: Figure) -> str:
    whole = fig.get_suptitle()
    titles = [ax.get_title(loc) for ax in fig.axes for loc in ("left", "center")]
    found = next((t for t in (whole, *titles) if t), "Figure")
    return " ".join(found.split())


def _base64(svg: str) -> str:
    return base64.b64encode(svg.encode()).decode("ascii")


def _text(data: str) -> str:
    return base64.b64decode(data).decode()


def _check_text(fig: Figure) -> None:
    """Refuse words that a desk shows too small."""
    width = fig.get_size_inches()[0]
    for text in _words(fig):
        size = page_points(text.get_fontsize(), width)
        if size < SMALLEST_PT:
            raise ValueError(
                f"text {text.get_text()!r} would stand at {size:.1f} pt on a {PAGE_PX} "
                f"px page: allowed is {SMALLEST_PT:.0f} pt or more; enlarge it, or "
                f"narrow the figure (at most {WIDTH_IN:.0f} in)"
            )


def _check_narrow_text(fig: Figure) -> None:
    """Refuse words that a phone shows too small."""
    width = fig.get_size_inches()[0]
    for text in _words(fig):
        size = text.get_fontsize() * PHONE_PX / (width * 72)
        if size < SMALLEST_PHONE_PX:
            raise ValueError(
                f"text {text.get_text()!r} would stand at {size:.1f} px on a phone: "
                f"allowed is {SMALLEST_PHONE_PX:.0f} px or more; enlarge it, or make "
                f"the narrow form at most {NARROW_IN} in wide"
            )


def _words(fig: Figure) -> list[Text]:
    return [
        text
        for text in fig.findobj(Text)
        if text.get_visible() and text.get_text().strip()
    ]
