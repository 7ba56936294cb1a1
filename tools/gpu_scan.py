"""Steps of `gpu_check.py` for recurrences: their forms and the Triton scan against the
loop in float64, scans against attention over lengths, and a sequence over all GPUs.
"""

# Of results over the largest number: sums in another order; the others round inputs.
TOLERANCE = {"float32": 4e-6, "float16": 2**-9, "bfloat16": 2**-6}
EXACT = 1e-9


def sizes():
    """Return `setup()` and the function that picks a size by profile."""
    from course_lib.kit.runtime import by_profile, setup

    return setup(0), by_profile


def ssd_tensors(tokens: int, heads: int, values: int, states: int, dtype, batch=1):
    """Return x, dt, a, b, c of SSD with one group, on the device; steps and rates in
    float32 at least.
    """
    import torch
    import torch.nn.functional as F

    run, _ = sizes()
    wide = torch.promote_types(dtype, torch.float32)
    shapes = (batch, tokens, heads, values), *[(batch, tokens, 1, states)] * 2
    x, b, c = (torch.randn(shape).to(run.device, dtype) for shape in shapes)
    dt = F.softplus(torch.randn(batch, tokens, heads) - 3).to(run.device, wide)
    a = -torch.rand(heads).add(0.1).to(run.device, wide)
    return x, dt, a, b / states**0.5, c


def heads_first(tokens: int, heads: int, width: int, dtype):
    """Return q, k of length 1, v, beta and a log decay a head, on the device."""
    import torch
    import torch.nn.functional as F

    from course_lib.layers.recurrent.delta_rule import unit

    run, _ = sizes()
    q, k, v = torch.randn(3, 1, tokens, heads, width).to(run.device, dtype)
    strength, raw = torch.randn(2, 1, tokens, heads).to(run.device, dtype)
    return (
        q / width**0.5,
        unit(k),
        v,
        strength.sigmoid(),
        F.logsigmoid(raw + 3)[..., None],
    )


def gap_of(found, wanted) -> float:
    """Return the largest distance of results over the largest number."""
    return max(
        ((a.double() - b.double()).abs().max() / b.abs().max()).item()
        for a, b in zip(found, wanted, strict=True)
    )


def scans() -> dict:
    """Chunked forms give what their loops give, in float64; the Triton scan what the
    loop gives, in each dtype.
    """
    import torch

    from course_lib.kernels.scan_triton import ssd_scan
    from course_lib.layers.recurrent.delta_rule import (
        delta_rule_chunked,
        delta_rule_recurrent,
    )
    from course_lib.layers.recurrent.linear_attention import (
        linear_attention_chunked,
        linear_attention_recurrent,
    )
    from course_lib.layers.recurrent.scan import (
        selective_scan_chunked,
        selective_scan_recurrent,
    )
    from course_lib.layers.recurrent.ssd import ssd_chunked, ssd_recurrent

    _, by_profile = sizes()
    tokens = by_profile(smoke=37, cpu=37, gpu=301)
    x, dt, a, b, c = ssd_tensors(tokens, 4, 24, 20, torch.float64)
    q, k, v, beta, decay = heads_first(tokens, 3, 16, torch.float64)
    channels = dt, dt, a[:, None].expand(-1, 20).contiguous(), b[:, :, 0], c[:, :, 0]
    pairs = {
        "selective scan": (selective_scan_chunked, selective_scan_recurrent, channels),
        "SSD": (ssd_chunked, ssd_recurrent, (x, dt, a, b, c)),
        "linear attention": (
            linear_attention_chunked,
            linear_attention_recurrent,
            (q, k, v, decay),
        ),
        "gated delta rule": (
            delta_rule_chunked,
            delta_rule_recurrent,
            (q, k, v, beta, decay),
        ),
    }
    rows = [
        {"form": name, "dtype": "float64", "allowed": EXACT}
        | {"gap": gap_of(chunked(*given), loop(*given))}
        for name, (chunked, loop, given) in pairs.items()
    ]
    shapes = by_profile(
        smoke=[(37, 2, 24, 20)],
        cpu=[(37, 2, 24, 20)],
        gpu=[(37, 2, 24, 20), (301, 8, 64, 128), (1000, 4, 80, 64)],
    )
    for shape in shapes:
        for name, allowed in TOLERANCE.items():
            given = ssd_tensors(*shape, getattr(torch, name))
            wanted = ssd_recurrent(*(one.double() for one in given))
            rows.append(
                {"form": "Triton SSD", "shape": list(shape), "dtype": name}
                | {"gap": gap_of(ssd_scan(*given), wanted), "allowed": allowed}
            )
    return {"ok": all(row["gap"] <= row["allowed"] for row in rows), "rows": rows}


def scan_time() -> dict:
    """Causal SDPA, SSD in PyTorch and in Triton, linear attention and the gated delta
    rule over lengths, heads and widths alike, forward; and their peak bytes.
    """
    import torch

    from course_lib.kernels.scan_triton import ssd_scan
    from course_lib.kit.timing import compare, peak_tensor_bytes
    from course_lib.layers.attention.layer import attend_sdpa
    from course_lib.layers.recurrent.delta_rule import delta_rule_chunked
    from course_lib.layers.recurrent.linear_attention import linear_attention_chunked
    from course_lib.layers.recurrent.ssd import ssd_chunked

    run, by_profile = sizes()
    dtype, repeats = run.fast_dtype, by_profile(smoke=1, cpu=3, gpu=5)
    heads, width = by_profile(smoke=(2, 16), cpu=(4, 32), gpu=(16, 64))
    lengths = by_profile(smoke=(32, 64), cpu=(128, 512), gpu=(1024, 4096, 16384, 65536))
    rows = []
    for tokens in lengths:
        ssd = ssd_tensors(tokens, heads, width, width, dtype)
        q, k, v, beta, decay = heads_first(tokens, heads, width, dtype)
        calls = {
            "sdpa": lambda q=q, k=k, v=v: attend_sdpa(q, k, v, causal=True),
            "ssd": lambda given=ssd: ssd_chunked(*given)[0],
            "ssd triton": lambda given=ssd: ssd_scan(*given)[0],
            "linear attention": lambda q=q, k=k, v=v, decay=decay: (
                linear_attention_chunked(q, k, v, decay)[0]
            ),
            "gated delta rule": lambda given=(q, k, v, beta, decay): delta_rule_chunked(
                *given
            )[0],
        }
        with torch.no_grad():
            timed = compare(
                calls, baseline="sdpa", repeats=repeats, warmup=2, device=run.device
            )
            peaks = {
                n: peak_tensor_bytes(call, run.device) for n, call in calls.items()
            }
        rows.append(
            {
                "tokens": tokens,
                "ms": {n: 1e3 * one.median_s for n, one in timed.timings.items()},
                "time_over_sdpa": {n: 1 / timed.speedup(n) for n in calls},
                "peak_bytes": peaks,
            }
        )
    shape = {"heads": heads, "width": width, "dtype": str(dtype)}
    return {"ok": True, **shape, "rows": rows}


def state_line_gaps(ranks) -> dict:
    """On one rank: gaps between SSD over all ranks and in one process, in float64, and
    what was sent.
    """
    import torch

    from course_lib.layers.recurrent.ssd import ssd_chunked
    from course_lib.parallel.state_line import StateLine, in_turn
    from course_lib.parallel.state_prefix import in_two_steps, ssd_decay

    run, by_profile = sizes()
    own = by_profile(smoke=9, cpu=9, gpu=500)
    torch.manual_seed(0)
    x, dt, a, b, c = ssd_tensors(own * ranks.count, 4, 16, 16, torch.float64)
    start = torch.randn(1, 4, 16, 16).to(x)
    here = slice(ranks.rank * own, (ranks.rank + 1) * own)
    whole = x.clone().requires_grad_()
    y, _ = ssd_chunked(whole, dt, a, b, c, start)
    pull = torch.cos(torch.arange(y.numel(), device=run.device)).view_as(y).to(y)
    y.backward(pull)

    def form(x, dt, b, c, *, state):
        return ssd_chunked(x, dt, a, b, c, state)

    found = {"state_bytes": start.nbytes, "device": str(run.device)}
    decay = ssd_decay(dt[:, here], a)
    for way, options in (("in turn", {}), ("in two steps", {"whole": decay})):
        line, mine = StateLine(ranks), x[:, here].clone().requires_grad_()
        given = mine, dt[:, here], b[:, here], c[:, here]
        work = in_turn if not options else in_two_steps
        z, _ = work(form, *given, start=start, line=line, **options)
        z.backward(pull[:, here])
        pairs = (z, y[:, here]), (mine.grad, whole.grad[:, here])
        gap = max((ours - theirs).abs().max().item() for ours, theirs in pairs)
        found[way] = {"gap": gap, "sent_bytes": line.sent_bytes}
    return found


def state_over_ranks() -> dict:
    """A sequence over as many ranks as there are GPUs (1, 2, 4 or 8), over nccl; the
    rehearsal takes two over gloo.
    """
    import torch

    from course_lib.costs.state_handoff import in_turn_traffic
    from course_lib.parallel.ranks import run_ranks

    run, _ = sizes()
    gpus = torch.cuda.device_count() if run.device.type == "cuda" else 0
    count = 1 << min(gpus, 8).bit_length() - 1 if gpus else 2
    backend = "nccl" if gpus else "gloo"
    rows = run_ranks(state_line_gaps, count, backend=backend, limit_s=50)
    sent = sum(row["in turn"]["sent_bytes"] for row in rows)
    formula = 2 * in_turn_traffic(rows[0]["state_bytes"], count).sent_bytes
    gaps = [row[way]["gap"] for row in rows for way in ("in turn", "in two steps")]
    right = max(gaps) < EXACT and sent == formula  # there, and a gradient back
    return {"ok": right, "ranks": count, "backend": backend, "rows": rows}
