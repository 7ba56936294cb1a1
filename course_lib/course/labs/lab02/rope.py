"""Lab 2, exercise 3: rotary positions, and why only the distance matters.

Symbols: t tokens, h heads, k head width (even), i = 0 .. k/2 - 1 a pair, theta the
base. Pair i turns by position * theta^(-2i/k). Pairing "rotate_half" turns (x_i, x_{i +
k/2}).
"""

import torch
from torch import Tensor

from course_lib.course.labs.checking import Checker, random_sizes
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
    "same": "Do not write into x: the caller needs it unturned.",
    "both": "Both turn: queries by their positions, keys by theirs.",
    "scale": "Divide the scores by the root of the head width.",
    "distance": "A score must depend on query position minus key position only.",
    "output": "Each token and head turns by itself: the result has the shape of x.",
}
CHECK = Checker("Exercise 3", HINTS)


def check(frequencies, rotate, scores, seed: int = 0) -> str:
    """Check exercise 3: `frequencies(width, theta) -> [k/2]`, `rotate(x, positions,
    theta) -> [t h k]` and `scores(q, k, query_positions, key_positions, theta) -> [h t
    s]`.

    Raises: CheckFailed with the hint that fits; NotImplementedError while a part is
        missing.
    """
    rng, size = random_sizes(
        seed, t=(3, 5), s=(6, 8), h=(2, 3), half=(3, 5), start=(5, 90)
    )
    width, theta = 2 * size["half"], 10.0 ** (2 + seed % 3)
    _check_frequencies(frequencies, width, theta)
    x = torch.randn(size["s"], size["h"], width, generator=rng).double()
    first = size["start"]
    for positions in (torch.arange(size["s"]), torch.arange(first, first + size["s"])):
        _check_rotate(rotate, x, positions, theta)
    q = torch.randn(size["t"], size["h"], width, generator=rng).double()
    _check_scores(scores, q, x, first, theta)
    return "Exercise 3: a score knows how far apart two tokens are, and nothing else."


def _check_frequencies(frequencies, width: int, theta: float) -> None:
    with CHECK.doing("frequencies", "frequencies"):
        got = frequencies(width, theta)
    pairs = torch.arange(width // 2, dtype=torch.float64)
    expected = theta ** (-2 * pairs / width)
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


def _check_rotate(rotate, x: Tensor, positions: Tensor, theta: float) -> None:
    what = f"rotate at positions {positions[0]}..{positions[-1]}"
    given = x.clone()
    with CHECK.doing("axes", what):
        got = rotate(given, positions, theta)
    CHECK.true(torch.equal(given, x), "same", f"x after {what}", "unchanged", "changed")
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
    CHECK.close(
        got, expected, "angle" if kept else "size", what, mistakes, shape="output"
    )


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
        with CHECK.doing("shape", what):
            got = scores(q.clone(), k.clone(), queries, keys, theta)
        expected = _scores(q, k, queries, keys, theta)
        reset = _scores(q, k, torch.arange(len(q)), torch.arange(len(k)), theta)
        mistakes = {
            "positions": reset,
            "both": _scores(q, k, queries, torch.zeros_like(keys), theta),
            "scale": expected * k.shape[-1] ** 0.5,
        }
        unturned = _scores(q, k, queries * 0, keys, theta)
        if (
            isinstance(got, Tensor)
            and got.shape == unturned.shape
            and torch.allclose(got, unturned)
        ):
            mistakes["both"] = unturned
        CHECK.close(got, expected, "distance", what, mistakes, shape="shape")


def _scores(
    q: Tensor, k: Tensor, query_positions: Tensor, key_positions: Tensor, theta: float
) -> Tensor:
    turned_q, turned_k = (
        _turned(q, query_positions, theta),
        _turned(k, key_positions, theta),
    )
    return torch.einsum("thk,shk->hts", turned_q, turned_k) / q.shape[-1] ** 0.5
