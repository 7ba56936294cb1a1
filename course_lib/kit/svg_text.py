"""Words of a figure that stay in their place in another font than matplotlib's.

matplotlib measures words in its own font. Where a page has a narrower one, a line that
should end or be centred at a place must say so (`text-anchor`), and a formula must flow
and not hang letter by letter.
"""

import contextlib
from collections.abc import Iterator
from itertools import groupby
from xml.etree import ElementTree

from matplotlib.figure import Figure
from matplotlib.text import Text

Element = ElementTree.Element
SVG = "{http://www.w3.org/2000/svg}"
MARK = "lines-"


@contextlib.contextmanager
def line_anchors(fig: Figure) -> Iterator[None]:
    """Within this block, texts of several lines that end or are centred at a place
    carry that place in their id.
    """
    renderer = (
        fig.canvas.get_renderer() if hasattr(fig.canvas, "get_renderer") else None
    )
    marked = []
    for text in fig.findobj(Text):
        if "\n" not in text.get_text() or text.get_rotation() or not renderer:
            continue
        side = text._multialignment or text.get_horizontalalignment()
        if side == "left":
            continue
        box = text.get_window_extent(renderer)
        x = box.x1 if side == "right" else (box.x0 + box.x1) / 2
        anchor = "end" if side == "right" else "middle"
        marked.append((text, text.get_gid()))
        text.set_gid(f"{MARK}{anchor}-{x * 72 / fig.dpi:.1f}")
    yield
    for text, gid in marked:
        text.set_gid(gid)


def flowing(group: Element) -> Element:
    """Return a group of text with its lines anchored and its formulas flowing; any
    other group as it is.
    """
    name = group.get("id", "")
    if name.startswith(MARK):
        _, anchor, x = name.split("-", 2)
        for line in group.findall(f"{SVG}text"):
            y = line.get("transform").split()[1].rstrip(")")
            line.attrib.pop("transform")
            line.attrib.update(
                x=x, y=y, style=f"text-anchor:{anchor};{line.get('style')}"
            )
    for text in group.findall(f"{SVG}text"):
        if len(text) and all(child.tag == f"{SVG}tspan" for child in text):
            _join(text)
    return group


def _join(text: Element) -> None:
    """Join a formula's letters that share a look and a line, from left to right."""
    letters = sorted(
        (float(x), float(piece.get("y")), piece.get("style", ""), letter)
        for piece in text
        for x, letter in zip(piece.get("x").split(), piece.text or "", strict=False)
    )
    for piece in list(text):
        text.remove(piece)
    text.attrib.update(x=f"{letters[0][0]:g}", y="0")
    text.text, height = None, 0.0
    for (y, style), found in groupby(letters, lambda letter: letter[1:3]):
        piece = ElementTree.SubElement(text, f"{SVG}tspan", {"style": style})
        piece.text = "".join(letter for *_, letter in found).replace("\xa0", " ")
        if abs(y - height) > 0.05:
            piece.set("dy", f"{y - height:.1f}")
        height = y
