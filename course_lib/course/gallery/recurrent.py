"""Mixers with a state (Mamba, Mamba-2, RWKV, delta rules, linear attention, RG-LRU,
short convolutions) as rows.
"""

from collections.abc import Iterator

from course_lib.costs.mixers.dispatch import mixer_params, state_elements
from course_lib.course.gallery.attention import BYTES
from course_lib.course.gallery.norms import norm_text
from course_lib.course.gallery.rows import Amount, Part, Row, plural
from course_lib.specs.records import (
    GatedDeltaNetSpec,
    KimiDeltaSpec,
    LightningSpec,
    Mixer,
    RGLRUSpec,
    RNNSpec,
    RWKVSpec,
    ShortConvSpec,
    SSMSpec,
)
from course_lib.specs.unions import of_word

KINDS = {
    "mamba1": "Mamba (selective state space)",
    "mamba2": "Mamba-2 (state-space duality)",
}
NETWORKS = {
    "gru": "GRU (gated recurrent unit)",
    "lstm": "LSTM (long short-term memory)",
}
STATE_BYTES = 4  # of an accumulator, which is kept in float32


def state_part(
    mixer: Mixer, width: int, key: str, rows: tuple[Row, ...], shape: str
) -> Part:
    """A mixer that keeps a state of one size, however long the text."""
    accumulators, inputs = state_elements(mixer, width)
    kept = accumulators * STATE_BYTES + inputs * BYTES
    amounts = (
        Amount("params", "Parameters", mixer_params(mixer, width), "parameters"),
        Amount("kept", "Keeps", kept, "bytes per sequence"),
    )
    return Part(key, "state", rows, amounts, shape, mixer)


def state_space_part(ssm: SSMSpec, width: int, key: str, elsewhere: str) -> Part:
    """A selective state space."""
    shape = f"x t×{ssm.d_inner:,}  state {ssm.d_inner:,}×{ssm.state}"
    return state_part(ssm, width, key, tuple(state_space_rows(ssm)), shape)


def state_space_rows(ssm: SSMSpec) -> Iterator[Row]:
    """The facts of Mamba or Mamba-2, the kind first."""
    yield Row("kind", "Token mixer", of_word("kind", ssm.kind, KINDS))
    yield Row("inner", "Inner width", f"inner width {ssm.d_inner:,}")
    yield Row("state", "State", f"state of {ssm.state} a channel")
    if ssm.heads is not None:
        yield Row("heads", "Heads", f"{plural(ssm.heads, 'head')} of {ssm.head_dim}")
    if ssm.groups is not None:
        yield Row("groups", "Groups", f"B and C in {plural(ssm.groups, 'group')}")
    if ssm.dt_rank is not None:
        yield Row(
            "dt_rank", "Rank of the step size", f"step size of rank {ssm.dt_rank}"
        )
    plain = "" if ssm.conv_bias else ", no bias"
    yield Row("conv", "Convolution", f"short convolution over {ssm.conv}{plain}")
    if ssm.inner_norm is not None:
        text = f"{norm_text(ssm.inner_norm)} on step size, B and C"
        yield Row("inner_norm", "Inner norms", text)
    if not ssm.out_norm:
        yield Row("out_norm", "Norm before the way out", "no norm before the way out")
    if ssm.bias:
        yield Row("bias", "Biases", "biases: input, output")


def rwkv_part(rwkv: RWKVSpec, width: int, key: str, elsewhere: str) -> Part:
    """RWKV-4's time mixing."""
    rows = (
        Row("kind", "Token mixer", "RWKV-4 time mixing"),
        Row("inner", "Inner width", f"inner width {rwkv.width:,}, a decay a channel"),
    )
    return state_part(rwkv, width, key, rows, f"r, k, v t×{rwkv.width:,}")


def delta_rule_part(
    delta: GatedDeltaNetSpec, width: int, key: str, elsewhere: str
) -> Part:
    """Gated DeltaNet, and where it may correct more than the whole error."""
    kind = "Gated DeltaNet (linear attention)"
    if delta.strongest != 1:
        kind = f"Gated DeltaNet, corrects {delta.strongest:g} × the error"
    rows = (
        Row("kind", "Token mixer", kind),
        Row(
            "heads",
            "Value heads",
            f"{plural(delta.value_heads, 'value head')} of {delta.value_dim}",
        ),
        Row(
            "key_heads",
            "Key heads",
            f"{plural(delta.key_heads, 'query/key head')} of {delta.key_dim}",
        ),
        Row(
            "state", "State", f"state {delta.key_dim} × {delta.value_dim} a value head"
        ),
        Row("conv", "Convolution", f"short convolution over {delta.conv}"),
    )
    shape = f"state {delta.value_heads}×{delta.key_dim}×{delta.value_dim}"
    return state_part(delta, width, key, rows, shape)


def kimi_delta_part(delta: KimiDeltaSpec, width: int, key: str, elsewhere: str) -> Part:
    """Kimi Delta Attention."""
    ranks = (delta.decay_rank, delta.gate_rank)
    decay, gate = ("a whole matrix" if r is None else f"rank {r}" for r in ranks)
    rows = (
        Row("kind", "Token mixer", "Kimi Delta Attention (KDA)"),
        Row("heads", "Heads", f"{plural(delta.heads, 'head')} of {delta.head_dim}"),
        Row("state", "State", f"state {delta.head_dim} × {delta.head_dim} a head"),
        Row("decay", "Decay", f"a decay a channel, by {decay}"),
        Row("gate", "Output gate", f"output gate by {gate}"),
        Row("conv", "Convolution", f"short convolution over {delta.conv}"),
    )
    shape = f"state {delta.heads}×{delta.head_dim}×{delta.head_dim}"
    return state_part(delta, width, key, rows, shape)


def lightning_part(mixer: LightningSpec, width: int, key: str, elsewhere: str) -> Part:
    """Lightning attention."""
    rows = (
        Row("kind", "Token mixer", "Lightning attention (linear)"),
        Row("heads", "Heads", f"{plural(mixer.heads, 'head')} of {mixer.head_dim}"),
        Row("state", "State", f"state {mixer.head_dim} × {mixer.head_dim} a head"),
        Row("decay", "Decay", "a fixed decay a head"),
        Row("output_gate", "Output gate", "norm, then × sigmoid(W x)"),
    )
    shape = f"state {mixer.heads}×{mixer.head_dim}×{mixer.head_dim}"
    return state_part(mixer, width, key, rows, shape)


def rg_lru_part(mixer: RGLRUSpec, width: int, key: str, elsewhere: str) -> Part:
    """Griffin's recurrent block."""
    rows = (
        Row("kind", "Token mixer", "RG-LRU (gated linear recurrence)"),
        Row("inner", "Inner width", f"inner width {mixer.width:,}"),
        Row("state", "State", "a state a channel"),
        Row("blocks", "Gates", f"gates in {plural(mixer.blocks, 'block')}"),
        Row("conv", "Convolution", f"short convolution over {mixer.conv}"),
    )
    return state_part(mixer, width, key, rows, f"state {mixer.width:,}")


def short_conv_part(mixer: ShortConvSpec, width: int, key: str, elsewhere: str) -> Part:
    """LFM2's short convolution."""
    bias = ", with biases" if mixer.bias else ""
    rows = (
        Row("kind", "Token mixer", "Gated short convolution"),
        Row("conv", "Convolution", f"convolution over {mixer.conv}{bias}"),
    )
    return state_part(mixer, width, key, rows, f"x t×{width:,}")


def rnn_part(mixer: RNNSpec, width: int, key: str, elsewhere: str) -> Part:
    """GRU or LSTM."""
    rows = (
        Row("kind", "Token mixer", of_word("kind", mixer.kind, NETWORKS)),
        Row("state", "State", f"a state of {mixer.width:,}"),
    )
    return state_part(mixer, width, key, rows, f"state {mixer.width:,}")
