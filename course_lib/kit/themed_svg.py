"""A matplotlib figure as an SVG that follows its page: words stay words, colours become
variables, and nothing in it reaches outside.

What matplotlib writes is kept, and made fit to stand in a page beside others: its
`<style>` (a rule for the whole page) and its metadata go, ids are few and carry a
prefix, numbers have one decimal, groups without a meaning are taken apart. The same
figure gives the same bytes.
"""

import io
import re
from collections import defaultdict
from html import escape
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

from course_lib.kit.palette import CARD, GRID, INK, VARIABLES
from course_lib.kit.svg_cells import cells_of
from course_lib.kit.svg_text import flowing, line_anchors

Element = ElementTree.Element
SVG, HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
FONT = "system-ui,-apple-system,Segoe UI,Roboto,DejaVu Sans,sans-serif"
VARIABLE = {colour.lower(): name for colour, name in VARIABLES.items()}
NOTHING_SAID = {
    "fill": f"var(--plot-ink,{INK.lower()})",
    "stroke-dashoffset": "0",
    "stroke-linejoin": "miter",
    "stroke-opacity": "1",
    "text-anchor": "start",
}
WORDS = {"text", "tspan", "title", "desc"}
REFERS = ("clip-path", "href", "style")  # a style refers to the pattern of a hatch
REFERENCE = re.compile(r"(url\(#|^#)([\w-]+)")


def themed_svg(fig: Figure, prefix: str, title: str, desc: str, kind: str) -> str:
    """Return a figure as one line of SVG.

    Args:
        fig: a matplotlib figure, laid out; its layout is not done again.
        prefix: what ids start with, unique on any page that may show the figure.
        title, desc: its name and its description, for screen readers.
        kind: a class that a page's style sheet can address.

    *Cost*: a drawing by matplotlib; some kilobytes for lines, bars and up to some
    hundred marks.
    """
    drawn = _drawn(fig)
    body = [part for child in drawn for part in _flat(child)]
    _rename_ids(body, prefix)
    _share_styles(body)
    body = _merge_grids(body)
    width, height = (float(x) for x in drawn.get("viewBox").split()[2:])
    names = f"{prefix}-t {prefix}-d"
    return (
        f'<svg xmlns="{SVG[1:-1]}" class="plot-{kind}" role="img" '
        f'aria-labelledby="{names}" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width * 700 / 504:.0f}" height="{height * 700 / 504:.0f}" '
        f'style="background:var(--plot-card,{CARD.lower()});'
        f"fill:{NOTHING_SAID['fill']};font-family:var(--plot-font,{FONT});"
        'stroke-linejoin:round">'
        f'<title id="{prefix}-t">{escape(title)}</title>'
        f'<desc id="{prefix}-d">{escape(desc)}</desc>'
        f"{''.join(map(_written, body))}</svg>"
    )


def _drawn(fig: Figure) -> Element:
    """Let matplotlib draw, and read what it wrote."""
    file, nothing = io.StringIO(), dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with (
        mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "course"}),
        line_anchors(fig),
    ):
        fig.savefig(file, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(file.getvalue())
    for child in list(root):
        if child.tag.endswith("metadata") or child.find(f"{SVG}style") is not None:
            root.remove(child)
    return root


def _flat(element: Element) -> list[Element]:
    """Return an element with its attributes tidied, or, for a group that says nothing,
    what it holds.
    """
    tag = element.tag.removeprefix(SVG)
    element = flowing(element) if tag == "g" else element
    if tag == "image" and (cells := cells_of(element)) is not None:
        element, tag = cells, "g"
    tidy = Element(tag, _tidied(element))
    tidy.text = element.text if tag in WORDS else None
    parts = [part for child in element for part in _flat(child)]
    if tag in WORDS:
        for part, child in zip(parts, element, strict=True):
            part.tail = child.tail if element.tag.endswith("text") else None
    elif tag in ("g", "defs") and not set(tidy.attrib) - {"id"}:
        return parts if tag == "g" else [_defs(parts)] if parts else []
    if tag == "path" and tidy.get("style") == "fill:none":
        return []  # a background that is not drawn
    tidy.extend(parts)
    return [tidy]


def _defs(parts: list[Element]) -> Element:
    defs = Element("defs")
    defs.extend(parts)
    return defs


def _tidied(element: Element) -> dict[str, str]:
    attributes = {}
    for name, value in element.attrib.items():
        if name == "style":
            value = _style(value)
        elif name == "transform":
            value = _transform(value)
        elif name == "d":
            value = _path(value, 2 if element.get("id") else 1)
        elif name in ("x", "y", "width", "height", "dy"):
            value = _rounded(value, 1)
        elif name == "fill" and value.startswith("#"):
            name, value = "style", _style(f"fill:{value}")
        if value:
            attributes["href" if name == HREF else name] = value
    return attributes


def _style(text: str) -> str:
    pairs = (part.split(":", 1) for part in text.split(";") if part.strip())
    said = {name.strip(): value.strip() for name, value in pairs}
    said.pop("font-family", None)
    for name, value in said.items():
        value = re.sub(r"#[0-9a-f]{6}", _variable, value, flags=re.I)
        said[name] = value if "opacity" in name else _rounded(value, 2)
    kept = {k: v for k, v in said.items() if NOTHING_SAID.get(k) != v}
    return ";".join(f"{name}:{value}" for name, value in kept.items())


def _variable(match: re.Match) -> str:
    colour = match[0].lower()
    return f"var({VARIABLE[colour]},{colour})" if colour in VARIABLE else colour


def _rounded(text: str, digits: int) -> str:
    def short(match: re.Match) -> str:
        value = f"{float(match[0]):.{digits}f}".rstrip("0").rstrip(".")
        return "0" if value == "-0" else value

    return re.sub(r"-?\d+\.\d+", short, text)


def _path(text: str, digits: int) -> str:
    text = " ".join(_rounded(text, digits).split())
    return re.sub(r" ?([A-Za-z]) ?", r"\1", text)


def _transform(text: str) -> str:
    text = re.sub(r"rotate\(-?0 [^)]*\)", "", text)
    if "matrix" in text or "scale" in text:
        return _rounded(text, 3)
    return _rounded(text, 1).strip()


def _all(body: list[Element]) -> list[Element]:
    return [element for top in body for element in top.iter()]


def _rename_ids(body: list[Element], prefix: str) -> None:
    """Keep the ids that something refers to, in the order of their first use."""
    elements, new = _all(body), {}
    for element in elements:
        for where in REFERS:
            for _, name in REFERENCE.findall(element.get(where, "")):
                new.setdefault(name, f"{prefix}-{len(new)}")
    for element in elements:
        name = element.attrib.pop("id", None)
        if name in new:
            element.set("id", new[name])
        for where in REFERS:
            if said := element.get(where):
                found = REFERENCE.sub(lambda m: m[1] + new[m[2]], said)
                element.set(where, found)


def _share_styles(body: list[Element]) -> None:
    """Let a mark that always looks the same say so once, where it is defined."""
    uses, marks = defaultdict(list), {}
    for element in _all(body):
        if element.tag == "use":
            uses[element.get("href")[1:]].append(element)
        elif element.get("id"):
            marks[element.get("id")] = element
    for name, found in uses.items():
        looks = {element.get("style", "") for element in found}
        if len(looks) == 1 and (look := looks.pop()):
            marks[name].set("style", look)
            for element in found:
                element.attrib.pop("style")


def _merge_grids(body: list[Element]) -> list[Element]:
    """Draw the grid lines of one pair of axes as one path."""
    kept, grids = [], {}
    for element in body:
        look = (element.get("clip-path"), element.get("style", ""))
        is_grid = element.tag == "path" and GRID.lower() in look[1]
        if is_grid and look in grids:
            grids[look].set("d", grids[look].get("d") + element.get("d"))
            continue
        if is_grid:
            grids[look] = element
        kept.append(element)
    return kept


def _written(element: Element) -> str:
    attributes = "".join(f' {k}="{escape(v)}"' for k, v in element.attrib.items())
    inside = escape(element.text or "", quote=False)
    for child in element:
        inside += _written(child) + escape(child.tail or "", quote=False)
    if not inside:
        return f"<{element.tag}{attributes}/>"
    return f"<{element.tag}{attributes}>{inside}</{element.tag}>"
