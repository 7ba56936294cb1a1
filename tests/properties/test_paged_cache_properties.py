"""The paged cache under random appends, forks and frees: always what plain lists hold, and no block leaks."""

import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from course_lib.layers.caches.block_pool import BlockPool
from course_lib.layers.caches.paged import PagedCache

BLOCKS, SIZE, MAX_ROWS = 9, 3, 4


class PagedAgainstLists(RuleBasedStateMachine):
    """Every token is a distinct number; ``model`` holds each row as a plain list of them."""

    def __init__(self):
        super().__init__()
        self.pool = BlockPool(BLOCKS, SIZE, kv_heads=1, head_dim=1, dtype=torch.float64)
        self.cache = PagedCache(self.pool, batch=1)
        self.model = [[]]
        self.next_token = 1.0

    @rule(data=st.data())
    def append(self, data):
        rows = len(self.model)
        counts = data.draw(st.lists(st.integers(0, 5), min_size=rows, max_size=rows))
        width = max(counts)
        tokens = torch.zeros(rows, width, 1, 1, dtype=torch.float64)
        positions = torch.full((rows, width), -1)
        added = []
        for row, count in enumerate(counts):
            added.append([self.next_token + i for i in range(count)])
            self.next_token += count
            tokens[row, width - count :, 0, 0] = torch.tensor(added[-1], dtype=torch.float64)
            positions[row, width - count :] = len(self.model[row]) + torch.arange(count)
        held = [list(table) for table in self.cache.tables]
        try:
            self.cache.update(tokens, -tokens, positions)
        except ValueError as error:
            assert "blocks: the pool has" in str(error) and held == self.cache.tables
        else:
            for row, new in zip(self.model, added, strict=True):
                row.extend(new)

    @precondition(lambda self: len(self.model) < MAX_ROWS)
    @rule(data=st.data())
    def fork(self, data):
        row = data.draw(st.integers(0, len(self.model) - 1))
        tokens = data.draw(st.integers(0, len(self.model[row])))
        free = self.pool.free_blocks
        assert self.cache.fork(row, tokens) == len(self.model)
        assert self.pool.free_blocks == free
        self.model.append(self.model[row][:tokens])

    @rule(data=st.data())
    def free(self, data):
        row = data.draw(st.integers(0, len(self.model) - 1))
        self.cache.free(row)
        self.model[row] = []

    @invariant()
    def rows_read_back(self):
        keys, values, positions = self.cache.read()
        for row, tokens in enumerate(self.model):
            valid = positions[row] >= 0
            assert positions[row, valid].tolist() == list(range(len(tokens)))
            assert keys[row, valid].flatten().tolist() == tokens
            assert values[row, valid].flatten().tolist() == [-token for token in tokens]

    @invariant()
    def references_count_the_tables(self):
        holders = [sum(block in table for table in self.cache.tables) for block in range(BLOCKS)]
        assert self.pool.references == holders
        assert self.pool.free_blocks == holders.count(0)

    @invariant()
    def waste_is_bounded(self):
        slots = self.cache.slots()
        assert self.cache.nbytes == slots.allocated * self.pool.block_nbytes // SIZE
        assert 0 <= slots.wasted <= len(self.model) * (SIZE - 1)

    def teardown(self):
        for row in range(len(self.model)):
            self.cache.free(row)
        assert self.pool.free_blocks == BLOCKS and self.pool.references == [0] * BLOCKS


PagedAgainstLists.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestPagedAgainstLists = PagedAgainstLists.TestCase
