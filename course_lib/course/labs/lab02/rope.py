"""Lab 2, exercise 3: rotary positions, and why only the distance matters.

Symbols: t tokens, h heads, k head width (even), i = 0 .. k/2 - 1 a pair, theta the
base. Pair i turns by position * theta^(-2i/k). Pairing "rotate_half" turns (x_i, x_{i +
k/2}).
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
from course_lib.course.labs.lending import helped, strided
from course_lib.layers.positions.rope import Rope, apply_rope, apply_rope_naive

HINTS = {
    "frequencies": "Pair i turns by theta ** (-2 * i / k) "
    "radians a token, with i from 0.",
    "float64": "Work in float64: torch.tensor makes float32 of Python floats unless "
    "it is told the dtype.",
    "one_a_pair": "There are k / 2 frequencies, one a pair.",
    "pairing": "Coordinate i turns together with i + k/2: the first half of the head "
    "with the second.",
    "sign": "first * cos - second * sin, and second * cos + "
    "first * sin: a turn to the left.",
    "size": "A turn keeps every pair's length: cos and sin of one angle, once each.",
    "positions": "Turn by the positions that are given: a decode step's token does "
    "not stand at 0.",
    "angle": "The turn of token t is positions[t] * omega_i, in "
    "radians, the same for all heads.",
    "order": "The turned halves go back where they were: first half, then second half.",
    "axes": "Angles are [t k/2]: give them an axis for the heads, [t 1 k/2].",
    "shape": "Scores are [h t s]: for each head a row a query, a column a key.",
    "far": "Any position may come, 100,000 too: compute the angle, do not look it up "
    "in a table of fixed length.",
    "both": "Both turn: queries by their positions, keys by theirs.",
    "scale": "Divide the scores by the root of the head width.",
    "distance": "A score depends on query position minus key position only: turn "
    "queries and keys, multiply, divide by the root of the head width.",
    "output": "Each token and head turns by itself: the result has the shape of x.",
}
CHECK = Checker("Exercise 3", HINTS)


def check_frequencies(frequencies, seed: int = 0) -> str:
    """Check `frequencies(width, theta) -> [k/2]`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while it is
        missing. So do the two other checks.
    """
    _, _, width, theta = _sizes(seed)
    for wide, base in ((width, theta), (2, 10.0), (128, 500_000.0)):
        _check_frequencies(frequencies, wide, base)
    return "Exercise 3: the first pair turns fastest."


def check_rotate(rotate, seed: int = 0) -> str:
    """Check `rotate(x, positions, theta) -> [t h k]`, with the library's frequencies
    beside it, or else the student's.
    """

    def trial() -> None:
        rng, size, width, theta = _sizes(seed)
        n, first = size["s"], size["start"]
        x = torch.randn(n, size["h"], width, generator=rng).double()
        places = torch.randperm(500, generator=rng)[:n]
        for at in (torch.arange(n), torch.arange(first, first + n), places):
            _check_rotate(rotate, x, at, theta)
        _check_rotate(rotate, strided(x), places, theta)
        _check_rotate(rotate, x[:1, :1], torch.tensor([first]), theta)
        far = torch.arange(n) + (2045, 131_000, 5_000)[seed % 3]
        _check_rotate(rotate, x, far, theta, "far")

    helped(trial, rotate, frequencies=_frequencies)
    return "Exercise 3: each pair turns by its position."


def check_scores(scores, seed: int = 0) -> str:
    """Check `scores(q, k, query_positions, key_positions, theta) -> [h t s]`, with the
    library's turns beside it, or else the student's.
    """

    def trial() -> None:
        rng, size, width, theta = _sizes(seed)
        k = torch.randn(size["s"], size["h"], width, generator=rng).double()
        q = torch.randn(size["t"], size["h"], width, generator=rng).double()
        _check_scores(scores, q, k, size["start"], theta)
        _check_scores(scores, strided(q[:1]), strided(k), size["start"], theta)
        _check_apart(scores, k, q, theta)

    helped(trial, scores, rotate=_turned, frequencies=_frequencies)
    return "Exercise 3: a score knows how far apart two tokens are, and nothing else."


def _sizes(seed: int) -> tuple[torch.Generator, dict[str, int], int, float]:
    rng, size = random_sizes(
        seed, t=(3, 5), s=(6, 8), h=(2, 3), half=(3, 5), start=(5, 90)
    )
    return rng, size, 2 * size["half"], 10.0 ** (2 + seed % 3)


def _frequencies(width: int, theta: float) -> Tensor:
    return theta ** (-2 * torch.arange(width // 2, dtype=torch.float64) / width)


def _check_frequencies(frequencies, width: int, theta: float) -> None:
    got = CHECK.call(frequencies, width, theta, what="frequencies")
    expected = _frequencies(width, theta)
    CHECK.true(
        isinstance(got, Tensor) and got.shape == expected.shape,
        "one_a_pair",
        f"frequencies of a head of width {width}",
        f"shape {tuple(expected.shape)}",
        tuple(getattr(got, "shape", ())) or type(got).__name__,
    )
    mistakes = (
        {"float64": got} if torch.allclose(got.double(), expected, rtol=1e-5) else {}
    )
    CHECK.close(
        got, expected, "frequencies", f"frequencies({width}, {theta:g})", mistakes
    )


def _turned(
    x: Tensor, positions: Tensor, theta: float, pairing: str = "rotate_half"
) -> Tensor:
    rope = Rope(dim=x.shape[-1], theta=theta, pairing=pairing)
    return apply_rope_naive(x[None], positions[None], rope)[0]


def _check_rotate(
    rotate, x: Tensor, positions: Tensor, theta: float, usual: str = ""
) -> None:
    what = f"rotate at positions {positions.tolist()}"
    crash = usual or "axes"
    got = CHECK.call(rotate, x, positions, theta, what=what, crash=crash, fresh=True)
    rope = Rope(dim=x.shape[-1], theta=theta)
    cos, sin = rope.tables(positions[None], torch.float64)
    expected = apply_rope(x[None], cos, sin)[0]
    mistakes = {
        "pairing": _turned(x, positions, theta, "interleaved"),
        "order": _turned(x, positions, theta, "interleaved")
        .unflatten(-1, (-1, 2))
        .mT.flatten(-2),
        "sign": _turned(x, -positions, theta),
        "positions": _turned(x, torch.arange(len(x)), theta),
    }
    if torch.equal(positions, torch.arange(len(x))):
        del mistakes["positions"]
    lengths = (
        got.norm(dim=-1) if isinstance(got, Tensor) and got.shape == x.shape else None
    )
    kept = lengths is not None and torch.allclose(lengths, x.norm(dim=-1))
    default = usual or ("angle" if kept else "size")
    CHECK.close(got, expected, default, what, mistakes, shape="output")


def _check_scores(scores, q: Tensor, k: Tensor, first: int, theta: float) -> None:
    """The last queries of a text that began at position 0, and the same text moved
    along by `first`.
    """
    for start in (0, first):
        keys = torch.arange(start, start + len(k))
        queries = keys[-len(q) :]
        what = (
            f"scores of queries {queries[0]}..{queries[-1]} over keys "
            f"{keys[0]}..{keys[-1]}"
        )
        got = CHECK.call(scores, q, k, queries, keys, theta, what=what)
        expected = _scores(q, k, queries, keys, theta)
        reset = _scores(q, k, torch.arange(len(q)), torch.arange(len(k)), theta)
        mistakes = {
            "positions": reset,
            "both": _scores(q, k, queries, torch.zeros_like(keys), theta),
            "scale": expected * k.shape[-1] ** 0.5,
        }
        if start == 0 and len(q) == len(k):
            del mistakes["positions"]
        unturned = _scores(q, k, queries * 0, keys, theta)
        if (
            isinstance(got, Tensor)
            and got.shape == unturned.shape
            and torch.allclose(got, unturned)
        ):
            mistakes["both"] = unturned
        CHECK.close(got, expected, "distance", what, mistakes, shape="shape")


def _check_apart(scores, q: Tensor, k: Tensor, theta: float) -> None:
    """More queries than keys, at places that are not each other's."""
    queries, keys = 3 + 2 * torch.arange(len(q)), 1 + 5 * torch.arange(len(k))
    what = f"scores of queries at {queries.tolist()} over keys at {keys.tolist()}"
    got = CHECK.call(scores, q, k, queries, keys, theta, what=what)
    expected = _scores(q, k, queries, keys, theta)
    mistakes = {
        "both": _scores(q, k, queries, queries[: len(k)], theta),
        "scale": expected * k.shape[-1] ** 0.5,
    }
    CHECK.close(got, expected, "distance", what, mistakes, shape="shape")


def _scores(
    q: Tensor, k: Tensor, query_positions: Tensor, key_positions: Tensor, theta: float
) -> Tensor:
    turned_q, turned_k = (
        _turned(q, query_positions, theta),
        _turned(k, key_positions, theta),
    )
    return torch.einsum("thk,shk->hts", turned_q, turned_k) / q.shape[-1] ** 0.5
