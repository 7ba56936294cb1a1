"""Figures: panels side by side where there is room, under one another where there is
none, with a title and a description for those who do not see them.

    def draw() -> Figure:
        pen = Pen()
        ...
        return Figure(Panel("A causal mask", "Token t attends to 1 to t.", pen, 210))

A page inlines a figure (its text can be searched, selected and read aloud, and it takes
the page's colours); `as_file` makes one SVG file of it, for slides and for the command
line.

Terms:
    diagram: a figure drawn by code, as SVG with its text as text -> Figure, Panel
"""

from dataclasses import dataclass
from html import escape

from course_lib.kit.diagrams.colours import file_css
from course_lib.kit.diagrams.pen import Pen, faults, number

GAP = 12


@dataclass(frozen=True)
class Panel:
    """One drawing.

    Attributes:
        title: what it shows, in some words.
        description: the same in whole sentences, for a reader who does not see it.
        pen: the drawing, as wide as its pen says.
        height: in units.
    """

    title: str
    description: str
    pen: Pen
    height: float

    def __post_init__(self) -> None:
        for name in ("title", "description"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name}={getattr(self, name)!r}: allowed are words")


class Figure:
    """Panels in a row that wraps.

    Args:
        panels: at least one.
        wrap: width of a panel in units at which the row wraps; the first panel's when
            it is not said.
    """

    def __init__(self, *panels: Panel, wrap: float = 0) -> None:
        if not panels:
            raise ValueError("panels=(): allowed is one or more")
        self.panels = panels
        self.wrap = wrap or panels[0].pen.width

    @property
    def description(self) -> str:
        """What all panels show."""
        return " ".join(f"{p.title}: {p.description}" for p in self.panels)

    def inline(self, name: str) -> str:
        """HTML for a page; `name` is unique on it."""
        drawn = "".join(
            _svg(panel, f"{name}-{i}") for i, panel in enumerate(self.panels)
        )
        return (
            f'<div class="dgm-row" style="--w:{number(self.wrap - 10)}px">{drawn}</div>'
        )

    @property
    def width(self) -> float:
        """Of all panels side by side."""
        between = GAP * (len(self.panels) - 1)
        return sum(panel.pen.width for panel in self.panels) + between

    def as_file(self, title: str = "", ids: str = "figure") -> str:
        """One SVG file of all panels; it follows the reader's light or dark system.
        `ids` begins the ids in it.
        """
        pen = Pen(self.width)
        x = 0.0
        for panel in self.panels:
            pen.take(panel.pen, x)
            x += panel.pen.width + GAP
        title = title or self.panels[0].title
        whole = Panel(title, self.description, pen, max(p.height for p in self.panels))
        return _svg(whole, ids, file_css())

    def faults(self) -> list[str]:
        """What a reader would see wrong in any panel."""
        return [
            f"{panel.title}: {fault}"
            for panel in self.panels
            for fault in faults(panel.pen, panel.height)
        ]


def _svg(panel: Panel, name: str, css: str = "") -> str:
    width, height = number(panel.pen.width), number(panel.height)
    style = f"<style>{css}</style>" if css else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dgm" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-labelledby="{name}-t {name}-d"><title id="{name}-t">'
        f'{escape(panel.title)}</title><desc id="{name}-d">'
        f"{escape(panel.description)}</desc>{style}{panel.pen.body()}</svg>"
    )
