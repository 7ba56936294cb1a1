"""Who balances experts: nobody, a loss, a z-loss or a bias; and what happens to each
when the traffic changes.

The task needs experts (`tasks.clusters`): tokens [16] come from clusters, and each
cluster has a linear map of its own that gives the target. Eight clusters are met first,
and the eight others after the shift, so that the experts have to be dealt out anew. The
layer is one MoE of the library, 8 SwiGLU experts of width 16, one a token (Switch: not
renormalised), 256 tokens an update, Adam at 3e-3. Errors are shares of the target's
mean square: 1 is what predicting zero gives.

    nothing      the task's loss alone
    loss         + 0.01 times Switch's balance loss
    strong loss  + 0.1 times the same
    z-loss       + 0.001 times the z-loss
    bias         a selection bias, moved by 0.003 after each update

Two budgets: 300 updates before the shift and 300 after it, and twice as many. At the
smaller one every variant is trained at half and at double the rate, too. `skewed`: all
16 clusters, without a shift, the i-th of them met in proportion to 1 / i. Eight seeds,
five of them for the larger budget, and five others; variants share clusters, starts and
batches. `dense` is one network as wide as one expert, with as many FLOPs but the
router's. Of the first plan every measurement is kept, of the others those at the ends
of the stretches.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from course_lib.layers.feed_forward.balance import (
    churn,
    dead_experts,
    entropy,
    expert_load,
    max_over_mean,
    update_bias,
)
from course_lib.layers.feed_forward.dispatch import dispatch_batched
from course_lib.layers.feed_forward.experts import Experts
from course_lib.layers.feed_forward.mlp import GatedMLP
from course_lib.layers.feed_forward.moe import MoE
from course_lib.layers.feed_forward.router import Router
from course_lib.layers.per_forward import PerForward
from course_lib.tasks.clusters import Clusters, relative_error
from course_lib.train.experiment import Measurement

D, CLUSTERS, EXPERTS, WIDTH, TOKENS = 16, 16, 8, 16, 256
RATE, BIAS_RATE, EVERY = 3e-3, 0.003, 20
SEEDS, OTHER_SEEDS = range(8), range(100, 105)
RATES = (0.5, 2.0)
UPDATES = (300, 600)  # before the shift, and as many after it
LOSSES = {
    "nothing": {},
    "loss": {"switch": 0.01},
    "strong loss": {"switch": 0.1},
    "z-loss": {"z": 0.001},
    "bias": {},
}


def layer(variant: str, seed: int) -> nn.Module:
    """The layer of a variant; experts and router start alike under one seed."""
    torch.manual_seed(seed)
    if variant == "dense":
        return GatedMLP(D, WIDTH)
    router = Router(D, EXPERTS, 1, renormalise=False, selection_bias=variant == "bias")
    experts = Experts(EXPERTS, D, WIDTH)
    return MoE(router, experts, losses=LOSSES[variant], dispatch=dispatch_batched)


def step(moe: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, PerForward]:
    """Error, the loss that is trained on, and what the layer left."""
    left = PerForward()
    made = moe(x, left) if isinstance(moe, MoE) else moe(x)
    error = relative_error(made, y)
    return error, error + left.auxiliary.loss, left


def trained(
    variant: str, seed: int, traffic: list[Tensor], updates: int, rate: float = 1.0
) -> Iterator[dict]:
    """Train through the stretches of traffic, `updates` each; yields what is measured
    every `EVERY` updates and at the last one, on tokens before they are learned from.
    Churn is that of 256 tokens of all clusters since the measurement before.
    """
    world, moe = Clusters(seed, CLUSTERS, D), layer(variant, seed)
    optimiser = torch.optim.Adam(moe.parameters(), lr=RATE * rate)
    probe, before = world.batch(torch.ones(CLUSTERS), TOKENS)[0], None
    for number in range(updates * len(traffic)):
        x, y = world.batch(traffic[number // updates], TOKENS)
        error, loss, left = step(moe, x, y)
        if number % EVERY == 0 or number == updates * len(traffic) - 1:
            row = {"update": number, "error": error.item()}
            if isinstance(moe, MoE):
                picks = moe.router(probe).experts
                changed = 0.0 if before is None else churn(before, picks)
                row, before = row | use(left) | {"churn": changed}, picks
            yield {name: round(value, 4) for name, value in row.items()}
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if variant == "bias":
            load = left.auxiliary.statistics[0, "load"]
            bias = moe.router.selection_bias
            bias.copy_(update_bias(bias, load, BIAS_RATE))


def ends(rows: list[dict], updates: int) -> list[dict]:
    """The first measurement, those on both sides of the shift, and the last."""
    sides = 0, updates - EVERY, updates, rows[-1]["update"]
    return [row for row in rows if row["update"] in sides]


def use(left: PerForward) -> dict[str, float]:
    """How evenly a batch used the experts."""
    found = left.auxiliary.statistics
    load = expert_load(found[0, "picks"], EXPERTS)
    return {
        "max/mean": max_over_mean(load),
        "dead": dead_experts(load, share=0.1),
        "entropy": entropy(load),
        "logit size": found[0, "logits"].abs().mean().item(),
    }


def measure() -> Mapping:
    """All runs; series by name, a number each time that it was measured."""
    torch.set_num_threads(1)
    first = torch.tensor([1.0] * 8 + [0.0] * 8)
    shift = [first, 1 - first]
    skewed = [1 / torch.arange(1, CLUSTERS + 1)]
    budgets = list(zip(UPDATES, (SEEDS, SEEDS[:5]), strict=True))
    plans = [("shift", shift, updates, 1.0, seeds) for updates, seeds in budgets]
    plans += [("shift", shift, UPDATES[0], 1.0, OTHER_SEEDS)]
    plans += [("shift", shift, UPDATES[0], rate, SEEDS[:2]) for rate in RATES]
    plans += [("skewed", skewed, updates, 1.0, seeds) for updates, seeds in budgets]
    runs = []
    for number, (task, traffic, updates, rate, seeds) in enumerate(plans):
        print(f"plan {number + 1} of {len(plans)}: {task}, {updates}", flush=True)
        for variant in (*LOSSES, "dense"):
            for seed in seeds:
                rows = list(trained(variant, seed, traffic, updates, rate))
                rows = rows if number == 0 else ends(rows, updates)
                series = {name: [row[name] for row in rows] for name in rows[0]}
                said = {"task": task, "variant": variant, "seed": seed}
                runs.append(said | {"updates": updates, "rate": rate, **series})
    return {"runs": runs, "tokens": TOKENS, "experts": EXPERTS}


experiment = Measurement(
    asks="Who balances the experts of a layer, and what does a shift of traffic do?",
    measure=measure,
)
