"""The colours of the course's figures, and the style that every figure is drawn in.

Each colour has a name that a page can give another value to: a figure writes
`var(--plot-blue,#0072b2)`, so that the book's day and night each set their own blue,
and a page that knows nothing of it shows the colour itself.

Colours are the Okabe-Ito set, which readers with any common colour-vision deficiency
can tell apart; lines also differ in dash, so colour never carries the meaning alone.
"""

import matplotlib as mpl
from matplotlib.colors import LinearSegmentedColormap, to_rgb

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
CARD, GRID, MUTED = "#FCFCFA", "#DCDCD6", "#808080"

VARIABLES = {
    BLUE: "--plot-blue",
    VERMILION: "--plot-vermilion",
    GREEN: "--plot-green",
    PURPLE: "--plot-purple",
    ORANGE: "--plot-orange",
    SKY: "--plot-sky",
    INK: "--plot-ink",
    GRID: "--plot-grid",
    MUTED: "--plot-muted",
    CARD: "--plot-paper",
    "#FFFFFF": "--plot-paper",
    "#000000": "--plot-ink",
    "#888888": "--plot-muted",
}

# A picture's pixels cannot follow the theme, but their transparency can: paper shows
# through where a value is small, and these two colours are strong on both papers.
_BLUE_ON_BOTH, _RED_ON_BOTH = "#1C7FC0", "#CF5A1C"

WIDTH_IN = 7.0
SMALLEST_PT = 11.0
DPI = 150


def _fading(name: str, *stops: tuple[str, float]) -> LinearSegmentedColormap:
    colours = [(*to_rgb(colour), alpha) for colour, alpha in stops]
    return LinearSegmentedColormap.from_list(name, colours)


SHADES = _fading("shades", (_BLUE_ON_BOTH, 0.0), (_BLUE_ON_BOTH, 1.0))
DIVERGING = _fading(
    "diverging",
    (_BLUE_ON_BOTH, 1.0),
    (_BLUE_ON_BOTH, 0.0),
    (_RED_ON_BOTH, 0.0),
    (_RED_ON_BOTH, 1.0),
)


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
            "legend.handlelength": 3.4,
            "text.color": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.edgecolor": INK,
            "patch.edgecolor": INK,
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
