"""The pen: collects the elements of one drawing, in units that are about a pixel on a
phone.

A panel is 340 units wide, as wide as the column of text on a phone, or 166 for two side
by side there. y grows downward. Text is never smaller than 10 units. There are no ids
and no `<defs>` in a drawing, so any number of them can stand on a page.

    pen = Pen()
    pen.rect(10, 10, 120, 30, "b attn")
    pen.text(16, 29, "Attention", "T")

`faults` looks for text that leaves the drawing or lies on other text, by the widths of
DejaVu Sans, which is wider than the other fonts that a reader may have.
"""

from collections.abc import Iterator
from html import escape
from itertools import combinations
from typing import NamedTuple

WIDTH, HALF = 340, 166
SIZES = {"H": 15.0, "T": 12.0, "s": 10.0, "c": 10.0}
PLAIN = 11.0
BOLD = {"H", "T", "B"}

# Widths of DejaVu Sans in thousandths of the size, character by character.
_WIDTHS = {
    280: "'ijlIJ",
    340: " ,.·’/:;\\|f-",
    400: "()[]t!²ᵀ₀₁r",
    500: '"*_`–°sz?',
    560: "cLFk",
    600: "vxyγPπTYao",
    640: "eESbdghnpquσ$0123456789{}√βµ",
    690: "KαAVΔBRXZC",
    770: "UHNDG&OQ",
    840: "w∞#+<=>^~×→≠−≤≥⊕M",
    1000: "%mW@…",
}
_WIDTH_OF = {
    character: width for width, several in _WIDTHS.items() for character in several
}
_BOLDER = 1.13
_MONO = 602


class Text(NamedTuple):
    """Where a text stands: its left and right end, its baseline, its size; and the key
    of the fact that it tells, where it tells one.
    """

    left: float
    right: float
    y: float
    size: float
    words: str
    key: str = ""


class Pen:
    """One drawing in the making. What is drawn `under` lies below everything else."""

    def __init__(self, width: float = WIDTH) -> None:
        self.width = width
        self.under: list[str] = []
        self.over: list[str] = []
        self.texts: list[Text] = []
        self.boxes: list[tuple[float, float, float, float]] = []

    def rect(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        cls: str,
        r: float = 3,
        under: bool = False,
    ) -> None:
        """A rectangle with corners of radius `r`."""
        self.boxes.append((x, y, x + w, y + h))
        corner = f' rx="{number(r)}"' if r else ""
        self._put(
            f'<rect x="{number(x)}" y="{number(y)}" width="{number(w)}" '
            f'height="{number(h)}"{corner} class="{cls}"/>',
            under,
        )

    def path(self, d: str, cls: str, under: bool = False) -> None:
        """A path in SVG's own language."""
        self._put(f'<path d="{d}" class="{cls}"/>', under)

    def circle(
        self, x: float, y: float, r: float, cls: str, under: bool = False
    ) -> None:
        """A circle about a point."""
        self._put(
            f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(r)}" '
            f'class="{cls}"/>',
            under,
        )

    def text(
        self,
        x: float,
        y: float,
        words: object,
        cls: str = "",
        anchor: str = "",
        key: str = "",
    ) -> None:
        """Words on the baseline `y`; `anchor` is "middle" or "end", `key` names the
        fact they tell.
        """
        words = str(words)
        marks = [f'class="{cls}"'] if cls else []
        marks += [f'text-anchor="{anchor}"'] if anchor else []
        marks += [f'data-k="{escape(key)}"'] if key else []
        head = " ".join(["<text", f'x="{number(x)}"', f'y="{number(y)}"', *marks])
        self.over.append(f"{head}>{escape(words, quote=False)}</text>")
        wide = text_width(words, cls)
        left = x - {"": 0.0, "middle": wide / 2, "end": wide}[anchor]
        self.texts.append(Text(left, left + wide, y, text_size(cls), words, key))

    def take(self, other: "Pen", dx: float, dy: float = 0) -> None:
        """Put another drawing into this one, moved."""
        move = f'<g transform="translate({number(dx)} {number(dy)})">'
        self.over.append(f"{move}{other.body()}</g>")
        self.texts += [
            text._replace(left=text.left + dx, right=text.right + dx, y=text.y + dy)
            for text in other.texts
        ]
        self.boxes += [
            (left + dx, top + dy, right + dx, low + dy)
            for left, top, right, low in other.boxes
        ]

    def body(self) -> str:
        """All elements, in the order of painting."""
        return "".join(self.under + self.over)

    def _put(self, element: str, under: bool) -> None:
        (self.under if under else self.over).append(element)


def number(value: float) -> str:
    """A coordinate, to a tenth of a unit.

    >>> number(12.0), number(0.25), number(-0.04)
    ('12', '0.2', '0')
    """
    short = f"{value:.1f}".removesuffix(".0")
    return "0" if short == "-0" else short


def cell(x: float, y: float, w: float, h: float) -> str:
    """A rectangle as a piece of a path: many cells of one colour are one element."""
    return f"M{number(x)} {number(y)}h{number(w)}v{number(h)}h{number(-w)}z"


def text_size(cls: str = "") -> float:
    """The size at which text of these classes stands, in units."""
    return next((SIZES[name] for name in cls.split() if name in SIZES), PLAIN)


def text_width(words: str, cls: str = "") -> float:
    """About how wide words are, in units; a little too wide for most fonts.

    >>> round(text_width("RMSNorm")), round(text_width("RMSNorm", "T"))
    (54, 67)
    """
    names = set(cls.split())
    if "c" in names:
        return len(words) * _MONO * text_size(cls) / 1000
    wide = sum(_WIDTH_OF.get(character, 1000) for character in words)
    return wide * text_size(cls) / 1000 * (_BOLDER if names & BOLD else 1)


def faults(pen: Pen, height: float) -> Iterator[str]:
    """What a reader would see wrong: text outside the drawing or on other text, boxes
    outside the drawing.
    """
    for left, top, right, low in pen.boxes:
        if min(left, top) < -0.5 or right > pen.width + 0.5 or low > height + 0.5:
            yield f"a box at ({left:.0f}, {top:.0f}) leaves the drawing"
    for text in pen.texts:
        if text.left < -0.5 or text.right > pen.width + 0.5:
            yield f"{text.words!r} leaves the drawing at its side"
        if text.y - text.size * 0.8 < -0.5 or text.y + text.size * 0.25 > height + 0.5:
            yield f"{text.words!r} leaves the drawing above or below"
    for one, other in combinations(pen.texts, 2):
        apart = max(one.left, other.left) + 0.5 >= min(one.right, other.right)
        larger = max(one.size, other.size)
        if not apart and abs(one.y - other.y) < larger * 0.85:
            yield f"{one.words!r} lies on {other.words!r}"
