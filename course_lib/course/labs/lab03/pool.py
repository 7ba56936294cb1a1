"""Lab 3, exercise 4: the lab's own paged cache, whose methods stand beside a student's.

Symbols: as in `paged`.
"""

from torch import Tensor


class Pool:
    """The six methods; the books (`keys`, `free`, `tables`, ...) are the student's."""

    def allocate(self) -> int:
        """Take a free block. Raises: ValueError if none is free."""
        if not self.free:
            raise ValueError("no block is free")
        block = self.free.pop()
        self.references[block] = 1
        return block

    def locate(self, name: str, position: int) -> tuple[int, int]:
        """Return (block, offset) of a position."""
        block = self.tables[name][position // self.block_size]
        return block, position % self.block_size

    def append(self, name: str, keys: Tensor, values: Tensor) -> None:
        """Store new tokens; a shared last block is copied first."""
        table = self.tables[name]
        for key, value in zip(keys, values, strict=True):
            position = self.lengths[name]
            if position % self.block_size == 0:
                table.append(self.allocate())
            elif self.references[table[-1]] > 1:
                shared, table[-1] = table[-1], self.allocate()
                self.keys[table[-1]] = self.keys[shared]
                self.values[table[-1]] = self.values[shared]
                self.references[shared] -= 1
            block, offset = self.locate(name, position)
            self.keys[block, offset], self.values[block, offset] = key, value
            self.lengths[name] = position + 1

    def gather(self, name: str) -> tuple[Tensor, Tensor]:
        """Return keys and values in order."""
        table, length = self.tables[name], self.lengths[name]
        keys, values = self.keys[table].flatten(0, 1), self.values[table].flatten(0, 1)
        return keys[:length], values[:length]

    def fork(self, parent: str, child: str) -> None:
        """Share all blocks of the parent."""
        self.tables[child] = list(self.tables[parent])
        self.lengths[child] = self.lengths[parent]
        for block in self.tables[child]:
            self.references[block] += 1

    def release(self, name: str) -> None:
        """Give back what nobody else holds."""
        for block in self.tables.pop(name):
            self.references[block] -= 1
            if self.references[block] == 0:
                self.free.append(block)
        del self.lengths[name]


METHODS = ("allocate", "locate", "append", "gather", "fork", "release")


def mixed(paged_class: type, parts: tuple[str, ...]) -> type:
    """The student's class with the lab's own methods, but for `parts`."""
    own = {name: vars(Pool)[name] for name in METHODS if name not in parts}
    return type("PagedCache", (paged_class,), own)
