"""What is read off a description: facts under full keys, alternative text, JSON."""

from collections.abc import Iterator

from course_lib.course.gallery.rows import Kind, Part, Row, Stack, Sublayer, View


def facts(view: View) -> dict[str, Row]:
    """Every row of a model under its full key, `stack/layer/part/row`.

    >>> from course_lib.course.gallery.describe import describe
    >>> from course_lib.specs.loader import load_spec
    >>> facts(describe(load_spec("llama-3-8b")))["model/A/mixer/kv_heads"].text
    '8 KV heads of 128'
    """
    return dict(all_rows(view))


def all_rows(view: View) -> Iterator[tuple[str, Row]]:
    """The rows of all stacks, each under its full key."""
    for stack in view.stacks:
        yield from stack_rows(stack)


def stack_rows(stack: Stack) -> Iterator[tuple[str, Row]]:
    """The rows of one stack from its head to its end, each under its full key."""
    for row in stack.head:
        yield f"{stack.key}/{row.key}", row
    yield from part_rows(stack.start, f"{stack.key}/start")
    for kind in stack.kinds:
        yield from kind_rows(kind, f"{stack.key}/{kind.letter}")
    if stack.final is not None:
        yield f"{stack.key}/final", stack.final
    if stack.end is not None:
        yield from part_rows(stack.end, f"{stack.key}/end")


def kind_rows(kind: Kind, where: str) -> Iterator[tuple[str, Row]]:
    """The rows of one kind of layer."""
    yield f"{where}/layout", kind.layout
    for branch in kind.sublayers:
        yield from branch_rows(branch, f"{where}/{branch.part.key}")


def branch_rows(branch: Sublayer, where: str) -> Iterator[tuple[str, Row]]:
    """The norm before a part, the part, the norm after it."""
    if branch.before is not None:
        yield f"{where}/before", branch.before
    yield from part_rows(branch.part, where)
    if branch.after is not None:
        yield f"{where}/after", branch.after


def part_rows(part: Part, where: str) -> Iterator[tuple[str, Row]]:
    """The rows of one part."""
    for row in part.rows:
        yield f"{where}/{row.key}", row


def sentence(stack: Stack) -> str:
    """A stack in words from top to bottom, for a reader who does not see it.

    >>> from course_lib.course.gallery.describe import describe
    >>> from course_lib.specs.loader import load_spec
    >>> sentence(describe(load_spec("mamba-2.8b")).stacks[0])[:46]
    '64 layers, width 2,560. Token embedding: vocab'
    """
    said = [", ".join(row.text for row in stack.head), part_text(stack.start)]
    for kind in stack.kinds:
        count = len(kind.indices)
        named = (
            "Each layer" if len(stack.kinds) == 1 else f"Layer {kind.letter}, × {count}"
        )
        branches = "; ".join(branch_text(branch) for branch in kind.sublayers)
        said += [f"{named}, {kind.layout.text}: {branches}"]
    if stack.final is not None:
        said += [f"Final {stack.final.text}"]
    if stack.end is not None:
        said += [part_text(stack.end)]
    return ". ".join(said) + "."


def branch_text(branch: Sublayer) -> str:
    """A branch in words."""
    before = "" if branch.before is None else f"{branch.before.text}, "
    after = "" if branch.after is None else f", then {branch.after.text}"
    return f"{before}{part_text(branch.part)}{after}"


def part_text(part: Part) -> str:
    """A part in words: its kind, then its other facts."""
    rest = ", ".join(row.text for row in part.rows[1:])
    return f"{part.rows[0].text}: {rest}" if rest else part.rows[0].text
