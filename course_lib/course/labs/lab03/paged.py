"""Lab 3, exercise 4: a paged cache with a block table, prefix sharing and
copy-on-write.

Symbols: n tokens of a sequence, g KV heads, k head width. A *block* holds `block_size`
consecutive positions of one sequence; a sequence's *table* lists its blocks in order.

Each method is judged with the lab's own versions of the others beside it; if that
fails, with the student's, for an answer may keep its books in its own way.
"""

from collections.abc import Callable

from course_lib.course.labs.checking import Checker
from course_lib.course.labs.lab03.pool import mixed
from course_lib.course.labs.lab03.trial import HINTS, Trial

CHECK = Checker("Exercise 4", HINTS)


def check_allocate(paged_class: type, seed: int = 0) -> str:
    """Check `allocate()`: every block once, then a refusal.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do all checks of this module.
    """
    _judge(paged_class, ("allocate",), _allocate, seed)
    return "Exercise 4: a block that is handed out is no longer free."


def _allocate(trial: Trial) -> None:
    cache, free = trial.cache, list(trial.cache.free)
    for _ in range(trial.blocks):
        what = f"allocate with {len(free)} blocks free"
        block = CHECK.call(cache.allocate, what=what)
        CHECK.true(block in free, "free", what, f"one of {free}", block)
        CHECK.equal(block, int(block), "free", what)
        free.remove(block)
        CHECK.equal(
            sorted(cache.free), sorted(free), "free", f"free blocks after {what}"
        )
        references = [int(other not in free) for other in range(trial.blocks)]
        told = f"references after {what}"
        CHECK.equal(list(cache.references), references, "references", told)
    CHECK.refuses(cache.allocate, "out_of_blocks", "allocate with no block free")


def check_locate(paged_class: type, seed: int = 0) -> str:
    """Check `locate(name, position) -> (block, offset)`."""
    _judge(paged_class, ("locate",), _locate, seed)
    return "Exercise 4: a position is found through the table."


def _locate(trial: Trial) -> None:
    half = trial.blocks // 2
    trial.locate({"a": trial.cache.free[:half], "b": trial.cache.free[half:]})


def check_append(paged_class: type, seed: int = 0) -> str:
    """Check `append(name, keys, values)` where no block is shared."""
    _judge(paged_class, ("append",), _append, seed)
    return "Exercise 4: texts grow block by block."


def _append(trial: Trial) -> None:
    size = trial.block_size
    for name in ("a", "b"):
        trial.start(name)
    for name, count in zip(
        "abababa", (1, size + 1, size, 1, 2 * size, size - 1, 1), strict=True
    ):
        trial.append(name, count)
    trial.start("c")
    trial.append("c", len(trial.cache.free) * size)
    trial.refused("c")


def check_copy_on_write(paged_class: type, seed: int = 0) -> str:
    """Check `append(name, keys, values)` where the last block is shared."""
    _judge(paged_class, ("append",), _example, seed, block_size=4)
    for held in range(1, 2 * 3 + 2):
        for writers in (("pc", "ccp"), ("cp", "ppc"))[held % 2]:
            _judge(
                paged_class, ("append",), _written(held, writers), seed, block_size=3
            )
    _judge(paged_class, ("append",), _no_room, seed, block_size=3)
    return "Exercise 4: a shared block is copied, alone and once, before it is written."


def _example(trial: Trial) -> None:
    """The task's own example, tables and references as it shows them."""
    trial.start("a")
    trial.append("a", 6)
    trial.fork("a", "b")
    table = list(trial.cache.tables["a"])
    trial.append("b", 1, shared=True)
    own = trial.cache.tables["b"]
    CHECK.equal(own[:1], table[:1], "one_block", "b's first block, as in the example")
    free = len(trial.cache.free)
    CHECK.equal(free, trial.blocks - 3, "one_block", "free blocks after the example")


def _written(held: int, writers: str) -> Callable[[Trial], None]:
    """A parent of `held` tokens, its child, and who appends in which order."""

    def script(trial: Trial) -> None:
        names = ("other", "parent")[:: 1 if held % 4 < 2 else -1]
        for name in names:  # the parent is the oldest sequence, or is not
            trial.start(name)
        trial.append("other", 2)
        trial.append("parent", held)
        trial.fork("parent", "child")
        trial.fork("parent", "third")  # three holders: a copy leaves two
        for writer in writers:
            name = {"p": "parent", "c": "child"}[writer]
            trial.append(name, 1 if held % 2 else 2, shared=True)
        trial.fork("child", "grandchild")
        trial.append("child", 1, shared=True)
        trial.append("grandchild", 4, shared=True)
        trial.append("other", 2)

    return script


def _no_room(trial: Trial) -> None:
    """A copy that finds no free block leaves everything as it was."""
    trial.start("a")
    trial.append("a", 2)
    trial.fork("a", "b")
    trial.start("c")
    trial.append("c", len(trial.cache.free) * 3)
    trial.refused("b", "copy_on_write")
    trial.refused("a", "copy_on_write")


def check_gather(paged_class: type, seed: int = 0) -> str:
    """Check `gather(name) -> (keys, values)`."""
    _judge(paged_class, ("gather",), _gather, seed)
    return "Exercise 4: a text comes back in order, as it was."


def _gather(trial: Trial) -> None:
    size = trial.block_size
    for name in ("a", "b"):
        trial.start(name)
        trial.gather(name)
    for name, count in (("a", 1), ("b", size), ("a", 2 * size), ("b", 1), ("a", size)):
        before = trial.gather(name), [x.clone() for x in trial.truth[name]]
        trial.append(name, count)
        trial.cache.keys[trial.cache.free] += 1.0  # free blocks hold what they like
        trial.gather(name)
        for got, was in zip(*before, strict=True):
            told = f"what gather({name!r}) returned, after another append"
            CHECK.close(got, was, "own_copy", told)
    trial.fork("a", "c")
    trial.append("c", 2)
    trial.start("d")
    trial.append("d", 1)  # a single block
    for name in "abcd":
        got = trial.gather(name)
        got[0].fill_(7.0), got[1].fill_(7.0)
        trial.pool(name, f"what gather({name!r}) returned was written over", "own_copy")


def check_fork(paged_class: type, seed: int = 0) -> str:
    """Check `fork(parent, child)`."""
    _judge(paged_class, ("fork",), _fork, seed)
    return "Exercise 4: a fork shares every block and takes none."


def _fork(trial: Trial) -> None:
    size = trial.block_size
    trial.start("empty")
    trial.fork("empty", "also empty")
    for held in range(1, 2 * size + 1):
        names = f"p{held}", f"c{held}", f"d{held}"
        trial.start(names[0])
        trial.append(names[0], held)
        trial.fork(*names[:2])
        trial.fork(*names[1:])
        trial.append(names[1], 1)
        trial.append(names[0], size)
        for name in names:
            trial.release(name)
    trial.append("empty", 1)
    trial.pool("also empty", "append to its parent", "own_table")
    length = trial.cache.lengths["also empty"]
    CHECK.equal(length, 0, "own_table", "lengths of a fork after append to its parent")


def check_release(paged_class: type, seed: int = 0) -> str:
    """Check `release(name)`."""
    _judge(paged_class, ("release",), _release, seed)
    return "Exercise 4: a block is free when its last holder has gone."


def _release(trial: Trial) -> None:
    size = trial.block_size
    for name in ("a", "x"):
        trial.start(name)
        trial.append(name, 2 * size + 1)
    trial.fork("a", "b")
    trial.append("b", 1)
    trial.fork("b", "c")
    for name in ("a", "c"):
        trial.release(name)
    trial.start("a")  # the name is free again
    trial.append("a", 1)
    trial.start("e")
    for name in ("b", "e", "x", "a"):
        trial.release(name)
    free = len(trial.cache.free)
    CHECK.equal(free, trial.blocks, "references", "free blocks after every release")


def _judge(
    paged_class: type,
    parts: tuple[str, ...],
    script: Callable[[Trial], None],
    seed: int,
    block_size: int | None = None,
) -> None:
    """Run a script on the student's `parts` beside the lab's own other methods, or else
    on the whole class; two caches at once.
    """

    def run(judged: type) -> None:
        trial = Trial(judged, seed, CHECK, block_size)
        script(trial)
        if block_size:
            return
        held = trial.state()
        script(Trial(judged, seed + 1, CHECK))
        same = trial.state() == held
        told = "a cache, after another one was used"
        CHECK.true(same, "own_state", told, "as it was", "changed")

    try:
        run(mixed(paged_class, parts))
    except Exception as first:  # the student's code may raise anything
        try:
            run(paged_class)
        except Exception:
            raise first from None
