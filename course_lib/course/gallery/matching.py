"""Which kind of layer of one model is compared with which of another: those that have
most in common; and which row of one is whose counterpart.
"""

from collections.abc import Iterator

from course_lib.course.gallery.facts import kind_rows, part_rows
from course_lib.course.gallery.rows import Kind, Part, Row, Stack, View


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


def counterparts(left: View, right: View) -> dict[str, str]:
    """The full key that each row of one model has in the other, whether or not the
    other has the row: "model/A/mixer/kind" and "decoder/B/mixer/kind". Rows of a kind
    of layer which the other has not are left out.
    """
    found = {}
    for mine, other in stacks_in_pairs(left, right):
        found.update(renamed(end_rows(mine, mine.key), end_rows(mine, other.key)))
        for kind, its in matched(mine.kinds, other.kinds):
            if kind is not None and its is not None:
                here, there = f"{mine.key}/{kind.letter}", f"{other.key}/{its.letter}"
                found[f"{here}/name"] = f"{there}/name"
                found.update(renamed(kind_rows(kind, here), kind_rows(kind, there)))
    return found


def stacks_in_pairs(left: View, right: View) -> Iterator[tuple[Stack, Stack]]:
    """The last stacks are each other's, and the others go by their names."""
    others = {stack.key: stack for stack in right.stacks[:-1]}
    for stack in left.stacks[:-1]:
        if stack.key in others:
            yield stack, others[stack.key]
    yield left.stacks[-1], right.stacks[-1]


def renamed(
    here: Iterator[tuple[str, Row]], there: Iterator[tuple[str, Row]]
) -> list[tuple[str, str]]:
    """Keys of the same rows under two names."""
    names = [key for key, _ in there]
    return [(key, names[at]) for at, (key, _) in enumerate(here)]


def end_rows(stack: Stack, where: str) -> Iterator[tuple[str, Row]]:
    """The rows of a stack that no kind of layer has, under another name of it."""
    for row in stack.head:
        yield f"{where}/{row.key}", row
    yield from part_rows(stack.start, f"{where}/start")
    if stack.final is not None:
        yield f"{where}/final", stack.final
    if stack.end is not None:
        yield from part_rows(stack.end, f"{where}/end")
