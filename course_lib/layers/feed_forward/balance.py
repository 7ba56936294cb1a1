"""Balance of experts: losses and a bias that even their loads out, and metrics of it.

Symbols: n tokens, k picks of a token, e experts; load [e] picks of each expert; f_i the
share of the picks that expert i gets, P_i the mean of its scores; logits z.

Terms:
    load-balancing loss, balance loss, Switch loss: e sum f_i P_i, a term of the loss
        that pushes experts towards equally many tokens -> switch_loss
    sequence-wise balance loss: the same within each row, from normalised scores ->
        sequence_loss
    global-batch balance: f_i counted over all micro-batches or ranks, P_i in each ->
        switch_loss
    router z-loss: mean of log-sum-exp of the logits, squared; it keeps them small ->
        z_loss
    auxiliary-loss-free balancing, bias update: a bias on the pick rises for experts
        with little load and falls for those with much -> update_bias
    expert load, max/mean load, dead expert, churn: how evenly experts are used, and how
        many picks change -> expert_load, max_over_mean, dead_experts, churn
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_lib.layers.feed_forward.router import NO_EXPERT

Load = Int[Tensor, " e"] | Float[Tensor, " e"]
Counted = Bool[Tensor, " n"] | None


def expert_load(
    experts: Int[Tensor, "n k"], e: int, counted: Counted = None
) -> Int[Tensor, " e"]:
    """How many picks each expert has, those of tokens that do not count (padding) and
    of no expert left out.

    >>> expert_load(torch.tensor([[0, 2], [2, -1]]), 3).tolist()
    [1, 0, 2]
    """
    if counted is not None:
        experts = experts[counted]
    return torch.bincount(experts.reshape(-1) + 1, minlength=e + 1)[1:]


def switch_loss(
    scores: Float[Tensor, "n e"],
    experts: Int[Tensor, "n k"],
    *,
    counted: Counted = None,
    load: Load | None = None,
    over_k: bool = True,
) -> Float[Tensor, ""]:
    """The balance loss of Switch: 1 where loads and scores are even, e where one expert
    has all. Even is not its least value over free f and P: apart they give 0.

    *Equation*: e sum_i f_i P_i, with f_i expert i's share of the picks and P_i the mean
        of its scores. f_i comes from counts and has no gradient; P_i has one, and falls
        most where f_i is large.

    Args:
        scores: of all experts, not of the picks alone; rows that sum to one.
        experts: the picks, before any is dropped.
        counted: which tokens count; padding does not.
        load: in the place of this batch's own; that of all micro-batches gives the
            global-batch loss, and its mean over equal micro-batches is the loss of all.
        over_k: f_i sums to one, so that an even load gives 1 for every k (DeepSeek-V3,
            MegaBlocks). False: f_i is a share of the tokens and sums to k, as in
            `transformers`, where an even load gives k. With k = 1 (Switch) they are the
            same.

    *Source*: Fedus et al. 2021, eq. 4 to 6, arXiv:2101.03961; global batch: Qiu et al.
        2025, arXiv:2501.11873.

    >>> even = torch.full((4, 2), 0.5)
    >>> switch_loss(even, torch.tensor([[0], [1], [0], [1]])).item()
    1.0
    """
    e, k = scores.shape[-1], experts.shape[-1]
    own = expert_load(experts, e, counted) if load is None else load
    share = own.to(scores.dtype) / own.sum().clamp_min(1)
    mean = (scores if counted is None else scores[counted]).mean(0)
    return e * (share * mean).sum() * (1 if over_k else k)


def sequence_loss(
    scores: Float[Tensor, "b t e"],
    experts: Int[Tensor, "b t k"],
    *,
    counted: Bool[Tensor, "b t"] | None = None,
) -> Float[Tensor, ""]:
    """DeepSeek-V3's balance loss within each row, mean over the rows: 1 where all are
    even.

    *Equation*: sum_i f_i P_i with f_i = e / (k t) times the picks of expert i in the
        row, and P_i the row's mean of s_i / sum_j s_j: sigmoid scores are normalised.

    *Source*: DeepSeek-AI 2024, eq. 17 to 20, arXiv:2412.19437.
    """
    shares = scores / scores.sum(-1, keepdim=True)
    every = torch.ones_like(experts[..., 0], dtype=torch.bool)
    counted = every if counted is None else counted
    rows = [
        switch_loss(own, picks, counted=here)
        for own, picks, here in zip(shares, experts, counted, strict=True)
        if here.any()
    ]
    return torch.stack(rows).mean() if rows else scores.sum() * 0


def z_loss(
    logits: Float[Tensor, "n e"], *, counted: Counted = None
) -> Float[Tensor, ""]:
    """The mean over tokens of log-sum-exp of the logits, squared. It keeps logits
    small, where rounding changes a softmax little.

    *Source*: Zoph et al. 2022, eq. 5, arXiv:2202.08906 (ST-MoE).

    >>> round(z_loss(torch.zeros(3, 4)).item(), 4)  # log(4)^2
    1.9218
    """
    squares = logits.logsumexp(-1).square()
    return (squares if counted is None else squares[counted]).mean()


@torch.no_grad()
def update_bias(
    bias: Float[Tensor, " e"], load: Load, rate: float = 0.001
) -> Float[Tensor, " e"]:
    """The next selection bias: up by `rate` where the load is below the mean, down
    where it is above; then shifted to mean 0, which changes no pick.

    Args:
        bias: as it stands; it is not changed.
        load: picks of each expert since the last update, over all ranks.

    *Source*: Wang et al. 2024, algorithm 1, arXiv:2408.15664; used by DeepSeek-V3.
    *Differs from source*: the shift to mean 0.

    >>> update_bias(torch.zeros(2), torch.tensor([3, 1]), rate=0.5).tolist()
    [-0.5, 0.5]
    """
    load = load.to(bias.dtype)
    moved = bias + rate * torch.sign(load.mean() - load)
    return moved - moved.mean()


def max_over_mean(load: Load) -> float:
    """The largest load over the mean: with an expert per device, how many times longer
    than needed a step takes. 1 if even, 0 if there is no load.
    """
    return (load.max() / load.float().mean().clamp_min(1e-12)).item()


def variation(load: Load) -> float:
    """The coefficient of variation: standard deviation of the loads over their mean."""
    load = load.double()
    return (load.std(correction=0) / load.mean().clamp_min(1e-12)).item()


def dead_experts(load: Load, share: float = 0.0) -> int:
    """How many experts have at most `share` of an even load; 0 means no token."""
    load = load.double()
    return int((load <= share * load.mean()).sum())


def entropy(load: Load) -> float:
    """The entropy of the shares over log e: 1 if even, 0 if one expert has all.

    >>> entropy(torch.tensor([5, 5])), entropy(torch.tensor([5, 0]))
    (1.0, 0.0)
    """
    share = load.double() / load.sum().clamp_min(1)
    nats = torch.special.entr(share).sum()
    return (nats / torch.tensor(len(load), dtype=torch.double).log()).item()


def churn(before: Int[Tensor, "n k"], after: Int[Tensor, "n k"]) -> float:
    """The share of the picks that changed between two routings of the same tokens, as
    sets: another order of the same experts is no change.

    >>> churn(torch.tensor([[0, 1], [2, 3]]), torch.tensor([[1, 0], [2, 0]]))
    0.25
    """
    stays = (before[..., None] == after[..., None, :]).any(-1) & (before != NO_EXPERT)
    return 1 - stays.sum().item() / max(int((before != NO_EXPERT).sum()), 1)
