"""Lab 3, exercise 4: a paged cache with a block table, prefix sharing and
copy-on-write.

Symbols: n tokens of a sequence, g KV heads, k head width. A *block* holds `block_size`
consecutive positions of one sequence; a sequence's *table* lists its blocks in order.
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes

HINTS = {
    "block_table": "position // block_size is an index into the sequence's table; the "
    "table names the block.",
    "offset": "Inside its block a token stands at position % block_size.",
    "when_full": "Take a new block only when the last is full: ceil(length / "
    "block_size) blocks in all.",
    "place": "Write each token at the (block, offset) that "
    "locate gives for its position.",
    "held_only": "The last block may be partly filled: gather returns `length` "
    "tokens, not whole blocks.",
    "order": "Gather follows the table, block by block, in the order of the positions.",
    "out_of_blocks": "When self.free is empty, raise ValueError.",
    "share": "fork copies the table, not the tokens: no block is taken.",
    "own_table": "The child needs a list of its own, or its blocks appear in the "
    "parent's table too.",
    "references": "Count holders: 1 on allocate, +1 a block on fork, -1 when a "
    "sequence lets a block go.",
    "copy_on_write": "A block with more than one reference must be copied before a "
    "sequence writes into it.",
    "copy_contents": "The copy must start with what the shared block held; then the "
    "new token is added.",
    "release_shared": "A block returns to self.free when its last "
    "holder lets go, not before.",
}
CHECK = Checker("Exercise 4", HINTS)


def check(paged_class: type, seed: int = 0) -> str:
    """Check exercise 4: the class with allocate, locate, append, gather, fork and
    release.

    Raises: CheckFailed with the hint that fits; NotImplementedError while a part is
        missing.
    """
    _Trial(paged_class, seed).run()
    return (
        "Exercise 4: blocks are found through the table, shared, copied on write "
        "and given back."
    )


class _Trial:
    """One cache and, beside it, plain tensors of what every sequence should hold."""

    def __init__(self, paged_class: type, seed: int) -> None:
        self.rng, size = random_sizes(
            seed, block_size=(3, 5), kv_heads=(1, 2), head_dim=(2, 3)
        )
        self.size, self.blocks = size, 14
        self.cache = paged_class(
            self.blocks, size["block_size"], size["kv_heads"], size["head_dim"]
        )
        order = torch.randperm(self.blocks, generator=self.rng).tolist()
        self.cache.free[:] = (
            order  # so that block numbers never follow the order of use
        )
        self.truth: dict[str, tuple[Tensor, Tensor]] = {}

    def run(self) -> None:
        """Grow two sequences in turn, fork, write on both sides, release, fill up."""
        size = self.size["block_size"]
        self.check_locate("by hand", self.cache.free[: len(self.cache.free) // 2])
        for name in ("a", "b"):
            self.cache.start(name)
            self.truth[name] = self._tokens(0)
        for name, count in (
            ("a", 1),
            ("b", size + 1),
            ("a", size),
            ("b", 1),
            ("a", 2 * size),
            ("b", size),
        ):
            self.append(name, count)
        self.check_fork("a", "c")
        self.append("c", 1, writes_shared=True)
        self.append("a", 1)
        self.append("c", size)
        self.check_fork("c", "d")
        self.check_release("c")
        self.append("d", 2)
        for name in list(self.truth):
            self.check_release(name)
        self.check_full()

    def _tokens(self, count: int) -> tuple[Tensor, Tensor]:
        shape = (count, self.size["kv_heads"], self.size["head_dim"])
        dtype = self.cache.keys.dtype
        return (
            torch.randn(shape, generator=self.rng).to(dtype),
            torch.randn(shape, generator=self.rng).to(dtype),
        )

    def append(self, name: str, count: int, writes_shared: bool = False) -> None:
        """Append and compare everything that must have changed, and everything that
        must not.
        """
        held, new = len(self.truth[name][0]), self._tokens(count)
        what = (
            f"append of {count} token{'s' * (count > 1)} to {name!r} with {held} held"
        )
        tables = {
            other: list(table)
            for other, table in self.cache.tables.items()
            if other != name
        }
        with CHECK.doing("when_full", what):
            self.cache.append(name, *new)
        self.truth[name] = tuple(
            torch.cat(pair) for pair in zip(self.truth[name], new, strict=True)
        )
        CHECK.equal(
            self.cache.lengths[name],
            held + count,
            "when_full",
            f"lengths[{name!r}] after the {what}",
        )
        for other, table in tables.items():
            CHECK.equal(
                self.cache.tables[other],
                table,
                "own_table",
                f"tables[{other!r}] after the {what}",
            )
        want = -(-(held + count) // self.size["block_size"])
        CHECK.equal(
            len(self.cache.tables[name]),
            want,
            "when_full",
            f"blocks of {name!r} after the {what}",
        )
        for other in self.truth.keys() - {name}:
            self.check_gather(other, what, pool="copy_on_write")
        self.check_gather(
            name, what, pool="copy_contents" if writes_shared else "place"
        )
        self.check_references(what)

    def check_locate(self, name: str, table: list[int]) -> None:
        """Every position of a sequence with this table is found through it."""
        size = self.size["block_size"]
        self.cache.tables[name], self.cache.lengths[name] = (
            list(table),
            len(table) * size,
        )
        for position in range(len(table) * size):
            with CHECK.doing("block_table", f"locate({name!r}, {position})"):
                got = tuple(self.cache.locate(name, position))
            want = (table[position // size], position % size)
            hint = "offset" if got[0] == want[0] else "block_table"
            CHECK.equal(
                got,
                want,
                hint,
                f"locate({name!r}, {position}), table {table}, block_size {size}",
            )
        del self.cache.tables[name], self.cache.lengths[name]

    def check_gather(self, name: str, what: str, pool: str = "place") -> None:
        """The pool (else hint `pool`) holds the tokens where the table says; gather
        returns them in order.
        """
        if not len(self.truth[name][0]):
            return
        with CHECK.doing("order", f"gather({name!r}) after the {what}"):
            got = self.cache.gather(name)
        stores = (self.cache.keys, self.cache.values)
        for kind, store, tensor, want in zip(
            ("keys", "values"), stores, got, self.truth[name], strict=True
        ):
            held = store[self.cache.tables[name]].flatten(0, 1)[: len(want)]
            CHECK.close(
                held, want, pool, f"{kind} in the blocks of {name!r} after the {what}"
            )
            gathered = f"{kind} of gather({name!r}) after the {what}"
            CHECK.equal(len(tensor), len(want), "held_only", f"number of {gathered}")
            CHECK.close(tensor, want, "order", gathered)

    def check_references(self, what: str) -> None:
        """References count the tables that name a block, and free lists the rest."""
        held = [block for table in self.cache.tables.values() for block in table]
        want = [held.count(block) for block in range(self.blocks)]
        free = sorted(block for block, count in enumerate(want) if not count)
        CHECK.equal(
            list(self.cache.references),
            want,
            "references",
            f"references of each block after the {what}",
        )
        CHECK.equal(
            sorted(self.cache.free), free, "references", f"free blocks after the {what}"
        )

    def check_fork(self, parent: str, child: str) -> None:
        """A fork costs no block, and both sides read the same tokens."""
        free, what = len(self.cache.free), f"fork({parent!r}, {child!r})"
        with CHECK.doing("share", what):
            self.cache.fork(parent, child)
        CHECK.equal(len(self.cache.free), free, "share", f"free blocks after {what}")
        self.truth[child] = self.truth[parent]
        CHECK.equal(
            list(self.cache.tables[child]),
            list(self.cache.tables[parent]),
            "share",
            f"the child's table after {what}",
        )
        aliased = self.cache.tables[child] is self.cache.tables[parent]
        CHECK.equal(
            aliased,
            False,
            "own_table",
            f"whether parent and child have one list after {what}",
        )
        self.check_references(what)
        self.check_gather(child, what)

    def check_release(self, name: str) -> None:
        """Released blocks are free, unless another sequence holds them."""
        what = f"release({name!r})"
        with CHECK.doing("references", what):
            self.cache.release(name)
        del self.truth[name]
        CHECK.equal(
            name in self.cache.tables,
            False,
            "references",
            f"whether {name!r} is listed after {what}",
        )
        shared = {block for table in self.cache.tables.values() for block in table}
        lost = sorted(shared & set(self.cache.free))
        CHECK.equal(
            lost, [], "release_shared", f"blocks both free and in a table after {what}"
        )
        self.check_references(what)
        for other in self.truth:
            self.check_gather(other, what)

    def check_full(self) -> None:
        """All blocks are back; one token more than the pool holds is refused."""
        CHECK.equal(
            len(self.cache.free),
            self.blocks,
            "references",
            "free blocks after every release",
        )
        self.cache.start("e")
        self.truth["e"] = self._tokens(0)
        self.append("e", self.blocks * self.size["block_size"])
        CHECK.refuses(
            lambda: self.cache.append("e", *self._tokens(1)),
            "out_of_blocks",
            "append with no block free",
        )
