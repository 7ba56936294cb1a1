"""Mixers with a fixed state: selective state spaces (Mamba, Mamba-2), RWKV, gated
DeltaNet, Kimi Delta Attention, lightning attention, RG-LRU, short convolutions, GRU and
LSTM, as records.

Symbols: n state, h heads, k key width, v value width. Widths in elements.

Terms:
    Mamba, selective state space, SSM, S6: a recurrent state whose step size, input and
        output depend on the token -> SSMSpec
    Mamba-2, SSD: a state space with one decay a head, whose step is a matrix product
        over chunks -> SSMSpec
    RWKV: a recurrent layer with a decay for each channel, in place of attention ->
        RWKVSpec
    gated DeltaNet, gated delta rule: a matrix from keys to values that decays, and is
        corrected where it errs for a new key -> GatedDeltaNetSpec
    KDA, Kimi Delta Attention: a delta rule that forgets by a gate for each channel ->
        KimiDeltaSpec
    lightning attention, linear attention with decay: a matrix from keys to values that
        decays at a fixed rate a head -> LightningSpec
    RG-LRU, real-gated linear recurrent unit: a diagonal recurrence with gates on input
        and decay -> RGLRUSpec
    short convolution, gated short convolution: a convolution over a few tokens between
        two gates, in place of attention -> ShortConvSpec
    gated recurrent network: GRU or LSTM in the place of attention -> RNNSpec
"""

from dataclasses import dataclass
from typing import Literal

from course_lib.specs.frozen import Sized
from course_lib.specs.records.norm import NormSpec


@dataclass(frozen=True, kw_only=True)
class SSMSpec(Sized):
    """A selective state space: Mamba ("mamba1", uses `dt_rank`) or Mamba-2 ("mamba2",
    uses heads and groups).

    `d_inner` is the expanded width; its state holds d_inner * state elements and the
    convolution's last inputs. `inner_norm`: on dt, B and C, with gains in Jamba and
    without in Falcon Mamba. `out_norm`: Mamba-2's gated norm before the way out, which
    Falcon-H1 leaves out; it has the eps of the layer's norm.
    """

    kind: Literal["mamba1", "mamba2"]
    d_inner: int
    state: int
    conv: int
    dt_rank: int | None = None
    heads: int | None = None
    head_dim: int | None = None
    groups: int | None = None
    bias: bool = False
    conv_bias: bool = True
    inner_norm: NormSpec | None = None
    out_norm: bool = True


@dataclass(frozen=True, kw_only=True)
class RWKVSpec(Sized):
    """RWKV-4 time mixing at the given inner width: a per-channel decay, with no
    heads.
    """

    width: int


@dataclass(frozen=True, kw_only=True)
class GatedDeltaNetSpec(Sized):
    """Gated DeltaNet: linear attention whose state forgets by a gate and is corrected
    by the delta rule.

    Each of `value_heads` keeps a state of key_dim * value_dim elements; it shares its
    queries and keys with value_heads / key_heads others. A short convolution of width
    `conv` runs over queries, keys and values before that, a normed and gated output
    after it. `strongest`: the largest beta; with 2, what a key recalls may change its
    sign (eigenvalues down to -1, OLMo Hybrid). `norm_eps`: of the norm on the output,
    where it is not that of the layer's norm.

    Source: Yang et al. 2024, Gated Delta Networks, arXiv 2412.06464.
    """

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    conv: int
    strongest: float = 1.0
    norm_eps: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = self.key_heads, self.value_heads
        if (
            all(isinstance(n, int) for n in counts)
            and self.value_heads % self.key_heads
        ):
            raise ValueError(
                f"value_heads={self.value_heads} is not a multiple of "
                f"key_heads={self.key_heads}"
            )


@dataclass(frozen=True, kw_only=True)
class KimiDeltaSpec(Sized):
    """Kimi Delta Attention: gated DeltaNet whose state forgets by a gate for each
    channel of a key. Each head keeps a state of head_dim^2 elements.

    `decay_rank`, `gate_rank`: inner widths of the projections to the decay and to the
    output's gate; None where they are one matrix each.

    Source: Kimi Team 2025, Kimi Linear, arXiv 2510.26692.
    """

    heads: int
    head_dim: int
    conv: int
    decay_rank: int | None = None
    gate_rank: int | None = None


@dataclass(frozen=True, kw_only=True)
class LightningSpec(Sized):
    """Lightning attention: linear attention whose state, head_dim^2 elements a head,
    decays at a fixed rate; a norm and a sigmoid gate on its output.

    Source: MiniMax 2025, MiniMax-01, arXiv 2501.08313.
    """

    heads: int
    head_dim: int


@dataclass(frozen=True, kw_only=True)
class RGLRUSpec(Sized):
    """Griffin's recurrent block: a short convolution and a real-gated linear recurrent
    unit of the inner `width`, whose gates are block-diagonal in `blocks` blocks, beside
    a GELU branch.

    Source: De et al. 2024, Griffin, arXiv 2402.19427.
    """

    width: int
    blocks: int
    conv: int


@dataclass(frozen=True, kw_only=True)
class ShortConvSpec(Sized):
    """LFM2's mixer: a depthwise convolution over `conv` tokens between two
    multiplicative gates. It keeps its last inputs and nothing else.

    Source: Liquid AI 2025, LFM2, arXiv 2511.23404.
    """

    conv: int
    bias: bool = False


@dataclass(frozen=True, kw_only=True)
class RNNSpec(Sized):
    """A gated recurrent network, GRU ("gru") or LSTM ("lstm"), whose state has `width`
    numbers (an LSTM's twice as many), and a matrix back to the stream.

    Source: Cho et al. 2014, arXiv 1406.1078; Hochreiter and Schmidhuber 1997.
    """

    kind: Literal["gru", "lstm"]
    width: int
