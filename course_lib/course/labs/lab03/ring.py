"""Lab 3, exercise 3: a ring buffer that holds the last W tokens, and the rule of what a
query may see.

Symbols: b batch, t new tokens, s returned entries, g KV heads, k head width, W window.
Positions are the same for every row of the batch, so they are [t] and [s] here; -1
marks an empty slot.
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, CheckFailed, random_sizes
from course_lib.course.labs.lending import copied, spoil, strided
from course_lib.course.labs.writes import RepeatedPlaces
from course_lib.layers import masks
from course_lib.layers.attention.forms import attend

HINTS = {
    "window_edge": "A window of W counts the query itself: at position p it sees p - "
    "W + 1 up to p.",
    "both_edges": "The window has a lower edge: keys at p - W and before are hidden.",
    "itself": "A query sees its own key.",
    "mask": "Return a bool tensor [t s], True where the query may see the key.",
    "empty": "An empty slot has position -1, and no query may see it.",
    "causal": "A key after the query is hidden, also inside the window.",
    "slot": "Position p belongs in slot p % window: the ring "
    "starts again when it is full.",
    "keep_last": "Of a chunk longer than the window, the last `window` tokens stay. "
    "Cut the chunk before you write: two tokens for one slot arrive in no fixed order.",
    "old_and_new": "The first queries of a chunk still need old keys that its last "
    "tokens overwrite. Collect old and new entries before you write.",
    "once": "A token must come back once. Seen twice, it gets twice its weight.",
    "constant_memory": "The ring has `window` slots for ever: write in place, do not "
    "join onto self.keys.",
    "positions": "Positions are whole numbers, int64: [window] in the ring, [s] as "
    "returned.",
    "together": "A key, its value and its position must sit in the same slot.",
}
CHECK = Checker("Exercise 3", HINTS)


def check_visible(visible, seed: int = 0) -> str:
    """Check `visible(query_positions, key_positions, window) -> [t s]`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = _sizes(seed)
    for window in (size["window"], 1):
        _check_visible(visible, window, rng)
    return "Exercise 3: the window counts the query itself, and empty slots are hidden."


def check_ring(ring_class: type, seed: int = 0) -> str:
    """Check `RingCache(batch, window, kv_heads, head_dim)` with `append(keys, values,
    positions)`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing.
    """
    rng, size = _sizes(seed)
    for number, window in enumerate((size["window"], size["window"] + 1, 1)):
        sizes = size | {"window": window, "batch": 1 + number % 2}
        for chunks in (
            [1] * (2 * window + 1),  # one at a time, past the end of the ring
            [2, 1, 1, *[1] * window],
            [2 * window + 1, 1, 1],  # a prompt longer than the window
            [window, max(window - 1, 1), 2, 1],  # chunks that wrap
            [1, window + 2, 1],
        ):
            _check_chunks(ring_class, chunks, sizes, rng)
        _check_two(ring_class, sizes, rng)
    return "Exercise 3: the ring keeps one window, and every query finds its keys."


def _sizes(seed: int) -> tuple[torch.Generator, dict[str, int]]:
    return random_sizes(
        seed, batch=(1, 2), window=(3, 5), kv_heads=(1, 2), head_dim=(2, 4)
    )


def _check_visible(visible, window: int, rng: torch.Generator) -> None:
    """Compare with the library's rule, on keys out of order and with an empty slot."""
    keys = torch.cat(
        (torch.randperm(3 * window, generator=rng), torch.tensor([-1, -1]))
    )
    early, late = (
        torch.tensor([1, 2 * window]),
        torch.randint(window, 4 * window, (3,), generator=rng),
    )
    queries = torch.cat(
        (early, late)
    )  # the first has an empty slot's position within its window
    q, k = queries[:, None], keys[None, :]
    seen = masks.causal_mask(queries[None], keys[None], window)[0]
    given = strided(queries), strided(keys), window
    got = CHECK.call(visible, *given, what=f"visible with window {window}")
    CHECK.true(
        isinstance(got, Tensor) and got.shape == seen.shape and got.dtype == torch.bool,
        "mask",
        "what visible returns",
        f"bool {tuple(seen.shape)}",
        _kind(got),
    )
    if torch.equal(got, seen):
        return
    real, before = k >= 0, k <= q
    mistakes = (
        ("empty", before & (k > q - window)),
        ("causal", real & (k > q - window)),
        ("window_edge", real & before & (k >= q - window)),
        ("window_edge", real & before & (k > q - window + 1)),
        ("itself", real & (k < q) & (k > q - window)),
        ("itself", real & (k < q) & (k >= q - window)),
        ("both_edges", real & before),
        ("mask", ~seen),
    )
    row = int((got != seen).any(1).nonzero()[0])
    fitting = next(
        (hint for hint, wrong in mistakes if torch.equal(got, wrong)), "compare"
    )
    what = (
        f"keys that a query at position {int(queries[row])} sees with window {window}"
    )
    CHECK.fail(
        fitting, what, sorted(keys[seen[row]].tolist()), sorted(keys[got[row]].tolist())
    )


def _check_chunks(
    ring_class: type, chunks: list[int], size: dict[str, int], rng
) -> None:
    """Feed a ring, and compare after every chunk."""
    text = _Text(ring_class, sum(chunks), size, rng, len(chunks) % 2 == 0)
    for new in chunks:
        text.append(new)


def _check_two(ring_class: type, size: dict[str, int], rng) -> None:
    """Feed two rings in turn, each its own text."""
    chunks = [1, 2, 1, 1]
    try:
        texts = [_Text(ring_class, sum(chunks), size, rng, False) for _ in range(2)]
        for new in chunks:
            for text in texts:
                text.append(new)
    except CheckFailed as failed:  # one alone had passed
        told = str(failed).splitlines()[2].removeprefix("  got:").strip()
        CHECK.fail("own_state", "two rings fed in turn", "as each alone", told)


class _Text:
    """A ring and, beside it, all entries of its text."""

    def __init__(self, ring_class: type, total: int, size, rng, turned: bool) -> None:
        shape = (size["batch"], total, size["kv_heads"], size["head_dim"])
        parts = (torch.randn(shape, generator=rng).double() for _ in range(3))
        self.keys, self.values, self.queries = parts
        self.turned, self.window, self.done = turned, size["window"], 0
        sizes = size["batch"], size["window"], size["kv_heads"], size["head_dim"]
        self.ring = ring_class(*sizes)
        _check_start(self.ring, self.window)
        self.places = self.ring.keys.data_ptr(), self.ring.values.data_ptr()

    def append(self, new: int) -> None:
        done, end, window = self.done, self.done + new, self.window
        what = f"append of positions {done} to {end - 1} with window {window}"
        part, positions = slice(done, end), torch.arange(done, end)
        own = [self.keys[:, part], self.values[:, part], positions]
        own = [strided(x) for x in own] if self.turned else own
        lent = copied(own)
        with CHECK.doing("crash", what), RepeatedPlaces() as writes:
            got = self.ring.append(*lent)
        same = all(torch.equal(a, b) for a, b in zip(lent, own, strict=True))
        CHECK.true(same, "unchanged", f"what {what} was given", "as it was", "changed")
        CHECK.true(
            not writes.repeated,
            "keep_last",
            what,
            "each slot written once",
            "one write with two tokens for the same slot",
        )
        places = self.ring.keys.data_ptr(), self.ring.values.data_ptr()
        slots = self.ring.keys.shape[1]
        CHECK.true(
            slots == window and places == self.places,
            "constant_memory",
            f"ring.keys after the {what}",
            f"the same {window} slots",
            f"{slots} slots" + ", elsewhere" * (places != self.places),
        )
        _check_slots(self.ring, self.keys, self.values, end, what, new)
        _check_returned(got, self.keys, self.values, done, new, window, what)
        self.attend(got, positions, what)
        self.done = end
        spoil(*lent)
        self.look("kept_copy", f"{what}, and its tensors were written over", new)

    def attend(self, got, positions: Tensor, what: str) -> None:
        """Attention of the new queries over what was returned is windowed attention."""
        end = int(positions[-1]) + 1
        every, rows = torch.arange(end)[None], len(self.keys)
        mask = masks.causal_mask(positions[None], every, self.window)
        queries = self.queries[:, positions]
        truth = queries, self.keys[:, :end], self.values[:, :end]
        full = attend(*truth, mask.expand(rows, -1, -1))[0]
        seen = masks.causal_mask(positions[None], got[2][None], self.window)
        out = attend(queries, got[0], got[1], seen.expand(rows, -1, -1))[0]
        CHECK.close(out, full, "old_and_new", f"windowed attention after the {what}")

    def look(self, hint: str, after: str, new: int) -> None:
        if self.done:
            _check_slots(self.ring, self.keys, self.values, self.done, after, new, hint)


def _check_start(ring, window: int) -> None:
    positions = getattr(ring, "positions", None)
    whole = isinstance(positions, Tensor) and not positions.is_floating_point()
    got = positions.tolist() if whole else "no tensor of whole numbers"
    others = whole and bool((positions > 0).any())  # tokens of another ring
    hint = "own_state" if others else "empty"
    CHECK.equal(got, [-1] * window, hint, "ring.positions of a new ring")


def _check_slots(
    ring, keys: Tensor, values: Tensor, done: int, what: str, new: int, hint: str = ""
) -> None:
    """After `done` tokens slot p % W holds token p, for the last W positions."""
    window = len(ring.positions)
    expected = [-1] * window
    for position in range(max(0, done - window), done):
        expected[position % window] = position
    got = ring.positions.tolist()
    lost = new > window and sorted(got) != sorted(expected)
    usual = "keep_last" if lost else "slot"
    CHECK.equal(got, expected, hint or usual, f"ring.positions after the {what}")
    held = [slot for slot, position in enumerate(expected) if position >= 0]
    for name, tensor, truth in (
        ("keys", ring.keys, keys),
        ("values", ring.values, values),
    ):
        want = truth[:, [expected[slot] for slot in held]]
        usual = "keep_last" if new > window else "together"
        told = f"ring.{name} in slots {held} after the {what}"
        CHECK.close(tensor[:, held], want, hint or usual, told)


def _check_returned(
    got, keys: Tensor, values: Tensor, done: int, new: int, window: int, what: str
) -> None:
    """The returned entries hold each key that one of the new queries needs, once."""
    CHECK.true(
        isinstance(got, tuple) and len(got) == 3,
        "old_and_new",
        f"what the {what} returns",
        "(keys, values, positions)",
        _kind(got),
    )
    whole = isinstance(got[2], Tensor) and got[2].dtype == torch.int64
    CHECK.true(
        whole,
        "positions",
        f"positions returned by the {what}",
        "int64",
        getattr(got[2], "dtype", type(got[2]).__name__),
    )
    positions = got[2].tolist()
    needed = set(range(max(0, done - window + 1), done + new))
    missing = sorted(needed - set(positions))
    CHECK.true(
        not missing,
        "old_and_new",
        f"positions returned by the {what}",
        f"all of {sorted(needed)}",
        f"{positions}, without {missing}",
    )
    real = [position for position in positions if position >= 0]
    CHECK.true(
        len(real) == len(set(real)),
        "once",
        f"positions returned by the {what}",
        "no position twice",
        positions,
    )
    for name, tensor, truth in (("keys", got[0], keys), ("values", got[1], values)):
        at = [i for i, position in enumerate(positions) if position >= 0]
        CHECK.close(
            tensor[:, at], truth[:, real], "together", f"{name} returned by the {what}"
        )


def _kind(got) -> str:
    return (
        f"{got.dtype} {tuple(got.shape)}"
        if isinstance(got, Tensor)
        else type(got).__name__
    )
