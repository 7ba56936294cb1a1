"""The mixture-of-experts layer (MoE): a router, its experts and the shared one, in the
place of a block's feed-forward network.

Symbols: x [.. d] tokens, n all of them in one line, e experts, k picks of a token, w
weights of the picks.

    y = sum over the picks i of w_i expert_i(x)  +  shared(x)

Terms:
    MoE layer, sparse MoE block: router, experts and shared expert as one layer -> MoE
    zero expert, identity expert: a pick that costs nothing and returns its token ->
        zero_experts
    latent MoE: routed experts work at a smaller width, between two projections -> MoE
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.layers.feed_forward.balance import (
    expert_load,
    sequence_loss,
    switch_loss,
    z_loss,
)
from course_lib.layers.feed_forward.capacity import Capacity
from course_lib.layers.feed_forward.dispatch import dispatch_sorted
from course_lib.layers.feed_forward.experts import Experts
from course_lib.layers.feed_forward.router import NO_EXPERT, Routing
from course_lib.layers.per_forward import PerForward

LOSSES = ("switch", "sequence", "z")


class MoE(nn.Module):
    """A mixture of experts, from its parts.

    *Equation*: y = sum_i w_i expert_i(x) + shared(x), over the picks i of the router;
        with a latent W_out (sum_i w_i expert_i(W_in x)) + shared(x).

    Args:
        router: from tokens [n d] to a `Routing`; of e + `zero` experts. A `Router`, an
            `ExpertChoice`, or a `HashRouter`, which takes tokens from the `PerForward`.
        experts: the e routed experts; as wide as the latent where there is one.
        shared: a network that every token visits, such as a `SharedExpert`.
        latent: l, the width at which routed experts work; 0 for none.
        zero: how many of the router's experts, the last ones, return their token as it
            is (LongCat).
        weigh_input: weights multiply what experts are given, not what they return
            (Llama 4).
        capacity: how many picks an expert takes; None for all (dropless).
        dispatch: how tokens are brought to experts, such as `dispatch_sorted`.
        losses: the weights of the losses that it leaves, by name: "switch", "sequence",
            "z" (see `balance`). None of them by default.

    With a `PerForward` it leaves these losses and, as statistics, "logits", "scores"
    [n e], "picks", "weights" [n k] (without padding's picks) and "load" [e], all before
    a capacity, and with one "served" [n k], the picks within it. Tokens at position -1
    are padding: they visit no routed expert and do not count.

    Raises:
        ValueError: a loss has another name, or router, experts and `zero` do not fit.

    *Cost*: those of the router, of k experts, and of the shared one, for each token.
    *Source*: Shazeer et al. 2017, eq. 1, arXiv:1701.06538; shared: Dai et al. 2024,
        eq. 9, arXiv:2401.06066.

    >>> from course_lib.layers.feed_forward.router import Router
    >>> moe = MoE(Router(4, 3, 2), Experts(3, 4, 8))
    >>> moe(torch.randn(2, 5, 4)).shape
    torch.Size([2, 5, 4])
    """

    leaves_auxiliary = True

    def __init__(
        self,
        router: nn.Module,
        experts: Experts,
        shared: nn.Module | None = None,
        *,
        latent: int = 0,
        zero: int = 0,
        weigh_input: bool = False,
        capacity: Capacity | None = None,
        dispatch: Callable = dispatch_sorted,
        losses: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__()
        self.losses = dict(losses or {})
        if unknown := set(self.losses) - set(LOSSES):
            raise ValueError(f"losses={sorted(unknown)}: allowed are {LOSSES}")
        if router.e != experts.e + zero:
            raise ValueError(
                f"router.e={router.e}: allowed is {experts.e + zero}, experts and zero"
            )
        self.router, self.experts, self.shared = router, experts, shared
        self.zero, self.weigh_input, self.dispatch = zero, weigh_input, dispatch
        self.capacity = capacity
        d = router.d
        self.into_latent = nn.Linear(d, latent, bias=False) if latent else None
        self.out_of_latent = nn.Linear(latent, d, bias=False) if latent else None

    def forward(
        self, x: Float[Tensor, "*axes d"], per_forward: PerForward | None = None
    ) -> Float[Tensor, "*axes d"]:
        """Send each token to its experts and sum what they return."""
        flat = x.reshape(-1, x.shape[-1])
        routing = self.router(flat, *self._looked_up(per_forward))
        counted = _counted(per_forward, x)
        if counted is not None:
            routing = _without(routing, ~counted)
        if per_forward is not None:
            self._leave(per_forward, routing, counted, x.shape[:-1])
        routing = self.limited(routing, x.shape[:-1])
        if self.capacity is not None and per_forward is not None:
            per_forward.add_statistic("served", routing.experts != NO_EXPERT)
        y = self._routed(flat, routing).view(x.shape)
        return y if self.shared is None else y + self.shared(x)

    def limited(self, routing: Routing, axes: torch.Size) -> Routing:
        """The routing within the capacity, for tokens with these axes."""
        if self.capacity is None:
            return routing
        return self.capacity.apply(routing, row=axes[-1] if axes else 1)

    def _looked_up(self, per_forward: PerForward | None) -> tuple[Tensor, ...]:
        """The tokens, for a router that looks them up."""
        if not getattr(type(self.router), "needs_tokens", False):
            return ()
        if per_forward is None or per_forward.tokens is None:
            raise ValueError("per_forward.tokens=None: hash routing needs the tokens")
        return (per_forward.tokens.reshape(-1),)

    def _routed(self, x: Float[Tensor, "n d"], routing: Routing) -> Tensor:
        inputs = x if self.into_latent is None else self.into_latent(x)
        same, routing = zero_experts(inputs, routing, self.experts.e)
        y = self.dispatch(inputs, routing, self.experts, weigh_input=self.weigh_input)
        y = y if same is None else y + same
        return y if self.out_of_latent is None else self.out_of_latent(y)

    def _leave(
        self,
        per_forward: PerForward,
        routing: Routing,
        counted: Bool[Tensor, " n"] | None,
        axes: torch.Size,
    ) -> None:
        """Leave losses and statistics of the running layer."""
        for name, weight in self.losses.items():
            per_forward.add_loss(
                name, weight * balance_loss(name, routing, counted, axes)
            )
        load = expert_load(routing.experts, routing.scores.shape[-1])
        statistics = {"picks": routing.experts, "weights": routing.weights}
        statistics |= {"logits": routing.logits, "scores": routing.scores, "load": load}
        for name, value in statistics.items():
            per_forward.add_statistic(name, value)


def balance_loss(
    name: str,
    routing: Routing,
    counted: Bool[Tensor, " n"] | None,
    axes: torch.Size,
) -> Float[Tensor, ""]:
    """The loss called `name` in `LOSSES`, unweighted; `axes` are those of the tokens,
    the last of them within a row.
    """
    if name == "z":
        return z_loss(routing.logits, counted=counted)
    if name == "switch":
        return switch_loss(routing.scores, routing.experts, counted=counted)
    rows = (-1, axes[-1] if axes else 1)
    return sequence_loss(
        routing.scores.unflatten(0, rows),
        routing.experts.unflatten(0, rows),
        counted=None if counted is None else counted.view(rows),
    )


def zero_experts(
    x: Float[Tensor, "n d"], routing: Routing, e: int
) -> tuple[Float[Tensor, "n d"] | None, Routing]:
    """Serve the picks numbered e and above, which return their token as it is.

    Returns: the sum of their weights times x, or None if there are none; the routing
        without them.

    *Source*: Meituan 2025, arXiv:2509.01322 (LongCat-Flash).
    """
    if routing.scores.shape[-1] == e:
        return None, routing
    identity = routing.experts >= e
    share = (routing.weights * identity).sum(-1, keepdim=True)
    return share * x, _without(routing, identity)


def _counted(
    per_forward: PerForward | None, x: Float[Tensor, "*axes d"]
) -> Bool[Tensor, " n"] | None:
    """Which tokens are none of padding; None if nothing is known, or all are."""
    if per_forward is None or per_forward.positions is None:
        return None
    counted = (per_forward.positions >= 0).reshape(-1)
    return None if counted.all() or len(counted) != x[..., 0].numel() else counted


def _without(routing: Routing, gone: Bool[Tensor, "..."]) -> Routing:
    """The routing without some tokens [n], or without some picks [n k]."""
    gone = gone[:, None] if gone.ndim == 1 else gone
    experts = routing.experts.masked_fill(gone, NO_EXPERT)
    weights = routing.weights.masked_fill(gone, 0.0)
    return replace(routing, experts=experts, weights=weights)
