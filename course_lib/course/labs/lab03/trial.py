"""Lab 3, exercise 4: a paged cache under trial, and beside it what it should hold.

Symbols: as in `paged`.
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import copied, spoil, strided

HINTS = {
    "others": "What the other sequences hold stays as it is: their blocks are not "
    "written into.",
    "free": "A block that is handed out leaves self.free; return its number, an int.",
    "block_table": "position // block_size is an index into the sequence's table; the "
    "table names the block.",
    "offset": "Inside its block a token stands at position % block_size.",
    "when_full": "Take a new block only when the last is full: ceil(length / "
    "block_size) blocks in all.",
    "length": "lengths[name] counts the tokens: one more for each that is written.",
    "place": "Write each token at the (block, offset) that "
    "locate gives for its position: keys into self.keys, values into self.values.",
    "held_only": "The last block may be partly filled: gather returns `length` "
    "tokens, not whole blocks.",
    "order": "Gather follows the table, block by block, in the order of the positions.",
    "empty": "A sequence without tokens gives two tensors of 0 tokens, [0 g k].",
    "own_copy": "gather returns copies: what is written later, on either side, must "
    "not show on the other.",
    "out_of_blocks": "When self.free is empty, raise ValueError, and leave everything "
    "as it was: take the new block before you change anything.",
    "share": "fork copies the table, not the tokens: no block is taken.",
    "own_table": "The child needs a list of its own, or its blocks appear in the "
    "parent's table too.",
    "references": "Count holders: 1 on allocate, +1 a block on fork, -1 when a "
    "sequence lets a block go.",
    "copy_on_write": "A block with more than one reference must be copied before a "
    "sequence writes into it, parent or child.",
    "one_block": "Only the block that is written into is copied. The full blocks "
    "before it stay shared.",
    "copy_contents": "The copy must start with what the shared block held; then the "
    "new token is added.",
    "release_shared": "A block returns to self.free when its last "
    "holder lets go, not before.",
    "forgotten": "A released sequence is gone: neither table nor length remains.",
}


class Trial:
    """One cache and, beside it, plain tensors of what every sequence should hold."""

    def __init__(
        self,
        paged_class: type,
        seed: int,
        check: Checker,
        block_size: int | None = None,
    ) -> None:
        rng, size = random_sizes(
            seed, block_size=(2, 5), kv_heads=(1, 2), head_dim=(2, 3)
        )
        self.rng, self.check, self.blocks = rng, check, 16
        self.block_size = block_size or size["block_size"]
        self.shape = size["kv_heads"], size["head_dim"]
        self.cache = paged_class(self.blocks, self.block_size, *self.shape)
        self.cache.keys.normal_(generator=rng), self.cache.values.normal_(generator=rng)
        order = torch.randperm(self.blocks, generator=rng).tolist()
        self.cache.free[:] = order  # block numbers never follow the order of use
        self.truth: dict[str, tuple[Tensor, Tensor]] = {}

    def state(self) -> list:
        """Everything that a refused call must leave alone."""
        cache = self.cache
        books = cache.tables, cache.lengths, cache.references, sorted(cache.free)
        return [repr(books), cache.keys.tolist(), cache.values.tolist()]

    def tokens(self, count: int) -> tuple[Tensor, Tensor]:
        """Random keys and values of `count` tokens."""
        pair = torch.randn(2, count, *self.shape, generator=self.rng)
        keys, values = pair.to(self.cache.keys.dtype)
        return keys, strided(values)

    def start(self, name: str) -> None:
        """Begin a sequence."""
        self.cache.start(name)
        self.truth[name] = self.tokens(0)

    def append(self, name: str, count: int, shared: bool = False) -> None:
        """Append and compare everything that must have changed, and everything that
        must not.
        """
        equal, held, own = (
            self.check.equal,
            len(self.truth[name][0]),
            self.tokens(count),
        )
        told = (
            f"append of {count} token{'s' * (count > 1)} to {name!r} with {held} held"
        )
        tables = {other: list(t) for other, t in self.cache.tables.items()}
        books = self.after_append(name, count)
        lent = copied(own)
        with self.check.doing("crash", told):
            self.cache.append(name, *lent)
        same = all(map(torch.equal, lent, own))
        self.check.true(
            same, "unchanged", f"tokens of {told}", "as they were", "changed"
        )
        spoil(*lent)
        self.truth[name] = tuple(map(lambda *p: torch.cat(p), self.truth[name], own))
        told = f"after {told}"
        equal(
            self.cache.lengths[name],
            held + count,
            "length",
            f"lengths[{name!r}] {told}",
        )
        for other in tables.keys() - {name}:
            now = self.cache.tables[other]
            equal(now, tables[other], "own_table", f"tables[{other!r}] {told}")
        want = -(-(held + count) // self.block_size)
        blocks = len(self.cache.tables[name])
        equal(blocks, want, "when_full", f"number of blocks of {name!r} {told}")
        for other in self.truth.keys() - {name}:
            self.pool(other, told, "copy_on_write")
        kept = tables[name][: held // self.block_size]
        now = self.cache.tables[name][: len(kept)]
        equal(now, kept, "one_block", f"full blocks of {name!r} {told}")
        self.pool(name, told, "copy_contents" if shared else "place")
        self.references(told, books)

    def after_append(self, name: str, count: int) -> int:
        """Free blocks that should be left: new ones, and one for a copy."""
        held, table = len(self.truth[name][0]), self.cache.tables[name]
        size = self.block_size
        taken = -(-(held + count) // size) - len(table)
        copies = count and held % size and self.cache.references[table[-1]] > 1
        return len(self.cache.free) - taken - bool(copies)

    def references(self, told: str, free: int | None = None) -> None:
        """References count the tables that name a block, and free lists the rest."""
        held = [block for table in self.cache.tables.values() for block in table]
        want = [held.count(block) for block in range(self.blocks)]
        rest = sorted(block for block, count in enumerate(want) if not count)
        equal, now = self.check.equal, list(self.cache.references)
        equal(now, want, "references", f"references of each block {told}")
        equal(sorted(self.cache.free), rest, "references", f"free blocks {told}")
        if free is not None:
            equal(len(rest), free, "copy_on_write", f"number of free blocks {told}")

    def refused(self, name: str, hint: str = "out_of_blocks") -> None:
        """An append that needs a block finds none, and changes nothing."""
        before, told = self.state(), f"append to {name!r} with no block free"
        one = self.tokens(1)
        self.check.refuses(lambda: self.cache.append(name, *one), hint, told)
        same = self.state() == before
        told = f"the cache after a refused {told}"
        self.check.true(same, "out_of_blocks", told, "as it was", "changed")

    def locate(self, tables: dict[str, list[int]]) -> None:
        """Every position of sequences with these tables is found through them."""
        size = self.block_size
        for name, table in tables.items():
            self.cache.tables[name] = list(table)
            self.cache.lengths[name] = len(table) * size
        for name, table in tables.items():
            for position in range(len(table) * size):
                told = f"locate({name!r}, {position})"
                got = self.check.call(self.cache.locate, name, position, what=told)
                want = table[position // size], position % size
                told += f", table {table}, block_size {size}"
                pair = isinstance(got, tuple | list) and len(got) == 2
                self.check.true(pair, "block_table", told, want, got)
                hint = "offset" if got[0] == want[0] else "block_table"
                self.check.equal(tuple(got), want, hint, told)

    def pool(self, name: str, told: str, hint: str) -> None:
        """The pool holds the tokens where the table says."""
        for kind, want in zip(("keys", "values"), self.truth[name], strict=True):
            store = getattr(self.cache, kind)
            held = store[self.cache.tables[name]].flatten(0, 1)[: len(want)]
            what = f"{kind} in the blocks of {name!r} {told}"
            self.check.close(held, want, hint, what)

    def gather(self, name: str) -> tuple[Tensor, Tensor]:
        """Gather, compare, and return what came."""
        held, told = len(self.truth[name][0]), f"gather({name!r})"
        crash = "crash" if held else "empty"
        got = self.check.call(self.cache.gather, name, what=told, crash=crash)
        pair = isinstance(got, tuple | list) and len(got) == 2
        self.check.true(pair, "order", told, "(keys, values)", type(got).__name__)
        for kind, tensor, want in zip(
            ("keys", "values"), got, self.truth[name], strict=True
        ):
            rows = tensor.shape[0] if isinstance(tensor, Tensor) else None
            hint = "held_only" if held else "empty"
            self.check.equal(rows, held, hint, f"number of {kind} of {told}")
            hint = "order" if held else "empty"
            self.check.close(tensor, want, hint, f"{kind} of {told}, {held} tokens")
        return got

    def fork(self, parent: str, child: str) -> None:
        """A fork costs no block, and both sides hold the same tokens."""
        free, told = len(self.cache.free), f"fork({parent!r}, {child!r})"
        with self.check.doing("crash", told):
            self.cache.fork(parent, child)
        equal, tables = self.check.equal, self.cache.tables
        self.truth[child] = self.truth[parent]
        equal(len(self.cache.free), free, "share", f"free blocks after {told}")
        self.check.true(
            child in tables, "share", told, f"a table for {child!r}", "none"
        )
        both = list(tables[child]), list(tables[parent])
        equal(*both, "share", f"the child's table after {told}")
        length = self.cache.lengths.get(child)
        held = len(self.truth[child][0])
        equal(length, held, "share", f"lengths[{child!r}] after {told}")
        one = tables[child] is tables[parent]
        equal(one, False, "own_table", f"whether both have one list after {told}")
        self.references(f"after {told}")
        for name in (parent, child):
            self.pool(name, f"after {told}", "share")

    def release(self, name: str) -> None:
        """Released blocks are free, unless another sequence holds them."""
        told, equal = f"after release({name!r})", self.check.equal
        with self.check.doing("crash", f"release({name!r})"):
            self.cache.release(name)
        del self.truth[name]
        for book in ("tables", "lengths"):
            there = name in getattr(self.cache, book)
            equal(there, False, "forgotten", f"whether {name!r} is in {book} {told}")
        shared = {block for table in self.cache.tables.values() for block in table}
        lost = sorted(shared & set(self.cache.free))
        equal(lost, [], "release_shared", f"blocks both free and in a table {told}")
        self.references(told)
        for other in self.truth:
            self.pool(other, told, "others")
