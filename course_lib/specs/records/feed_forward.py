"""Feed-forward networks (MLP, GLU) and mixtures of experts (MoE), as records.

Symbols: f FFN width, e experts. Widths in elements.

Terms:
    MoE, mixture of experts: many feed-forward networks, of which each token visits a
        few -> MoESpec
    router, gating network: the matrix whose scores pick a token's experts -> MoESpec
    shared expert: an expert that every token visits -> MoESpec
"""

from dataclasses import dataclass
from typing import Literal

from course_lib.specs.frozen import Sized


@dataclass(frozen=True, kw_only=True)
class FFNSpec(Sized):
    """Per-token network: "mlp" W2 a(W1 x), "glu" W2 (a(Wg x) * W1 x), or RWKV's
    "channel_mix".
    """

    kind: Literal["mlp", "glu", "channel_mix"]
    activation: str
    width: int
    bias: bool = False


@dataclass(frozen=True, kw_only=True)
class MoESpec(Sized):
    """A router picks `top_k` of `experts` for each token; `shared` experts serve every
    token.

    The shared experts run as one FFN of `shared_width` (their widths summed), gated by
    a learned scalar where `shared_gate`. `groups` and `top_groups` limit the pick to
    the best groups. `selection_bias`: a balancing bias which changes the pick but not
    the weights (a buffer, not a parameter). `latent`: routed experts work at that
    width, between two projections that they share. `group_score`: a group counts by the
    sum of its two best experts (DeepSeek-V3) or by its best one (V2). `weigh_input`:
    a pick's weight multiplies what its expert reads, not what it returns (Llama 4).
    `capacity`: how many tokens of a row an expert takes, 0 for all of them (Switch).
    `bias_on`: what the balancing bias is added to, scores or logits (Kolibri).
    `sparse_mixer`: SparseMixer's tolerance, 0 without it: each pick in turn has the
    softmax over the experts within that share of the best one left (PhiMoE).
    """

    experts: int
    top_k: int
    expert: FFNSpec
    shared: int = 0
    shared_width: int = 0
    shared_gate: bool = False
    scoring: Literal["softmax", "sigmoid", "sqrt_softplus"] = "softmax"
    renormalise: bool = True
    scale: float = 1.0
    groups: int = 1
    top_groups: int = 1
    router_bias: bool = False
    selection_bias: bool = False
    latent: int = 0
    group_score: Literal["top2", "max"] = "top2"
    weigh_input: bool = False
    sparse_mixer: float = 0.0
    bias_on: Literal["scores", "logits"] = "scores"
    capacity: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        counts = self.top_k, self.experts
        if all(isinstance(n, int) for n in counts) and self.top_k > self.experts:
            raise ValueError(f"top_k={self.top_k} is more than experts={self.experts}")
