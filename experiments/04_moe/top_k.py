"""What do more experts and more picks buy, and what do they do to the load?

One MoE layer on clusters of tokens, each with a linear map of its own
(`tasks.clusters`, 16 of them, all equally popular), with 4 to 32 SwiGLU experts of 16
columns of which a token visits 1, 2 or 4. Weights are divided by their sum where there
are two picks or more; the weight of a single one stays below 1, for else its router
would learn nothing. Balance loss of Switch with weight 0.01, 256 tokens an update, Adam
at 1e-2.

Errors are means over 20 updates, on tokens before they are learned from, after 300 and
after 600 updates of one run (its rate is constant). The load is that of the same 20
batches together, 5,120 tokens, so that chance adds little to it. Five seeds, five
others for the first budget, and half and double the rate for the first seed.
"""

from collections.abc import Mapping

import torch

from course_lib.layers.feed_forward.balance import (
    dead_experts,
    entropy,
    expert_load,
    max_over_mean,
)
from course_lib.layers.feed_forward.dispatch import dispatch_batched
from course_lib.layers.feed_forward.experts import Experts
from course_lib.layers.feed_forward.moe import MoE
from course_lib.layers.feed_forward.router import Router
from course_lib.layers.per_forward import PerForward
from course_lib.tasks.clusters import Clusters, relative_error
from course_lib.train.experiment import Measurement

D, WIDTH, CLUSTERS, TOKENS, RATE, LAST = 16, 16, 16, 256, 1e-2, 20
EXPERTS, PICKS = (4, 8, 16, 32), (1, 2, 4)
UPDATES, SEEDS, OTHER_SEEDS = (300, 600), range(5), range(100, 105)


def layer(e: int, k: int) -> MoE:
    """A mixture of `e` experts, `k` a token."""
    return MoE(
        Router(D, e, k, renormalise=k > 1),
        Experts(e, D, WIDTH),
        dispatch=dispatch_batched,
        losses={"switch": 0.01},
    )


def trained(e: int, k: int, seed: int, budgets: tuple[int, ...], rate: float) -> list:
    """Error and load at the end of each budget."""
    torch.manual_seed(seed)
    moe, world = layer(e, k), Clusters(seed, CLUSTERS, D)
    optimiser = torch.optim.Adam(moe.parameters(), lr=RATE * rate)
    errors, picks, found = [], [], []
    for update in range(1, budgets[-1] + 1):
        x, y = world.batch(torch.ones(CLUSTERS), TOKENS)
        left = PerForward()
        error = relative_error(moe(x, left), y)
        errors.append(error.item())
        picks.append(left.auxiliary.statistics[0, "picks"])
        optimiser.zero_grad()
        (error + left.auxiliary.loss).backward()
        optimiser.step()
        if update in budgets:
            said = {"experts": e, "k": k, "seed": seed, "updates": update, "rate": rate}
            error = round(sum(errors[-LAST:]) / LAST, 5)
            load = use(torch.cat(picks[-LAST:]), e)
            found.append(said | {"error": error} | load)
    return found


def use(picks: torch.Tensor, e: int) -> dict[str, float]:
    """How evenly the experts were used; an expert below a tenth of the mean is dead."""
    load = expert_load(picks, e)
    scores = {"max/mean": max_over_mean(load), "entropy": entropy(load)}
    scores["dead"] = dead_experts(load, share=0.1)
    return {name: round(float(value), 4) for name, value in scores.items()}


def measure() -> Mapping:
    """Every run of every layer."""
    torch.set_num_threads(1)
    plans = [(UPDATES, 1.0, SEEDS), (UPDATES[:1], 1.0, OTHER_SEEDS)]
    plans += [(UPDATES[:1], rate, SEEDS[:1]) for rate in (0.5, 2.0)]
    runs = []
    for budgets, rate, seeds in plans:
        for e in EXPERTS:
            print(budgets, rate, e, flush=True)
            for k in PICKS:
                for seed in seeds:
                    runs += trained(e, k, seed, budgets, rate)
    return {"runs": runs, "tokens": TOKENS, "clusters": CLUSTERS}


experiment = Measurement(
    asks="What do more experts and more picks buy, and what do they do to the load?",
    measure=measure,
)
