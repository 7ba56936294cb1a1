"""Lab 3, exercise 3: a ring buffer that holds the last W tokens, and the rule of what a
query may see.

Symbols: b batch, t new tokens, s returned entries, g KV heads, k head width, W window.
Positions are the same for every row of the batch, so they are [t] and [s] here; -1
marks an empty slot.
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.layers import masks
from course_lib.layers.attention.forms import attention_naive

HINTS = {
    "window_edge": "A window of W counts the query itself: at position p it sees p - "
    "W + 1 up to p.",
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
    "together": "A key, its value and its position must sit in the same slot.",
}
CHECK = Checker("Exercise 3", HINTS)


def check(ring_class: type, visible, seed: int = 0) -> str:
    """Check exercise 3: the ring's class and `visible(query_positions, key_positions,
    window) -> [t s]`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while a part is
        missing.
    """
    rng, size = random_sizes(
        seed, batch=(1, 2), window=(3, 5), kv_heads=(1, 2), head_dim=(2, 4)
    )
    _check_visible(visible, size["window"], rng)
    window = size["window"]
    for chunks in (
        [1] * (2 * window + 1),  # one at a time, past the end of the ring
        [2, 1, 1, *[1] * window],
        [2 * window + 1, 1, 1],  # a prompt longer than the window
        [window, window - 1, 2, 1],  # chunks that wrap
        [1, window + 2, 1],
    ):
        _check_chunks(ring_class, visible, chunks, size, rng)
    return "Exercise 3: the ring keeps one window, and every query sees what it should."


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
    with CHECK.doing("window_edge", "visible"):
        got = visible(queries, keys, window)
    CHECK.true(
        isinstance(got, Tensor) and got.shape == seen.shape and got.dtype == torch.bool,
        "window_edge",
        "what visible returns",
        f"bool {tuple(seen.shape)}",
        _kind(got),
    )
    if torch.equal(got, seen):
        return
    mistakes = {
        "empty": (k <= q) & (k > q - window),
        "causal": (k >= 0) & (k > q - window),
        "window_edge": (k >= 0) & (k <= q) & (k >= q - window),
    }
    row = int((got != seen).any(1).nonzero()[0])
    fitting = next(
        (hint for hint, wrong in mistakes.items() if torch.equal(got, wrong)),
        "window_edge",
    )
    what = (
        f"keys that a query at position {int(queries[row])} sees with window {window}"
    )
    CHECK.fail(
        fitting, what, sorted(keys[seen[row]].tolist()), sorted(keys[got[row]].tolist())
    )


def _check_chunks(
    ring_class: type, visible, chunks: list[int], size: dict[str, int], rng
) -> None:
    window, total = size["window"], sum(chunks)
    shape = (size["batch"], total, size["kv_heads"], size["head_dim"])
    keys, values, queries = (
        torch.randn(shape, generator=rng).double() for _ in range(3)
    )
    ring, done = (
        ring_class(size["batch"], window, size["kv_heads"], size["head_dim"]),
        0,
    )
    _check_start(ring, window)
    place = ring.keys.data_ptr()
    every = torch.arange(total)
    full = attention_naive(
        queries,
        keys,
        values,
        masks.causal_mask(every[None], every[None], window).expand(len(keys), -1, -1),
    )
    for new in chunks:
        part, positions = slice(done, done + new), torch.arange(done, done + new)
        what = f"append of positions {done} to {done + new - 1} with window {window}"
        with CHECK.doing("slot" if new == 1 else "keep_last", what):
            got = ring.append(keys[:, part], values[:, part], positions)
        CHECK.true(
            ring.keys.shape[1] == window and ring.keys.data_ptr() == place,
            "constant_memory",
            f"ring.keys after the {what}",
            f"the same {window} slots",
            f"{ring.keys.shape[1]} slots",
        )
        _check_slots(ring, keys, values, done + new, what, new)
        _check_returned(got, keys, values, done, new, window, what)
        mask = visible(positions, got[2], window).expand(len(keys), -1, -1)
        out = attention_naive(queries[:, part], got[0], got[1], mask)
        CHECK.close(
            out, full[:, part], "old_and_new", f"windowed attention after the {what}"
        )
        done += new


def _check_start(ring, window: int) -> None:
    positions = getattr(ring, "positions", None)
    whole = isinstance(positions, Tensor) and not positions.is_floating_point()
    got = positions.tolist() if whole else "no tensor of whole numbers"
    CHECK.equal(got, [-1] * window, "empty", "ring.positions of a new ring")


def _check_slots(
    ring, keys: Tensor, values: Tensor, done: int, what: str, new: int
) -> None:
    """After `done` tokens slot p % W holds token p, for the last W positions."""
    window = len(ring.positions)
    expected = [-1] * window
    for position in range(max(0, done - window), done):
        expected[position % window] = position
    got = ring.positions.tolist()
    if got != expected:
        lost = new > window and sorted(got) != sorted(expected)
        CHECK.fail(
            "keep_last" if lost else "slot",
            f"ring.positions after the {what}",
            expected,
            got,
        )
    held = [slot for slot, position in enumerate(expected) if position >= 0]
    for name, tensor, truth in (
        ("keys", ring.keys, keys),
        ("values", ring.values, values),
    ):
        want = truth[:, [expected[slot] for slot in held]]
        hint = "keep_last" if new > window else "together"
        CHECK.close(
            tensor[:, held], want, hint, f"ring.{name} in slots {held} after the {what}"
        )


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
