"""Lab 4: the checks' own mixture of experts, step by step; a step takes the name of a
slip and then makes it.

Symbols: n tokens, e experts, k picks of a token, d width. A *slot* is one pick of one
token: slot i belongs to token i // k.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Expert = Callable[[Tensor], Tensor]


def gates(picks: Tensor, weights: Tensor, experts: int) -> Tensor:
    """Weights [n e], 0 for experts that were not picked."""
    return weights.new_zeros(len(picks), experts).scatter(1, picks, weights)


def mixtral_picks(logits: Tensor, k: int) -> Tensor:
    """The k largest logits of each token."""
    return logits.topk(k, dim=1).indices


def mixtral_weights(logits: Tensor, picks: Tensor, slip: str = "") -> Tensor:
    """Probabilities of the picks, renormalised if there are two or more."""
    p = logits.softmax(0 if slip == "axis" else 1)
    if slip == "sigmoid":
        p = logits.sigmoid()
    kept = p.gather(1, picks)
    alone = picks.shape[1] == 1
    if slip == "twice":
        return kept.softmax(1)
    if slip == "renormalise" or (alone and slip != "top1"):
        return kept
    return kept / kept.sum(1, keepdim=True)


def v3_picks(
    logits: Tensor, bias: Tensor, k: int, groups: int, kept: int, slip: str = ""
) -> Tensor:
    """The k best biased scores within the best groups of each token."""
    n, e = logits.shape
    scores = logits.softmax(1) if slip == "softmax" else logits.sigmoid()
    choice = scores if slip == "bias" else scores + bias
    ranked = scores if slip == "group_bias" else choice
    if slip == "interleaved":
        of_group = torch.arange(e) % groups
    else:
        of_group = torch.arange(e) // (e // groups)
    columns = [ranked[:, of_group == g] for g in range(groups)]
    best = {"group_max": 1, "group_sum": e // groups}.get(slip, 2)
    rank = torch.stack([c.topk(best, dim=1).values.sum(1) for c in columns], 1)
    allowed = torch.zeros(n, groups, dtype=torch.bool)
    allowed.scatter_(1, rank.topk(kept, dim=1, largest=slip != "worst").indices, True)
    hidden = 0.0 if slip == "mask_zero" else -torch.inf
    open_to = allowed[:, of_group] | (slip == "no_groups")
    return choice.masked_fill(~open_to, hidden).topk(k, dim=1).indices


def v3_weights(
    logits: Tensor, bias: Tensor, picks: Tensor, scale: float, slip: str = ""
) -> Tensor:
    """Scores without the bias, normalised over the picks, times the scale."""
    scores = logits.softmax(1) if slip == "softmax" else logits.sigmoid()
    scores = scores + bias if slip == "biased_weights" else scores
    whole = scores.sum(1, keepdim=True)
    kept = scores.gather(1, picks)
    whole = whole if slip == "all_experts" else kept.sum(1, keepdim=True)
    kept = kept if slip == "unnormalised" else kept / whole
    return kept if slip == "scale" else kept * scale


def by_expert(picks: Tensor, experts: int) -> tuple[Tensor, Tensor]:
    """Slots in the order of their experts, and how many each expert has."""
    flat = picks.reshape(-1)
    return flat.argsort(stable=True), torch.bincount(flat, minlength=experts)


def combine(rows: Tensor, slots: Tensor, weights: Tensor) -> Tensor:
    """Sum of each token's rows, weighted; `rows` stand in the order of `slots`."""
    back = torch.empty_like(rows)
    back[slots] = rows
    return (back.unflatten(0, weights.shape) * weights[..., None]).sum(1)


def moe(x: Tensor, picks: Tensor, weights: Tensor, experts: Sequence[Expert]) -> Tensor:
    """Each expert on its own tokens, weighted and summed: expert by expert."""
    slots, counts = by_expert(picks, len(experts))
    given = x[slots // picks.shape[1]].split(counts.tolist())
    pairs = zip(experts, given, strict=True)
    rows = [expert(part) for expert, part in pairs if len(part)]
    return combine(torch.cat(rows), slots, weights)


def within_capacity(
    picks: Tensor, real: Tensor, experts: int, capacity: int, slip: str = ""
) -> Tensor:
    """Which slots [n k] find a place: token after token, padding left out."""
    n, k = picks.shape
    held, kept = [0] * experts, torch.zeros(n, k, dtype=torch.bool)
    order = [(token, choice) for token in range(n) for choice in range(k)]
    if slip == "later":
        order.reverse()
    if slip == "choices_first":
        order.sort(key=lambda slot: slot[1])
    if slip == "each_choice":
        held = [0] * (experts * k)
    room = capacity + {"off_by_one": 1, "one_less": -1}.get(slip, 0)
    for token, choice in order:
        expert = int(picks[token, choice])
        place = expert * k + choice if slip == "each_choice" else expert
        if slip != "padding" and not real[token]:
            continue
        kept[token, choice] = held[place] < room and bool(real[token])
        held[place] += 1
    return kept


def balance_loss(logits: Tensor, picks: Tensor, real: Tensor, slip: str = "") -> Tensor:
    """e times the sum over experts of f_i P_i."""
    e, k = logits.shape[1], picks.shape[1]
    real = torch.ones_like(real) if slip == "padding" else real
    logits, picks = logits[real], picks[real]
    p = logits.softmax(1)
    mean = p.mean(0)
    if slip == "top_only":
        chosen = torch.zeros_like(p).scatter(1, picks, 1.0)
        mean = (p * chosen / (p * chosen).sum(1, keepdim=True)).mean(0)
    first = picks[:, :1] if slip == "first" else picks
    first = logits.topk(k, dim=1).indices if slip == "recounted" else first
    f = torch.bincount(first.reshape(-1), minlength=e).to(p) / first.numel()
    f = p.mean(0) if slip == "soft" else f
    f = f * k if slip == "k" else f
    if slip == "tokens":
        return e * (p * f).sum()
    return (1 if slip == "experts" else e) * (f * mean).sum()


def z_loss(logits: Tensor, real: Tensor, slip: str = "") -> Tensor:
    """Mean over real tokens of the squared log-sum-exp."""
    real = torch.ones_like(real) if slip == "padding" else real
    z = logits[real].logsumexp(1)
    if slip == "square":
        return z.mean()
    if slip == "square_late":
        return z.mean() ** 2
    return (z**2).sum() if slip == "mean" else (z**2).mean()


def update_bias(bias: Tensor, counts: Tensor, rate: float, slip: str = "") -> Tensor:
    """One step towards equal load, by the sign alone; the mean is taken out."""
    gap = counts.double().mean() - counts.double()
    if slip == "median":
        gap = counts.double().median() - counts.double()
    if slip == "whole_mean":
        gap = counts.sum() // len(counts) - counts.double()
    step = rate * (gap if slip == "size" else gap.sign())
    new = bias - step if slip == "sign" else bias + step
    new = step if slip == "added" else new
    if slip == "step_centred":
        return bias + step - step.mean()
    return new if slip == "centre" else new - new.mean()


def balanced(scores: Tensor, k: int, rate: float, steps: int, slip: str = "") -> Tensor:
    """The bias after `steps` updates from zero, each by the load it gives."""
    bias = scores.new_zeros(scores.shape[1])
    for _ in range(steps):
        choice = scores if slip == "unbiased_load" else scores + bias
        picks = choice.topk(1 if slip == "top1" else k, dim=1).indices
        counts = torch.bincount(picks.reshape(-1), minlength=scores.shape[1])
        bias = update_bias(bias, counts, rate)
    return bias


def skip(weights: Tensor, threshold: float, slip: str = "") -> Tensor:
    """Weights without those below a share of the token's largest; sums stay."""
    top = 1.0 if slip == "absolute" else weights.amax(1, keepdim=True)
    lasting = (
        weights > threshold * top if slip == "edge" else weights >= threshold * top
    )
    left = weights * lasting
    if slip == "sum":
        return left
    whole = 1.0 if slip == "one" else weights.sum(1, keepdim=True)
    return left / left.sum(1, keepdim=True) * whole


def keep_experts(counts: Tensor, share: float, slip: str = "") -> Tensor:
    """Fewest experts that serve at least `share` of the slots, ascending."""
    order = counts.argsort(descending=slip != "least", stable=True)
    served = counts[order].cumsum(0)
    if slip == "number":
        return order[: round(share * len(counts))].sort().values
    enough = (
        served > share * counts.sum()
        if slip == "edge"
        else (served >= share * counts.sum())
    )
    needed = int((~enough).sum()) + (0 if slip == "one_less" else 1)
    return order[:needed] if slip == "order" else order[:needed].sort().values
