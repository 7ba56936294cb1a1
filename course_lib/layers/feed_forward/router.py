"""Token-choice router (gating network): each token picks the k experts with the highest
scores, and their outputs are summed with weights made from these scores.

Symbols: n tokens, all rows in one line; e experts, k picks of a token; x [n d] tokens,
logits z = W x [n e], scores s [n e]. Papers write the scores as p (Switch), g (GShard)
or s (DeepSeek), and W's rows as the experts' centroids.

The steps, a function each; routers of published models differ in a few of them:

    score         softmax (Switch, Mixtral), sigmoid (DeepSeek-V3), root of softplus
    limit_groups  only the best groups of experts may be picked: DeepSeek-V2 and V3
    pick          the k best; of scores + selection bias where there is one (V3)
    weigh         the scores of the picks, divided by their sum or not, times a factor

Terms:
    top-k routing, token choice, gating weights: each token picks its k best experts and
        sums their outputs with weights -> Router, pick, weigh
    router logits, router scores: a number per token and expert, before and after
        softmax or sigmoid -> Routing, score
    group-limited routing, node-limited routing: a token picks from its best groups of
        experts only -> limit_groups
    selection bias, e_score_correction_bias: added to scores before the pick, and left
        out of the weights -> pick
    noisy top-k, router jitter: noise on the logits or on the router's input, in
        training only -> Router
    router temperature: logits are divided by it before they are scored -> Router
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

Scores = Float[Tensor, "n e"]
Picks = Int[Tensor, "n k"]
Weights = Float[Tensor, "n k"]

NO_EXPERT = -1
"""In the place of a pick: none, where a token was dropped or is padding."""


@dataclass(frozen=True)
class Routing:
    """Where each token goes, and with which weight.

    Attributes:
        experts: the picks, best first; `NO_EXPERT` for none.
        weights: with which the outputs of the picks are summed, in the dtype of x.
        scores: of all experts, the distribution P of a balance loss (with sigmoid
            scores it does not sum to one).
        logits: as they were scored, before the temperature.
    """

    experts: Picks
    weights: Weights
    scores: Scores
    logits: Scores


def score(logits: Scores, scoring: str = "softmax") -> Scores:
    """Turn logits into scores: "softmax" over the experts, or "sigmoid" or
    "sqrt_softplus" of each by itself; another name is a ValueError.

    >>> score(torch.tensor([[0.0, 0.0]]), "sigmoid").tolist()
    [[0.5, 0.5]]
    """
    if scoring == "softmax":
        return logits.softmax(-1)
    if scoring == "sigmoid":
        return logits.sigmoid()
    if scoring == "sqrt_softplus":
        return F.softplus(logits).sqrt()
    raise ValueError(
        f"scoring={scoring!r}: allowed are 'softmax', 'sigmoid' and 'sqrt_softplus'"
    )


def limit_groups(
    scores: Scores, groups: int, top_groups: int, group_score: str = "top2"
) -> Scores:
    """Set the scores outside of each token's best groups to minus infinity.

    Args:
        scores: of neighbours in equal groups, biased where there is a selection bias.
        groups, top_groups: how many there are, how many a token keeps.
        group_score: a group is as good as its "max" (DeepSeek-V2) or as the sum of its
            "top2" (V3).

    With zero in the place of minus infinity a pick could fall outside: a biased score
    may be negative.

    *Source*: DeepSeek-AI 2024, section 2.2.2, arXiv:2405.04434 (V2); section 2.1.2,
        arXiv:2412.19437 (V3).

    >>> limit_groups(torch.tensor([[0.9, 0.0, 0.5, 0.6]]), 2, 1).tolist()
    [[-inf, -inf, 0.5, 0.6000000238418579]]
    """
    if groups == top_groups:
        return scores
    grouped = scores.unflatten(-1, (groups, -1))
    if group_score == "max":
        of_group = grouped.amax(-1)
    elif group_score == "top2":
        of_group = grouped.topk(2, -1).values.sum(-1)
    else:
        raise ValueError(f"group_score={group_score!r}: allowed are 'max' and 'top2'")
    kept = torch.zeros_like(of_group, dtype=torch.bool)
    kept.scatter_(-1, of_group.topk(top_groups, -1).indices, True)
    return grouped.masked_fill(~kept[..., None], float("-inf")).flatten(-2)


def pick(
    scores: Scores, k: int, selection_bias: Float[Tensor, " e"] | None = None
) -> Picks:
    """The k experts with the highest score, best first; with a bias, by the biased one.

    >>> pick(torch.tensor([[0.5, 0.3, 0.2]]), 1, torch.tensor([0.0, 0.0, 1.0])).tolist()
    [[2]]
    """
    biased = scores if selection_bias is None else scores + selection_bias
    return biased.topk(k, -1).indices


def weigh(
    scores: Scores, experts: Picks, *, renormalise: bool = True, scale: float = 1.0
) -> Weights:
    """The weights of the picks: their unbiased scores, over their sum where
    `renormalise`, times `scale`.

    With k = 1 and `renormalise` the weight is always `scale`, and the router gets no
    gradient through it: Switch, with one pick, does not renormalise.

    >>> weigh(torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([[0, 2]])).sum().item()
    1.0
    """
    weights = scores.gather(-1, experts)
    if renormalise:
        weights = weights / weights.sum(-1, keepdim=True).clamp_min(1e-20)
    return weights * scale


class Router(nn.Module):
    """Token choice: pick the k best experts of each token.

    *Equation*: z = W x + b; s = score(z / temperature); picks = top k of s + selection
        bias within the best groups; w = scale s[picks] / sum s[picks].

    Args:
        d: model width.
        e, k: experts, and picks of a token.
        scoring: a name that `score` knows.
        renormalise: whether a token's weights are divided by their sum.
        softmax_after: weights are a softmax over the logits of the picks (Mixtral,
            gpt-oss). In exact arithmetic that is softmax and `renormalise`.
        scale: a factor on the weights.
        groups, top_groups, group_score: as in `limit_groups`.
        selection_bias: whether there is a buffer of that name, zero at the start;
            `balance.update_bias` changes it, never the optimiser.
        bias_on: what it is added to for the pick: scores, or logits (Kolibri).
        bias: whether W has a bias.
        temperature: above 1 it evens the weights out. It changes no pick of plain
            top-k, and may change picks where scores meet a bias or groups.
        noise: a number: x is multiplied by 1 plus or minus that much (Switch's jitter);
            "learned": normal noise of the size softplus(W_noise x) is added to the
            logits. In training only.

    Logits and scores are in float32 at least, whatever the dtype of x. Keep the
    selection bias in float32, too: in bfloat16 a step of 0.001 does not change a bias
    near 1.

    Raises:
        ValueError: k is not between 1 and the experts of `top_groups`, the groups do
            not divide e, a group has one expert and "top2" needs two, the temperature
            is not positive, or a name is unknown.

    *Cost*: d e parameters, 2 d e FLOPs a token.
    *Source*: Shazeer et al. 2017, section 2.1, arXiv:1701.06538 (noisy top-k); Fedus et
        al. 2021, section 2.1, arXiv:2101.03961 (k = 1).
    """

    def __init__(
        self,
        d: int,
        e: int,
        k: int,
        *,
        scoring: str = "softmax",
        renormalise: bool = True,
        softmax_after: bool = False,
        scale: float = 1.0,
        groups: int = 1,
        top_groups: int = 1,
        group_score: str = "top2",
        selection_bias: bool = False,
        bias_on: str = "scores",
        bias: bool = False,
        temperature: float = 1.0,
        noise: float | str = 0.0,
    ) -> None:
        super().__init__()
        _check(e, k, groups, top_groups, group_score, temperature)
        score(torch.zeros(1, e), scoring)
        if isinstance(noise, str) and noise != "learned":
            raise ValueError(f"noise={noise!r}: allowed are a number and 'learned'")
        if bias_on not in ("scores", "logits"):
            raise ValueError(f"bias_on={bias_on!r}: allowed are 'scores' and 'logits'")
        self.d, self.e, self.k, self.scoring = d, e, k, scoring
        self.renormalise, self.softmax_after = renormalise, softmax_after
        self.scale = scale
        self.groups, self.top_groups, self.group_score = groups, top_groups, group_score
        self.temperature, self.noise, self.bias_on = temperature, noise, bias_on
        self.gate = nn.Linear(d, e, bias=bias)
        self.noise_gate = nn.Linear(d, e, bias=False) if noise == "learned" else None
        self.register_buffer(
            "selection_bias", torch.zeros(e) if selection_bias else None
        )

    def forward(self, x: Float[Tensor, "n d"]) -> Routing:
        """Route every token of x."""
        logits = self.logits(x)
        cooled = logits / self.temperature
        scores = score(cooled, self.scoring)
        biased = scores if self.bias_on == "scores" else cooled
        if self.selection_bias is not None:
            biased = biased + self.selection_bias
        allowed = limit_groups(biased, self.groups, self.top_groups, self.group_score)
        experts = pick(allowed.detach(), self.k)
        if self.softmax_after:
            weights = cooled.gather(-1, experts).softmax(-1) * self.scale
        else:
            weights = weigh(
                scores, experts, renormalise=self.renormalise, scale=self.scale
            )
        return Routing(experts, weights.to(x.dtype), scores, logits)

    def logits(self, x: Float[Tensor, "n d"]) -> Scores:
        """W x + b in float32 at least, with noise in training."""
        wide = torch.promote_types(x.dtype, torch.float32)
        x = x.to(wide)
        noisy = self.training and self.noise != 0.0
        if noisy and self.noise != "learned":
            x = x * torch.empty_like(x).uniform_(1 - self.noise, 1 + self.noise)
        bias = None if self.gate.bias is None else self.gate.bias.to(wide)
        logits = F.linear(x, self.gate.weight.to(wide), bias)
        if noisy and self.noise == "learned":
            size = F.softplus(F.linear(x, self.noise_gate.weight.to(wide)))
            logits = logits + torch.randn_like(logits) * size
        return logits


def _check(
    e: int, k: int, groups: int, top_groups: int, group_score: str, temperature: float
) -> None:
    if e < 1 or groups < 1 or e % groups:
        raise ValueError(f"groups={groups}: allowed are divisors of e={e}")
    if not 1 <= top_groups <= groups:
        raise ValueError(f"top_groups={top_groups}: allowed are 1 to groups={groups}")
    if group_score not in ("max", "top2"):
        raise ValueError(f"group_score={group_score!r}: allowed are 'max' and 'top2'")
    if group_score == "top2" and top_groups < groups and e == groups:
        raise ValueError("group_score='top2': allowed with two experts in a group")
    if not 1 <= k <= e // groups * top_groups:
        raise ValueError(
            f"k={k}: allowed are 1 to {e // groups * top_groups}, the experts of "
            f"{top_groups} of {groups} groups"
        )
    if not temperature > 0:
        raise ValueError(f"temperature={temperature}: allowed are positive numbers")
