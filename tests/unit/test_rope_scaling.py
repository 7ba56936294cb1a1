"""RoPE scaling: what is refused, what a config leaves to be found, and where the length seen comes from."""

import pytest
import torch

from course_lib.layers.positions.rope import Rope, apply_rope, apply_rope_naive
from course_lib.layers.positions.rope_options import RULES
from course_lib.layers.positions.rope_scaling import SCALINGS
from course_lib.models.attention_factory import build_rope
from course_lib.specs.from_hf import spec_from_hf_config

TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}
OLD = {"original_max_position_embeddings": 8}
LISTS = {"short_factor": (1.0, 1.5, 2.0), "long_factor": (1.0, 3.0, 7.0)}
SCALED = {
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0, **OLD},
    "yarn": {"factor": 4.0, **OLD},
    "llama3": {"factor": 4.0, "low_freq_factor": 0.5, "high_freq_factor": 2.0, **OLD},
    "longrope": {"factor": 4.0, **LISTS, **OLD},
    "proportional": {"partial_rotary_factor": 0.5},
}
LLAMA = {
    "model_type": "llama",
    "hidden_size": 24,
    "num_attention_heads": 4,
    "num_hidden_layers": 1,
    "intermediate_size": 5,
    "vocab_size": 7,
    "max_position_embeddings": 64,
}


def rope_of(kind, **changes):
    options = {name: value for name, value in (SCALED[kind] | changes).items() if value is not None}
    return Rope(dim=6, theta=50.0, scaling={"rope_type": kind, **options})


def spec_rope(**fields):
    return spec_from_hf_config(LLAMA | fields).layers[0].mixer.rope


def test_every_type_is_here():
    assert SCALED.keys() == SCALINGS.keys()


@pytest.mark.parametrize(
    ("kind", "wrong", "words"),
    [
        ("linear", {"factor": 0.5}, r"factor=0.5: allowed are numbers from 1"),
        ("linear", {"factor": True}, r"factor=True: allowed are numbers from 1"),
        ("linear", {"factor": float("nan")}, r"factor=nan: allowed"),
        ("linear", {"factor": None}, r"factor is missing: rope_type='linear' needs it"),
        ("linear", {"truncate": True}, r"truncate=True: allowed with rope_type='linear' are factor$"),
        (
            "dynamic",
            {"original_max_position_embeddings": None},
            r"original_max_position_embeddings is missing",
        ),
        ("dynamic", {"length": 9}, r"length=9: allowed with rope_type='dynamic' are"),
        ("yarn", {"original_max_position_embeddings": 1}, r"embeddings=1: allowed are whole numbers from 2"),
        ("yarn", {"original_max_position_embeddings": 8.0}, r"embeddings=8.0: allowed are whole"),
        ("yarn", {"attention_factor": 0.0}, r"attention_factor=0.0: allowed are positive"),
        ("yarn", {"beta_fast": 0.5}, r"beta_fast=0.5: allowed are numbers from beta_slow=1.0"),
        ("yarn", {"beta_slow": -1.0}, r"beta_slow=-1.0: allowed are positive"),
        ("yarn", {"mscale": -0.1}, r"mscale=-0.1: allowed are numbers from 0"),
        ("yarn", {"mscale_all_dim": "1"}, r"mscale_all_dim='1': allowed are numbers from 0"),
        ("yarn", {"truncate": 1}, r"truncate=1: allowed are True and False"),
        (
            "llama3",
            {"low_freq_factor": 2.0},
            r"high_freq_factor=2.0: allowed are numbers above low_freq_factor=2.0",
        ),
        ("llama3", {"high_freq_factor": None}, r"high_freq_factor is missing"),
        (
            "longrope",
            {"long_factor": (1.0, 2.0)},
            r"long_factor has 2 numbers: allowed is one a pair, 3 of dim=6",
        ),
        (
            "longrope",
            {"short_factor": (1.0, 0.0, 2.0)},
            r"short_factor=\(1.0, 0.0, 2.0\): allowed are tuples of pos",
        ),
        ("longrope", {"short_factor": 2.0}, r"short_factor=2.0: allowed are tuples"),
        (
            "proportional",
            {"partial_rotary_factor": 1.5},
            r"partial_rotary_factor=1.5: allowed are numbers above 0",
        ),
    ],
)
def test_a_wrong_option_is_refused(kind, wrong, words):
    with pytest.raises(ValueError, match=words):
        rope_of(kind, **wrong)


def test_every_option_has_its_rule():
    named = {name for kind in SCALED for name in SCALED[kind]}
    yarn_alone = {"attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"}
    assert named | yarn_alone == RULES.keys()


def test_sizes_that_a_type_cannot_take_are_refused():
    with pytest.raises(ValueError, match="dim=2: allowed for dynamic scaling are numbers from 4"):
        Rope(dim=2, scaling={"rope_type": "dynamic", **SCALED["dynamic"]})
    with pytest.raises(ValueError, match=r"theta=1\.0: allowed for yarn are numbers above 1"):
        Rope(dim=6, theta=1.0, scaling={"rope_type": "yarn", **SCALED["yarn"]})


def test_an_unknown_type_is_refused_with_those_supported():
    words = "'su': supported are default, linear, dynamic, yarn, llama3, longrope, proportional"
    with pytest.raises(ValueError, match=words):
        Rope(dim=6, scaling={"rope_type": "su", "factor": 2.0})


def test_default_is_no_scaling():
    assert Rope(dim=6, scaling={"rope_type": "default"}) == Rope(dim=6)


@pytest.mark.parametrize("kind", SCALED)
def test_a_scaled_rope_can_be_hashed_and_compared(kind):
    assert hash(rope_of(kind)) == hash(rope_of(kind))
    assert rope_of(kind) == rope_of(kind) != Rope(dim=6, theta=50.0)


@pytest.mark.parametrize("kind", SCALED)
@pytest.mark.parametrize("last", [7, 8, 30])
def test_all_pairs_at_once_equal_one_pair_at_a_time(kind, last):
    rope, x = rope_of(kind), torch.randn(2, 3, 2, 9).double()
    positions = torch.tensor([[0, 3, last], [-1, 0, 5]])
    turned = apply_rope(x, *rope.tables(positions, x.dtype), rope.pairing)
    torch.testing.assert_close(turned, apply_rope_naive(x, positions, rope), **TOLERANCE)


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_the_length_seen_is_the_longest_row_s(kind):
    rope = rope_of(kind)
    alone = rope.tables(torch.tensor([[6, 7]]), torch.float64)
    plain = Rope(dim=6, theta=50.0) if kind == "dynamic" else rope_of(kind, long_factor=LISTS["short_factor"])
    torch.testing.assert_close(alone, plain.tables(torch.tensor([[6, 7]]), torch.float64), **TOLERANCE)
    beside = rope.tables(torch.tensor([[6, 7], [7, 8]]), torch.float64)
    assert (beside[0][0] - alone[0][0]).abs().max() > 1e-3


def test_tables_stay_in_the_dtype_asked_for():
    for kind in SCALED:
        for dtype in (torch.bfloat16, torch.float32, torch.float64):
            assert {table.dtype for table in rope_of(kind).tables(torch.tensor([[9]]), dtype)} == {dtype}


@pytest.mark.parametrize("kind", SCALED)
def test_scaling_in_float32_is_that_in_float64_rounded(kind):
    for length in (None, 8, 31):
        narrow = rope_of(kind).frequencies(torch.float32, length=length)
        wide = rope_of(kind).frequencies(torch.float64, length=length)
        torch.testing.assert_close(narrow.double(), wide, rtol=1e-6, atol=0)


def test_the_length_trained_on_is_found():
    """Beside the table (Phi-3) it counts before the table's; without either it is the config's length."""
    table = {"rope_type": "longrope", "short_factor": [1.0] * 3, "long_factor": [2.0] * 3}
    beside = spec_rope(rope_scaling=table | OLD, original_max_position_embeddings=16)
    assert beside.scaling["original_max_position_embeddings"] == 16
    assert spec_rope(rope_scaling=table | OLD).scaling["original_max_position_embeddings"] == 8
    assert spec_rope(rope_scaling=table).scaling["original_max_position_embeddings"] == 64
    dynamic = {"rope_type": "dynamic", "factor": 2.0}
    assert spec_rope(rope_scaling=dynamic).scaling["original_max_position_embeddings"] == 64
    assert spec_rope(rope_scaling=dynamic | OLD).scaling["original_max_position_embeddings"] == 64


@pytest.mark.parametrize("kind", ["yarn", "longrope"])
def test_a_factor_that_is_not_given_is_the_ratio_of_the_lengths(kind):
    lists = {name: list(numbers) for name, numbers in LISTS.items()} if kind == "longrope" else {}
    rope = spec_rope(rope_scaling={"type": kind, "factor": None, **lists, **OLD})
    assert rope.scaling["factor"] == 8.0
    assert build_rope(rope).scaling == rope.scaling


def test_proportional_turns_a_share_of_the_pairs_of_the_whole_head():
    table = {"rope_type": "proportional", "partial_rotary_factor": 0.5, "rope_theta": 100.0}
    rope = spec_rope(rope_parameters=table)  # heads are 6 wide: 3 pairs, half of them is 1
    assert (rope.dim, dict(rope.scaling)) == (6, {"rope_type": "proportional", "partial_rotary_factor": 0.5})
    assert build_rope(rope).frequencies().tolist() == [1.0, 0.0, 0.0]
    other = spec_rope(
        rope_parameters=table | {"rope_type": "linear", "factor": 2.0, "partial_rotary_factor": 0.7}
    )
    assert (other.dim, dict(other.scaling)) == (4, {"rope_type": "linear", "factor": 2.0})


def test_plain_rope_reads_no_options():
    assert spec_rope(rope_scaling={"rope_type": "default", "mrope_section": [1, 1, 1]}).scaling is None


def test_gpt_oss_keeps_its_option_truncate():
    table = {"rope_type": "yarn", "truncate": False, "beta_fast": 32.0, "factor": 4.0, **OLD}
    assert spec_rope(rope_scaling=table).scaling["truncate"] is False


def test_whole_numbers_serve_as_options():
    for kind in ("yarn", "longrope"):
        rope = rope_of(kind, factor=4, attention_factor=2)
        assert rope.speeds(torch.float64)[1] == 2.0
        torch.testing.assert_close(rope.frequencies(), rope_of(kind).frequencies())
