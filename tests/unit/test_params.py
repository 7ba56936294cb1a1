"""Parameter counts against what the authors state, part by part, and on symbols."""

from dataclasses import replace
from decimal import Decimal

import pytest
import sympy

from course_lib.costs.feed_forward.dispatch import ffn_params
from course_lib.costs.mixers.dispatch import mixer_params, mixer_vectors
from course_lib.costs.norms import norm_params
from course_lib.costs.params import layer_params, param_count
from course_lib.specs import list_specs, load_spec
from course_lib.specs.records import AttentionSpec, FFNSpec, LatentAttentionSpec, NormSpec, RopeSpec, SSMSpec

BILLION = 10**9


def last_digit(stated):
    """Half a unit of the last digit which a rounded figure states: 0.5e9 for 7e9, 0.05e9 for 46.7e9."""
    return Decimal(5) * Decimal(10) ** (Decimal(str(int(stated))).normalize().as_tuple().exponent - 1)


def agrees(counted, stated):
    """Equal as rounded, or within 2%: names such as 405B round down, and 70B stands for 69.0."""
    return abs(counted - stated) <= max(last_digit(stated), 0.02 * stated)


@pytest.mark.parametrize("name", [name for name in list_specs() if load_spec(name).published.total])
def test_totals_agree_with_the_authors(name):
    assert agrees(param_count(load_spec(name)).total, load_spec(name).published.total)


@pytest.mark.parametrize("name", [name for name in list_specs() if load_spec(name).published.active])
def test_active_counts_agree_with_the_authors(name):
    count, published = param_count(load_spec(name)), load_spec(name).published
    left_out = sum(count.by_part[part] for part in published.active_leaves_out)
    assert agrees(count.active - left_out, published.active)


def test_mixtral_holds_46_70_and_uses_12_88_billion():
    count = param_count(load_spec("mixtral-8x7b"))
    assert (count.total, count.active) == (46_702_792_704, 12_879_925_248)


def test_palm_agrees_with_its_paper_to_four_digits():
    # 540.35 billion in Table 1. Not in transformers, so nothing else checks this family.
    assert round(param_count(load_spec("palm-540b")).total / BILLION, 1) == 540.4


def test_gpt3_is_174_6_billion():
    # 12 l d^2 = 173.9, and the word and position tables; the paper rounds to 175.0.
    assert round(param_count(load_spec("gpt3-175b")).total / BILLION, 1) == 174.6


def test_gpt_oss_parts_agree_with_its_model_card():
    parts = param_count(load_spec("gpt-oss-120b")).by_part
    assert round((parts["embedding"] + parts["head"]) / BILLION, 2) == 1.16
    assert round(parts["attention"] / BILLION, 2) == 0.96


@pytest.mark.parametrize("name", list_specs())
def test_parts_sum_to_the_total_and_none_is_empty(name):
    count = param_count(load_spec(name))
    assert sum(count.by_part.values()) == count.total
    assert all(part > 0 for part in count.by_part.values())
    assert 0 < count.active <= count.total


@pytest.mark.parametrize(
    "name", [name for name in list_specs() if "experts" not in param_count(load_spec(name)).by_part]
)
def test_a_dense_model_uses_all_it_has(name):
    count = param_count(load_spec(name))
    assert count.active == count.total


def test_a_tied_head_is_counted_once():
    tied, untied = (param_count(load_spec(name)).by_part for name in ("qwen2.5-3b", "qwen2.5-7b"))
    assert "head" not in tied
    assert untied["head"] == untied["embedding"]


def test_one_layer_of_llama_3_8b_by_hand():
    parts = layer_params(load_spec("llama-3-8b").layers[0], 4096)
    assert parts["attention"] == 4096 * (32 * 128 + 8 * 128 + 8 * 128) + 32 * 128 * 4096
    assert parts["ffn"] == 3 * 4096 * 14_336
    assert parts["norm"] == 2 * 4096


def test_jamba_norms_the_step_and_b_and_c_beside_what_mamba_has():
    mamba = SSMSpec(kind="mamba1", d_inner=40, state=3, conv=4, dt_rank=2)
    assert mixer_vectors(mamba, 20) == 40 * 3 + 40 + 40 + 40  # A, D, the biases of step and convolution
    norm = NormSpec(kind="rmsnorm", eps=1e-6)
    plain = replace(norm, gain=False)  # Falcon Mamba
    assert mixer_vectors(replace(mamba, inner_norm=norm), 20) == mixer_vectors(mamba, 20) + 2 + 3 + 3
    assert mixer_vectors(replace(mamba, inner_norm=plain), 20) == mixer_vectors(mamba, 20)
    jamba = load_spec("jamba-v0.1").layers[0].mixer
    norms = mixer_vectors(jamba, 4096) - mixer_vectors(replace(jamba, inner_norm=None), 4096)
    assert norms == 256 + 2 * 16


def test_one_layer_of_gated_delta_net_by_hand():
    """Qwen3.5-35B-A3B: 16 heads of queries and keys, 32 of values, all 128 wide, on a width of 2048."""
    parts = layer_params(load_spec("qwen3.5-35b-a3b").layers[0], 2048)
    projected = 2 * 16 * 128 + 2 * 32 * 128 + 2 * 32  # queries, keys; values, output gate; decay and strength
    channels = 2 * 16 * 128 + 32 * 128
    assert parts["state"] == 2048 * projected + 4 * channels + 32 * 128 * 2048 + 2 * 32 + 128
    assert parts["experts"] == 256 * 3 * 2048 * 512
    assert parts["shared_experts"] == 3 * 2048 * 512 + 2048


def test_formulas_run_on_symbols():
    d, h, g, k, f = sympy.symbols("d h g k f", positive=True, integer=True)
    attention = AttentionSpec(heads=h, kv_heads=g, head_dim=k, value_dim=k)
    assert sympy.simplify(mixer_params(attention, d) - 2 * d * k * (h + g)) == 0
    glu = FFNSpec(kind="glu", activation="silu", width=f)
    assert sympy.simplify(ffn_params(glu, d)["ffn"] - 3 * d * f) == 0
    assert norm_params(NormSpec(kind="layernorm", eps=1e-5, bias=True), d) == 2 * d


def test_latent_attention_runs_on_symbols():
    d, h, q, r, n, p, v = sympy.symbols("d h q r n p v", positive=True, integer=True)
    rope, norm = RopeSpec(theta=1e4, dim=p), NormSpec(kind="rmsnorm", eps=1e-6)
    latent = LatentAttentionSpec(
        heads=h, q_rank=q, kv_rank=r, nope_dim=n, rope_dim=p, value_dim=v, rope=rope, norm=norm
    )
    by_hand = d * q + q + q * h * (n + p) + d * (r + p) + r + r * h * (n + v) + h * v * d
    assert sympy.expand(mixer_params(latent, d) - by_hand) == 0
