"""Steps of `gpu_check.py` for attention back ends: what each can mask and whether it
has gradients, on the device; and their times over SDPA, forward and with the backward
pass.
"""

# Of outputs of size 1 or less, and of their gradients: sums in another order; the
# others round weights and the result.
TOLERANCE = {"float32": 2e-5, "bfloat16": 2**-4}


def sizes():
    """Return `setup()` and the function that picks a size by profile."""
    from course_lib.kit.runtime import by_profile, setup

    return setup(0), by_profile


def requests(batch: int, tokens: int, heads: int) -> dict:
    """Return requests by name, with what they hold on the device."""
    import torch

    from course_lib.kernels import back_ends as ways

    run, _ = sizes()
    documents = torch.arange(tokens, device=run.device) // max(tokens // 3, 1)
    slopes = 0.5 ** torch.arange(1.0, heads + 1, device=run.device)
    sinks = torch.linspace(-1, 1, heads, device=run.device)
    window = ways.causal_window(max(tokens // 8, 1))
    packed = ways.causal_documents(documents.expand(batch, -1))
    return {
        "everything": ways.Request(),
        "causal": ways.Request(mask=ways.causal),
        "window": ways.Request(mask=window),
        "documents": ways.Request(mask=packed),
        "prefix": ways.Request(mask=ways.prefix_then_causal(tokens // 2)),
        "bias": ways.Request(mask=ways.causal, bias=ways.distance_bias(slopes)),
        "sinks": ways.Request(mask=ways.causal, sinks=sinks),
    }


def back_ends() -> dict:
    """Every back end on every request: it is the plain form in float64, or it refuses;
    all but the Triton kernel must not refuse. Gradients where there are some.
    """
    import torch

    from course_lib.kernels.back_ends import BACK_ENDS
    from course_lib.kernels.probe import probe

    run, by_profile = sizes()
    shape = by_profile(
        smoke=(2, 21, 4, 2, 16), cpu=(2, 21, 4, 2, 16), gpu=(2, 300, 8, 2, 64)
    )
    rows, right = [], True
    few = ("causal", "window", "documents", "bias", "sinks")
    asked = requests(*shape[:3])
    words_of = by_profile(smoke=tuple(asked), cpu=tuple(asked), gpu=few)
    for dtype in TOLERANCE:
        for name in BACK_ENDS:
            for words in words_of:
                if dtype == "bfloat16" and words != "causal":
                    continue  # FlexAttention compiles each request anew
                like = {"dtype": getattr(torch, dtype), "device": run.device}
                found = probe(name, asked[words], shape, **like)
                gaps = (found.gap, found.gradient_gap)
                within = all(gap is None or gap <= TOLERANCE[dtype] for gap in gaps)
                right &= within and (name == "Triton" or not found.problem)
                rows.append(
                    {
                        "back_end": name,
                        "request": words,
                        "dtype": dtype,
                        "gap": found.gap,
                        "gradient_gap": found.gradient_gap,
                        "problem": found.problem[:200],
                        "gradient_problem": found.gradient_problem[:200],
                    }
                )
    return {"ok": right, "shape": list(shape), "rows": rows}


def back_ends_time() -> dict:
    """Times over SDPA that is told causal, at one length: forward, and forward with
    backward where there is one.
    """
    import torch

    from course_lib.kernels.back_ends import BACK_ENDS, attention

    run, by_profile = sizes()
    tokens = by_profile(smoke=32, cpu=256, gpu=8192)
    heads, groups, width = by_profile(smoke=(2, 1, 16), cpu=(4, 2, 32), gpu=(16, 4, 64))
    drawn = [
        torch.randn(1, tokens, n, width, device=run.device, dtype=run.fast_dtype)
        for n in (heads, groups, groups)
    ]
    asked = requests(1, tokens, heads)
    rows = []
    for backward in (False, True):
        given = [x.clone().requires_grad_(backward) for x in drawn]
        calls, problems = {}, {}
        for name in BACK_ENDS:
            for words in ("causal", "window", "documents"):

                def call(name=name, request=asked[words], given=given, back=backward):
                    y = attention(*given, request, back_end=name)
                    return torch.autograd.grad(y.sum(), given) if back else y

                try:
                    call()
                except (ValueError, RuntimeError, ImportError) as refused:
                    problems[f"{name}, {words}"] = str(refused).splitlines()[0][:200]
                else:
                    calls[f"{name}, {words}"] = call
        rows.append(_timed(calls) | {"pass": _named(backward), "problems": problems})
    sides = {"heads": heads, "kv_heads": groups, "head_dim": width, "tokens": tokens}
    return {"ok": True, **sides, "dtype": str(run.fast_dtype), "rows": rows}


def _named(backward: bool) -> str:
    return "forward and backward" if backward else "forward"


def _timed(calls: dict) -> dict:
    from course_lib.kit.timing import compare

    run, by_profile = sizes()
    found = compare(
        calls,
        baseline="SDPA, causal",
        repeats=by_profile(smoke=1, cpu=3, gpu=5),
        warmup=by_profile(smoke=1, cpu=1, gpu=2),
        device=run.device,
    )
    return {
        "ms": {name: 1e3 * one.median_s for name, one in found.timings.items()},
        "time_over_sdpa": {name: 1 / found.speedup(name) for name in calls},
    }
