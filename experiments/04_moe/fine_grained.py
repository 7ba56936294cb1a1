"""Are many narrow experts better than few wide ones, at equal FLOPs and equal size? And
a shared one beside them?

One MoE layer on clusters of tokens, each with a linear map of its own
(`tasks.clusters`, 16 of them, all equally popular). All three layers store 128 columns
of SwiGLU, and multiply a token by 32 of them:

    coarse            8 experts of 16 columns, 2 a token
    fine              32 experts of 4 columns, 8 a token
    fine and shared   28 experts of 4 columns, 4 a token, and 16 columns for all tokens

Balance loss of Switch with weight 0.01, 256 tokens an update, Adam at 3e-3. Two
budgets; eight seeds, five of them for the larger budget, and five others; half and
double the rate. The error is that of the last 20 updates, on tokens before they are
learned from. Routers of more experts have more weights, 16 of them an expert.
"""

from collections.abc import Mapping

import torch
from torch import nn

from course_lib.layers.feed_forward.dispatch import dispatch_batched
from course_lib.layers.feed_forward.experts import Experts, SharedExpert
from course_lib.layers.feed_forward.mlp import GatedMLP
from course_lib.layers.feed_forward.moe import MoE
from course_lib.layers.feed_forward.router import Router
from course_lib.layers.per_forward import PerForward
from course_lib.tasks.clusters import Clusters, relative_error
from course_lib.train.experiment import Measurement

D, CLUSTERS, TOKENS, RATE, LAST = 16, 16, 256, 3e-3, 20
UPDATES, SEEDS, OTHER_SEEDS = (300, 600), range(8), range(100, 105)
LAYERS = {
    "coarse": {"e": 8, "f": 16, "k": 2, "shared": 0},
    "fine": {"e": 32, "f": 4, "k": 8, "shared": 0},
    "fine and shared": {"e": 28, "f": 4, "k": 4, "shared": 16},
}


def layer(e: int, f: int, k: int, shared: int) -> MoE:
    """One mixture; `shared` columns for all tokens."""
    both = SharedExpert(GatedMLP(D, shared), D) if shared else None
    return MoE(
        Router(D, e, k),
        Experts(e, D, f),
        both,
        dispatch=dispatch_batched,
        losses={"switch": 0.01},
    )


def trained(variant: str, seed: int, updates: int, rate: float) -> float:
    """The mean error of the last updates."""
    torch.manual_seed(seed)
    moe: nn.Module = layer(**LAYERS[variant])
    world, errors = Clusters(seed, CLUSTERS, D), []
    optimiser = torch.optim.Adam(moe.parameters(), lr=RATE * rate)
    for _ in range(updates):
        x, y = world.batch(torch.ones(CLUSTERS), TOKENS)
        left = PerForward()
        error = relative_error(moe(x, left), y)
        errors.append(error.item())
        optimiser.zero_grad()
        (error + left.auxiliary.loss).backward()
        optimiser.step()
    return round(sum(errors[-LAST:]) / LAST, 5)


def measure() -> Mapping:
    """The error of every run."""
    torch.set_num_threads(1)
    plans = [(UPDATES[0], 1.0, SEEDS), (UPDATES[1], 1.0, SEEDS[:5])]
    plans += [(UPDATES[0], 1.0, OTHER_SEEDS)]
    plans += [(UPDATES[0], rate, SEEDS[:2]) for rate in (0.5, 2.0)]
    runs = []
    for updates, rate, seeds in plans:
        print(updates, rate, flush=True)
        for variant in LAYERS:
            for seed in seeds:
                error = trained(variant, seed, updates, rate)
                said = {"variant": variant, "seed": seed, "updates": updates}
                runs.append(said | {"rate": rate, "error": error})
    sizes = {
        name: sum(p.numel() for p in layer(**given).parameters())
        for name, given in LAYERS.items()
    }
    return {"runs": runs, "parameters": sizes, "tokens": TOKENS}


experiment = Measurement(
    asks="Are many narrow experts better than few wide ones at equal FLOPs and size?",
    measure=measure,
)
