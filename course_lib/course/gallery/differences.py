"""Two models compared by their rows: what differs, where, and how each side reads.

Causes are compared and amounts are not: a model with another width has another number
of parameters, and that is one difference and not two. Kinds of layers are matched by
what they hold, since a letter says only which kind came first.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from course_lib.course.gallery.matching import matched, mechanism
from course_lib.course.gallery.rows import Kind, Part, Row, Stack, Sublayer, View

NOTHING = "–"
ENDS = {"start": "embedding", "end": "head"}


@dataclass(frozen=True)
class Difference:
    """One fact that differs, with every pair of full keys at which it does; a key is ""
    where a side has no such row.
    """

    label: str
    left: str
    right: str
    where: tuple[str, ...]
    keys: tuple[tuple[str, str], ...]


def differences(left: View, right: View) -> tuple[Difference, ...]:
    """Every difference between two models; a fact that differs alike at several places
    is one.

    >>> from course_lib.course.gallery.describe import describe
    >>> from course_lib.specs.loader import load_spec
    >>> pair = (describe(load_spec(name)) for name in ("llama-3-8b", "llama-3.1-8b"))
    >>> [(one.label, one.right) for one in differences(*pair)]
    [('Context', 'context 131,072'), ('RoPE scaling', 'RoPE scaling: llama3 × 8'), ...]
    """
    found = list(model_differences(left, right))
    groups = {}
    for one in found:
        text = one.label, one.left, one.right
        groups[text] = groups.get(text, []) + [one]  # noqa: RUF005 (translated)
    return tuple(merged(alike) for alike in groups.values())


def merged(alike: list[Difference]) -> Difference:
    """One difference of those which read alike."""
    first = alike[0]
    where, keys = {}, []
    for one in alike:
        where.update([(place, 0) for place in one.where])
        keys += list(one.keys)
    return Difference(first.label, first.left, first.right, tuple(where), tuple(keys))


def model_differences(left: View, right: View) -> Iterator[Difference]:
    """Differences of two models, stack by stack: the last stacks are each other's, and
    the others go by their names.
    """
    others = {stack.key: stack for stack in right.stacks[:-1]}
    for stack in left.stacks[:-1]:
        if stack.key in others:
            yield from stack_differences(stack, others[stack.key])
        else:
            yield whole_stack(stack, True)
    mine = [stack.key for stack in left.stacks[:-1]]
    for stack in right.stacks[:-1]:
        if stack.key not in mine:
            yield whole_stack(stack, False)
    yield from stack_differences(left.stacks[-1], right.stacks[-1])


def whole_stack(stack: Stack, is_left: bool) -> Difference:
    """A stack that one side has."""
    return one_sided(
        "Stack",
        f"{stack.key}, {stack.head[0].text}",
        f"{stack.key}/layers",
        is_left,
        stack.key,
    )


def one_sided(label: str, text: str, key: str, is_left: bool, where: str) -> Difference:
    """What one side has and the other has not."""
    if is_left:
        return Difference(label, text, NOTHING, (where,), ((key, ""),))
    return Difference(label, NOTHING, text, (where,), (("", key),))


def stack_differences(left: Stack, right: Stack) -> Iterator[Difference]:
    """Differences of two stacks."""
    where = left.key if left.key == right.key else f"{left.key} / {right.key}"
    both = len(left.kinds) > 1 and len(right.kinds) > 1
    heads = [
        {row.key: row for row in stack.head if both or row.key != "order"}
        for stack in (left, right)
    ]
    yield from row_differences(heads[0], heads[1], left.key, right.key, where)
    yield from part_differences(
        left.start, right.start, left.key, right.key, ENDS["start"]
    )
    for mine, other in matched(left.kinds, right.kinds):
        yield from pair_of_kinds(left, right, mine, other)
    finals = [named(stack.final, "final") for stack in (left, right)]
    yield from row_differences(finals[0], finals[1], left.key, right.key, "final norm")
    yield from end_differences(left, right)


def end_differences(left: Stack, right: Stack) -> Iterator[Difference]:
    """Differences of two heads, one of which may be missing."""
    if left.end is not None and right.end is not None:
        yield from part_differences(
            left.end, right.end, left.key, right.key, ENDS["end"]
        )
    elif left.end is not None:
        yield one_sided(
            "Head", left.end.rows[0].text, f"{left.key}/end/kind", True, "head"
        )
    elif right.end is not None:
        yield one_sided(
            "Head", right.end.rows[0].text, f"{right.key}/end/kind", False, "head"
        )


def named(row: Row | None, key: str) -> dict[str, Row]:
    """A row that may be missing, by its key."""
    return {} if row is None else {key: row}


def pair_of_kinds(
    left: Stack, right: Stack, mine: Kind | None, other: Kind | None
) -> Iterator[Difference]:
    """Differences of two kinds of layers, one of which may be missing."""
    if other is None:
        yield one_sided(
            "Kind of layer",
            kind_text(mine),
            f"{left.key}/{mine.letter}/name",
            True,
            layer_text(mine),
        )
    elif mine is None:
        yield one_sided(
            "Kind of layer",
            kind_text(other),
            f"{right.key}/{other.letter}/name",
            False,
            layer_text(other),
        )
    else:
        yield from kind_differences(left, right, mine, other)


def kind_text(kind: Kind) -> str:
    """A kind of layer by its parts."""
    parts = " + ".join(branch.part.rows[0].text for branch in kind.sublayers)
    return f"{len(kind.indices)} × {parts}"


def layer_text(kind: Kind) -> str:
    """The name of a kind of layer."""
    return f"layer {kind.letter}"


def kind_differences(
    left: Stack, right: Stack, mine: Kind, other: Kind
) -> Iterator[Difference]:
    """Differences of two kinds of layers that are each other's."""
    letters = (
        mine.letter
        if mine.letter == other.letter
        else f"{mine.letter} / {other.letter}"
    )
    where = f"layer {letters}"
    lefts, rights = f"{left.key}/{mine.letter}", f"{right.key}/{other.letter}"
    yield from row_differences(
        {"layout": mine.layout}, {"layout": other.layout}, lefts, rights, where
    )
    theirs = {branch.part.key: branch for branch in other.sublayers}
    for branch in mine.sublayers:
        key = branch.part.key
        if key in theirs:
            yield from branch_differences(branch, theirs[key], lefts, rights, where)
        else:
            yield one_sided(
                "Part", branch.part.rows[0].text, f"{lefts}/{key}/kind", True, where
            )
    ours = [branch.part.key for branch in mine.sublayers]
    for key, branch in theirs.items():
        if key not in ours:
            yield one_sided(
                "Part", branch.part.rows[0].text, f"{rights}/{key}/kind", False, where
            )


def branch_differences(
    mine: Sublayer, other: Sublayer, lefts: str, rights: str, where: str
) -> Iterator[Difference]:
    """Differences of two branches. Where a side has no norm the layout has said so."""
    key = mine.part.key
    for place, norm, its in (
        ("before", mine.before, other.before),
        ("after", mine.after, other.after),
    ):
        if norm is not None and its is not None:
            rows = {place: norm}, {place: its}
            yield from row_differences(
                rows[0], rows[1], f"{lefts}/{key}", f"{rights}/{key}", where
            )
    yield from part_differences(mine.part, other.part, lefts, rights, where)


def part_differences(
    mine: Part, other: Part, lefts: str, rights: str, where: str
) -> Iterator[Difference]:
    """Differences of two parts. Another mechanism is one difference: the facts of the
    one mean nothing for the other.
    """
    rows = {row.key: row for row in mine.rows}
    its = {row.key: row for row in other.rows}
    if mechanism(mine) != mechanism(other):
        rows, its = {"kind": mine.rows[0]}, {"kind": other.rows[0]}
    keys = f"{lefts}/{mine.key}", f"{rights}/{other.key}"
    yield from row_differences(rows, its, keys[0], keys[1], where)


def row_differences(
    mine: Mapping[str, Row],
    other: Mapping[str, Row],
    lefts: str,
    rights: str,
    where: str,
) -> Iterator[Difference]:
    """Rows of one place which differ, or which one side alone has."""
    for key, row in mine.items():
        if key not in other:
            yield one_sided(row.label, row.text, f"{lefts}/{key}", True, where)
        elif other[key].text != row.text:
            pair = f"{lefts}/{key}", f"{rights}/{key}"
            yield Difference(row.label, row.text, other[key].text, (where,), (pair,))
    for key, row in other.items():
        if key not in mine:
            yield one_sided(row.label, row.text, f"{rights}/{key}", False, where)
