"""Steps of `gpu_check.py` for mixtures of experts: ways to run experts against each
other, the hump of decoding against the bytes that it reads, and expert parallelism.
"""

WIDTH = {"smoke": 32, "cpu": 128, "gpu": 4096}
ACTIVE = {"smoke": 32, "cpu": 256, "gpu": 8192}


def sizes():
    """Return `setup()` and the function that picks a size by profile."""
    from course_lib.kit.runtime import by_profile, setup

    return setup(0), by_profile


def layer(e: int, k: int, dtype):
    """A mixture of which a token's experts together are as wide as the dense network
    beside it; both on the device, with random weights.
    """
    import torch

    from course_lib.layers.feed_forward.experts import Experts
    from course_lib.layers.feed_forward.mlp import GatedMLP
    from course_lib.layers.feed_forward.moe import MoE
    from course_lib.layers.feed_forward.router import Router

    run, by_profile = sizes()
    width, inner = by_profile(**WIDTH), by_profile(**ACTIVE)
    torch.manual_seed(e)
    mixture = MoE(Router(width, e, k), Experts(e, width, inner // k))
    dense = GatedMLP(width, inner)
    return [each.to(run.device, dtype).eval() for each in (mixture, dense)]


def dispatch_grouped(x, routing, experts, *, weigh_input=False):
    """All experts in PyTorch's grouped matmul: no padding, no loop over experts."""
    import torch
    import torch.nn.functional as F

    flat = routing.experts.reshape(-1)
    picks = flat.argsort(stable=True)
    tokens = picks // routing.experts.shape[-1]
    ends = torch.bincount(flat, minlength=experts.e).cumsum(0).to(torch.int32)
    rows = x[tokens]
    gate, up = (
        F.grouped_mm(rows, weight.mT, offs=ends)
        for weight in (experts.gate, experts.up)
    )
    made = F.grouped_mm(experts.act(gate) * up, experts.down.mT, offs=ends)
    weights = routing.weights.reshape(-1)[picks][:, None]
    return torch.zeros_like(x).index_add(0, tokens, made * weights)


def ways():
    """Return the ways to bring tokens to experts, by name."""
    from course_lib.layers.feed_forward.dispatch import (
        dispatch_batched,
        dispatch_loop,
        dispatch_sorted,
    )

    return {
        "naive": dispatch_loop,
        "loop": dispatch_sorted,
        "padded": dispatch_batched,
        "grouped": dispatch_grouped,
    }


def with_way(mixture, way):
    """Return a call of the mixture that runs its experts in this way."""

    def call(x):
        mixture.dispatch = way
        return mixture(x)

    return call


def experts() -> dict:
    """All ways to run experts give what the definition gives, token by token."""
    import torch

    run, by_profile = sizes()
    rows = []
    for e, k in ((8, 2), (64, 8)):
        for name, allowed in (("float64", 1e-9), (run.fast_dtype, 2**-5)):
            dtype = getattr(torch, name) if isinstance(name, str) else name
            mixture, _ = layer(e, k, dtype)
            x = torch.randn(by_profile(smoke=5, cpu=9, gpu=33), mixture.router.d)
            x = x.to(run.device, dtype)
            with torch.no_grad():
                wanted = with_way(mixture, ways()["naive"])(x)
                scale = wanted.abs().max().item()
                for way, dispatch in ways().items():
                    if way == "naive" or (way == "grouped" and name == "float64"):
                        continue  # grouped_mm takes no float64
                    found = with_way(mixture, dispatch)(x)
                    gap = (found - wanted).abs().max().item() / scale
                    rows.append(
                        {
                            "layer": [e, k],
                            "dtype": str(dtype),
                            "way": way,
                            "gap": gap,
                            "allowed": allowed,
                        }
                    )
    return {"ok": all(row["gap"] <= row["allowed"] for row in rows), "rows": rows}


def experts_time() -> dict:
    """Grouped matmul, a loop over experts, padded batches and the dense network of
    equal active FLOPs, over experts and tokens; from one token on, beside the bytes of
    the experts that a step touches.
    """
    import torch

    from course_lib.costs.feed_forward.moe import expected_active_experts
    from course_lib.kit.timing import compare

    run, by_profile = sizes()
    dtype = run.fast_dtype
    repeats = by_profile(smoke=1, cpu=3, gpu=9)
    lengths = by_profile(
        smoke=(1, 8), cpu=(1, 16, 256), gpu=(1, 4, 16, 64, 256, 1024, 4096, 16384)
    )
    kinds = by_profile(smoke=((4, 2),), cpu=((8, 2),), gpu=((8, 2), (64, 8), (256, 8)))
    rows = []
    for e, k in kinds:
        mixture, dense = layer(e, k, dtype)
        one = sum(x.nbytes for x in mixture.experts.parameters()) / e
        for tokens in lengths:
            x = torch.randn(tokens, mixture.router.d).to(run.device, dtype)
            chosen = {name: way for name, way in ways().items() if name != "naive"}
            calls = {"dense": lambda x=x, dense=dense: dense(x)} | {
                name: (lambda x=x, m=mixture, way=way: with_way(m, way)(x))
                for name, way in chosen.items()
            }
            with torch.no_grad():
                picks = mixture.router(x).experts
                timed = compare(
                    calls,
                    baseline="dense",
                    repeats=repeats,
                    warmup=2,
                    device=run.device,
                )
            touched = len(picks.unique())
            best = min(
                timing.median_s
                for name, timing in timed.timings.items()
                if name != "dense"
            )
            rows.append(
                {
                    "experts": e,
                    "top_k": k,
                    "tokens": tokens,
                    "ms": {n: 1e3 * t.median_s for n, t in timed.timings.items()},
                    "time_over_dense": {n: 1 / timed.speedup(n) for n in calls},
                    "experts_touched": touched,
                    "experts_expected": expected_active_experts(e, k, tokens),
                    "touched_bytes": touched * one,
                    "bytes_per_s": touched * one / best,
                }
            )
    return {"ok": True, "dtype": str(dtype), "rows": rows}


def expert_parallel_gaps(ranks) -> dict:
    """On one rank: gaps between a mixture over all ranks and the whole mixture, in
    float64, and what was sent.
    """
    import torch

    from course_lib.layers.feed_forward.experts import Experts
    from course_lib.layers.feed_forward.moe import MoE
    from course_lib.layers.feed_forward.router import Router
    from course_lib.parallel.experts import ExpertParallel

    run, by_profile = sizes()
    width, tokens = (
        by_profile(smoke=16, cpu=16, gpu=512),
        by_profile(smoke=8, cpu=8, gpu=1024),
    )
    torch.manual_seed(0)
    on = {"device": run.device, "dtype": torch.float64}
    whole = MoE(Router(width, 8, 2), Experts(8, width, 2 * width)).to(**on)
    split = ExpertParallel(whole, ranks)
    every = torch.randn(ranks.count, tokens, width).to(**on)
    pulled = torch.randn(ranks.count, tokens, width).to(**on)
    x = every.reshape(-1, width).clone().requires_grad_()
    own = every[ranks.rank].clone().requires_grad_()
    wanted, found = whole(x), split(own)
    wanted.backward(pulled.reshape(-1, width))
    router = whole.router.gate.weight.grad.clone()
    whole.router.gate.weight.grad = None  # ours is the same module
    found.backward(pulled[ranks.rank])
    split.add_up_shared_gradients()
    here = slice(ranks.rank * tokens, (ranks.rank + 1) * tokens)
    held = list(split.placement.slots[ranks.rank])
    pairs = (
        (found, wanted[here]),
        (own.grad, x.grad[here]),
        (split.router.gate.weight.grad, router),
        (split.experts.down.grad, whole.experts.down.grad[held]),
    )
    with torch.no_grad():
        picks = split.router(own).experts
    away = int((picks // len(held) != ranks.rank).sum())
    return {
        "gap": max((a - b).abs().max().item() for a, b in pairs),
        "sent_bytes": split.wire.sent_bytes,
        "away_rows": away,
        "arrived_rows": split.arrived,
        "row_bytes": width * 8,
        "device": str(x.device),
    }


def expert_parallel() -> dict:
    """A mixture over as many ranks as there are GPUs (1, 2, 4 or 8), over nccl; the
    rehearsal takes two over gloo. Each rank sends its rows and returns others', forward
    and backward: in all, four times the rows that left some rank.
    """
    import torch

    from course_lib.parallel.ranks import run_ranks

    run, _ = sizes()
    gpus = torch.cuda.device_count() if run.device.type == "cuda" else 0
    count = 1 << min(gpus, 8).bit_length() - 1 if gpus else 2
    backend = "nccl" if gpus else "gloo"
    rows = run_ranks(expert_parallel_gaps, count, backend=backend, limit_s=35)
    sent = sum(row["sent_bytes"] for row in rows)
    formula = 4 * sum(row["away_rows"] * row["row_bytes"] for row in rows)
    right = all(row["gap"] < 1e-9 for row in rows) and sent == formula
    return {"ok": right, "ranks": count, "backend": backend, "rows": rows}
