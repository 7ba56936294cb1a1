"""Which kind of layer of one model is compared with which of another: those that have
most in common.
"""

from collections.abc import Iterator

from course_lib.course.gallery.facts import kind_rows
from course_lib.course.gallery.rows import Kind, Part


def matched(
    left: tuple[Kind, ...], right: tuple[Kind, ...]
) -> list[tuple[Kind | None, Kind | None]]:
    """Kinds of layers in pairs, those first that have most in common; None where a side
    has no more.
    """
    scores = [
        (-likeness(a, b), i + j, i, j) for (i, a), (j, b) in pairs_of(left, right)
    ]
    partner, taken = {}, {}
    for _, _, i, j in sorted(scores):
        if i not in partner and j not in taken:
            partner[i] = right[j]
            taken[j] = True
    pairs = [(kind, partner.get(i)) for i, kind in enumerate(left)]
    return pairs + [(None, kind) for j, kind in enumerate(right) if j not in taken]


def pairs_of(left: tuple[Kind, ...], right: tuple[Kind, ...]) -> Iterator[tuple]:
    """Each kind of one side with each of the other, numbered."""
    for one in enumerate(left):
        for other in enumerate(right):
            yield one, other


def likeness(left: Kind, right: Kind) -> int:
    """Rows that two kinds of layers share; a mechanism of the same kind counts for
    many.
    """
    mine, other = dict(kind_rows(left, "")), dict(kind_rows(right, ""))
    same = [key for key, row in mine.items() if key in other and other[key] == row]
    parts = {branch.part.key: mechanism(branch.part) for branch in right.sublayers}
    alike = [
        branch
        for branch in left.sublayers
        if parts.get(branch.part.key) == mechanism(branch.part)
    ]
    return len(same) + 100 * len(alike)


def mechanism(part: Part) -> str:
    """The class of the record that a part describes."""
    return type(part.record).__name__
