"""Legends of a figure on a narrower sheet: below the axes, in as many columns as
fit.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.transforms import ScaledTranslation

BELOW = "outside lower center"
ABOVE = "outside upper center"  # where a label of the whole figure stands below


def legends_below(fig: Figure) -> float:
    """Move every legend below what it explains; return the height they
    take, in inches."""
    own = [(ax, ax.get_legend()) for ax in fig.axes if ax.get_legend() is not None]
    taken = 0.0
    if len(own) == 1 or len({tuple(_entries(x)[1]) for _, x in own}) == 1:
        legend = own[0][1]
        handles, labels = _entries(legend)
        title, size = legend.get_title().get_text(), _size(legend)
        for ax, _ in own:
            ax.get_legend().remove()
        taken += _height(_below(fig, handles, labels, title, size))
    else:
        taken += sum(_under(fig, ax, legend) for ax, legend in own)
    for legend in [x for x in fig.legends if x.get_label() != BELOW]:
        handles, labels = _entries(legend)
        before = _height(legend)
        title, size = legend.get_title().get_text(), _size(legend)
        fig.legends.remove(legend)
        new = _below(fig, handles, labels, title, size)
        taken += max(0.0, _height(new) - before)
    return taken


def fit_legends(fig: Figure) -> None:
    """Give a legend that is wider than its figure fewer columns."""
    fig.draw_without_rendering()
    for legend in list(fig.legends):
        box = legend.get_window_extent(fig.canvas.get_renderer())
        if box.x0 < 0 or box.x1 > fig.bbox.width:
            handles, labels = _entries(legend)
            fig.legends.remove(legend)
            _below(fig, handles, labels, legend.get_title().get_text(), _size(legend))


def _entries(legend: Legend) -> tuple[list, list[str]]:
    """Return what a legend was made of; the axes' own artists where they are known."""
    fig, labels = (
        legend.get_figure(root=True),
        [x.get_text() for x in legend.get_texts()],
    )
    known = {}
    for ax in fig.axes:
        handles, names = ax.get_legend_handles_labels()
        for handle, name in zip(handles, names, strict=True):
            known.setdefault(name, handle)
    drawn = dict(zip(labels, legend.legend_handles, strict=True))
    return [known.get(label, drawn[label]) for label in labels], labels


def _size(legend: Legend) -> float:
    return legend.get_texts()[0].get_fontsize()


def _height(legend: Legend) -> float:
    fig = legend.get_figure(root=True)
    return legend.get_window_extent(fig.canvas.get_renderer()).height / fig.dpi


def _below(fig: Figure, handles, labels, title: str, size: float) -> Legend:
    """Make a legend at the foot of the figure, with the most columns that fit."""
    for columns in range(min(4, len(labels)), 0, -1):
        legend = fig.legend(
            handles,
            labels,
            loc=ABOVE if fig.get_supxlabel() else BELOW,
            ncols=columns,
            fontsize=size,
            title=title or None,
            columnspacing=1.2,
            handlelength=2.8,
            frameon=False,
        )
        legend.set_label(BELOW)
        fig.draw_without_rendering()
        renderer = fig.canvas.get_renderer()
        if columns == 1 or legend.get_window_extent(renderer).width <= fig.bbox.width:
            return legend
        fig.legends.remove(legend)
    raise AssertionError("unreachable")


def _under(fig: Figure, ax: Axes, legend: Legend) -> float:
    """Put a legend of one pair of axes under them, below their label."""
    handles, labels = _entries(legend)
    size = _size(legend)
    legend.remove()
    fig.draw_without_rendering()
    renderer = fig.canvas.get_renderer()
    depth = ax.get_window_extent().y0 - ax.get_tightbbox(renderer).y0
    drop = ScaledTranslation(0, -depth / fig.dpi - 0.04, fig.dpi_scale_trans)
    new = ax.legend(
        handles,
        labels,
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        bbox_transform=ax.transAxes + drop,
        fontsize=size,
        borderaxespad=0,
        handlelength=2.8,
        frameon=False,
    )
    fig.draw_without_rendering()
    return _height(new)
