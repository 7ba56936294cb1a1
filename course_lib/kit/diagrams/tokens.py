"""Marks about text: tokens in boxes, a mask with its words beside it, a layer in small.

Terms:
    mask picture: which token (row) attends to which (column) -> word_mask
"""

from collections.abc import Callable, Sequence
from html import escape

from course_lib.kit.diagrams.marks import grid
from course_lib.kit.diagrams.pen import Pen, number

BOX = 20  # height of a token's box
LAYER = 34  # height of a small layer


def token(
    pen: Pen, x: float, y: float, w: float, words: str, cls: str = "b emb"
) -> float:
    """A token in a box. Returns the box's middle, for lines that leave it."""
    pen.rect(x, y, w, BOX, cls)
    pen.text(x + w / 2, y + BOX / 2 + 3.5, words, "s", "middle")
    return x + w / 2


def tokens(
    pen: Pen,
    x: float,
    y: float,
    words: Sequence[str],
    width: float,
    cls_of: Callable[[int], str] = lambda i: "b emb",
    gap: float = 4,
) -> list[float]:
    """Tokens in a row, each `width` wide with the gap; `cls_of(i)` gives the classes of
    a box. Returns the boxes' middles.
    """
    return [
        token(pen, x + i * width, y, width - gap, word, cls_of(i))
        for i, word in enumerate(words)
    ]


def upright(pen: Pen, x: float, y: float, words: str, cls: str = "s") -> None:
    """Words that run upward from (x, y), for the columns of a grid."""
    turn = f"rotate(-90 {number(x)} {number(y)})"
    pen.over.append(
        f'<text x="{number(x)}" y="{number(y)}" class="{cls}" transform="{turn}">'
        f"{escape(words, quote=False)}</text>"
    )


def word_mask(
    pen: Pen,
    x: float,
    y: float,
    words: Sequence[str],
    size: float,
    role_of: Callable[[int, int], str | None],
    split: int = 0,
    gap: float = 5,
) -> float:
    """A mask over a text: the words of the queries at the left of x, those of the keys
    above y. From token `split` on, rows and columns stand off by a gap. Returns the
    height below y.
    """

    def at(i: int) -> float:
        return i * size + (gap if split and i >= split else 0)

    for i, word in enumerate(words):
        pen.text(x - 5, y + at(i) + size / 2 + 3, word, "s", "end")
        upright(pen, x + at(i) + size / 2 + 3, y - 5, word)
    n = len(words)
    for top, rows in ((0, split), (split, n - split)):
        for left, columns in ((0, split), (split, n - split)):
            grid(
                pen,
                x + at(left),
                y + at(top),
                rows,
                columns,
                size,
                lambda i, j, top=top, left=left: role_of(top + i, left + j),
            )
    return at(n)


def layer(pen: Pen, x: float, y: float, w: float, cross: bool = False) -> float:
    """One layer in small: attention, cross-attention where there is one, and the
    feed-forward network, as bands. Returns its height.
    """
    bands = [("attn", "attention"), *[("attn", "cross-attention")] * cross]
    for i, (role, words) in enumerate([*bands, ("ffn", "FFN")]):
        pen.rect(x, y + 17 * i, w, 16, f"b {role}", 2)
        pen.text(x + w / 2, y + 17 * i + 11.5, words, "s", "middle")
    return 17 * (len(bands) + 1)
