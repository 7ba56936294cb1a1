"""A small picture of few colours as squares of those colours, which can follow a theme;
the pixels of a PNG cannot.
"""

import base64
import io
from collections import defaultdict
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from course_lib.kit.palette import CARD

Element = ElementTree.Element
HREF = "{http://www.w3.org/1999/xlink}href"
MOST_COLOURS, MOST_CELLS = 8, 4096


def cells_of(image: Element) -> Element | None:
    """Return a group of squares in place of an `<image>`, one path for each colour;
    None if it has many colours or many pixels. Cells of the card's colour are left out.
    """
    data = base64.b64decode(image.get(HREF).partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))
    if pixels.shape[0] * pixels.shape[1] > MOST_CELLS:
        return None
    colours = {tuple(colour) for row in pixels.tolist() for colour in row}
    if len(colours) > MOST_COLOURS:
        return None
    group = Element("g", {"shape-rendering": "crispEdges"})
    if image.get("transform"):
        group.set("transform", image.get("transform"))
    for colour, path in sorted(_runs(pixels).items()):
        fill = "#{:02x}{:02x}{:02x}".format(*colour[:3])
        if colour[3] and fill != CARD.lower():
            style = f"fill:{fill};fill-opacity:{colour[3] / 255:.2g}"
            style = style.removesuffix(";fill-opacity:1")
            group.append(Element("path", {"d": path, "style": style}))
    return group


def _runs(pixels: np.ndarray) -> dict[tuple[int, ...], str]:
    """Return for each colour a path over its cells, neighbours in a row joined."""
    paths = defaultdict(str)
    for y, row in enumerate(pixels.tolist()):
        x = 0
        while x < len(row):
            end = x
            while end < len(row) and row[end] == row[x]:
                end += 1
            paths[tuple(row[x])] += f"M{x} {y}h{end - x}v1h{x - end}z"
            x = end
    return paths
