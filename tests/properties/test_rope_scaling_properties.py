"""RoPE scaling: what no factor leaves alone, what each type keeps, and what a score depends on."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.layers.positions.rope import Rope, apply_rope

EXACT = {"rtol": 1e-12, "atol": 1e-15}
EXAMPLES = settings(max_examples=40)

dims = st.sampled_from([4, 6, 10, 64, 128])
thetas = st.sampled_from([50.0, 1e4, 5e5])
factors = st.floats(1.0, 64.0)
originals = st.integers(16, 10_000)
lengths = st.integers(1, 100_000)
ALL = ("linear", "dynamic", "yarn", "llama3", "longrope", "proportional")
RAMPS = ("yarn", "llama3")


def rope_of(kind: str, dim: int, theta: float, factor: float, original: int) -> Rope:
    old = {"factor": factor, "original_max_position_embeddings": original}
    options = {
        "linear": {"factor": factor},
        "dynamic": old,
        "yarn": old,
        "llama3": {"low_freq_factor": 1.0, "high_freq_factor": 4.0, **old},
        "longrope": {
            "short_factor": tuple(factor ** (i / dim) for i in range(dim // 2)),
            "long_factor": tuple(factor ** (2 * i / dim) for i in range(dim // 2)),
            **old,
        },
        "proportional": {"factor": factor, "partial_rotary_factor": 1.0},
    }
    return Rope(dim=dim, theta=theta, scaling={"rope_type": kind, **options[kind]})


def plain_of(dim: int, theta: float) -> torch.Tensor:
    return Rope(dim=dim, theta=theta).frequencies(torch.float64)


@EXAMPLES
@given(kind=st.sampled_from(ALL), dim=dims, theta=thetas, original=originals, length=lengths)
def test_a_factor_of_one_changes_nothing(kind, dim, theta, original, length):
    """Past the length trained on, dynamic scaling grows its base all the same: by n / L, not by one."""
    length = min(length, original) if kind == "dynamic" else length
    speeds, attention_factor = rope_of(kind, dim, theta, 1.0, original).speeds(torch.float64, length=length)
    torch.testing.assert_close(speeds, plain_of(dim, theta), **EXACT)
    assert attention_factor == 1.0


@EXAMPLES
@given(kind=st.sampled_from(ALL), dim=dims, theta=thetas, factor=factors, original=originals, length=lengths)
def test_no_pair_turns_faster_and_the_order_stays(kind, dim, theta, factor, original, length):
    speeds, _ = rope_of(kind, dim, theta, factor, original).speeds(torch.float64, length=length)
    assert (speeds <= plain_of(dim, theta) * (1 + 1e-12)).all()
    assert (speeds.diff() < 0).all()


@EXAMPLES
@given(kind=st.sampled_from(RAMPS), dim=dims, theta=thetas, factor=factors, original=originals)
def test_a_ramp_keeps_pairs_that_turn_often_and_slows_those_that_turn_less_than_once(
    kind, dim, theta, factor, original
):
    plain = plain_of(dim, theta)
    speeds, _ = rope_of(kind, dim, theta, factor, original).speeds(torch.float64)
    turns = original * plain / (2 * math.pi)
    often, seldom = turns > (32 if kind == "yarn" else 4) + 1e-6, turns < 1 - 1e-6
    assert torch.equal(speeds[often], plain[often])
    torch.testing.assert_close(speeds[seldom], plain[seldom] / factor, **EXACT)
    assert (speeds >= plain / factor * (1 - 1e-12)).all()


@EXAMPLES
@given(dim=dims, theta=thetas, factor=factors, original=originals, length=lengths)
def test_dynamic_slows_the_last_pair_by_its_stretch_and_the_first_not_at_all(
    dim, theta, factor, original, length
):
    speeds = rope_of("dynamic", dim, theta, factor, original).frequencies(torch.float64, length=length)
    plain = plain_of(dim, theta)
    stretch = factor * max(length, original) / original - (factor - 1)
    assert speeds[0] == 1.0
    torch.testing.assert_close(
        plain[-1] / speeds[-1], torch.tensor(stretch, dtype=torch.float64), rtol=1e-9, atol=0
    )


@EXAMPLES
@given(dim=dims, factor=factors, original=originals)
def test_longrope_changes_its_list_at_the_length_trained_on(dim, factor, original):
    rope, plain = rope_of("longrope", dim, 1e4, factor, original), plain_of(dim, 1e4)
    powers = torch.arange(dim // 2).double() / dim
    for length, power in ((1, 1), (original, 1), (original + 1, 2), (10 * original, 2)):
        speeds = rope.frequencies(torch.float64, length=length)
        torch.testing.assert_close(speeds, plain / factor ** (power * powers), **EXACT)


@EXAMPLES
@given(share=st.floats(0.01, 1.0), dim=dims)
def test_proportional_turns_the_fastest_share(share, dim):
    rope = Rope(dim=dim, scaling={"rope_type": "proportional", "partial_rotary_factor": share})
    speeds, turning = rope.frequencies(torch.float64), math.floor(share * (dim // 2))
    assert torch.equal(speeds[:turning], plain_of(dim, 1e4)[:turning])
    assert (speeds[turning:] == 0).all()


@EXAMPLES
@given(
    kind=st.sampled_from(ALL),
    factor=st.floats(1.0, 8.0),
    pairing=st.sampled_from(["rotate_half", "interleaved"]),
    places=st.tuples(st.integers(0, 50), st.integers(0, 50)),
    shift=st.integers(0, 20),
    seed=st.integers(0, 10**6),
)
def test_in_one_call_a_score_depends_on_the_distance_and_grows_by_the_square_of_m(
    kind, factor, pairing, places, shift, seed
):
    """The 100 in each row holds the length seen fixed, whatever the shift."""
    torch.manual_seed(seed)
    scaled = rope_of(kind, 6, 50.0, factor, 16)
    rope = Rope(dim=6, theta=50.0, pairing=pairing, scaling=scaled.scaling)
    q, k = torch.randn(2, 6).double()
    scores = []
    for places_now in (places, [place + shift for place in places], [places[0], places[0]]):
        x = torch.stack([q, k, k])[None, :, None]
        turned = apply_rope(x, *rope.tables(torch.tensor([[*places_now, 100]]), x.dtype), pairing)[0, :, 0]
        scores.append(turned[0] @ turned[1])
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-10, atol=1e-10)
    m = rope.speeds(torch.float64, length=101)[1]
    torch.testing.assert_close(scores[2], m**2 * (q @ k), rtol=1e-10, atol=1e-10)
