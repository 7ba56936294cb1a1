"""The steps of `gpu_check.py`. Each is a function without arguments that returns what
goes into the results; `ok` says whether what it checked holds.

`python tools/gpu_steps.py STEP` runs one, and prints its results as the last line. The
profile (`COURSE_PROFILE`) chooses sizes and device, as in notebooks.
"""

import ast
import contextlib
import importlib.util
import io
import json
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gpu_back_ends
import gpu_moe
import gpu_scan

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = (
    "02_attention_math/04_tiling",
    "03_kv_cache/06_decode_roofline",
    "02_attention_math/03_quadratic_cost",
    "03_kv_cache/01_why_cache",
    "03_kv_cache/04_latent_cache",
    "00_why_architecture/04_parallel_training",
    "00_why_architecture/05_depth_against_width",
    "01_prototypes/07_four_costs",
)
"""Those that time something, the most telling first."""
# Of outputs of size 1 or less: float32 sums in another order; the others round weights
# and the result.
TOLERANCE = {"float32": 4e-6, "float16": 2**-9, "bfloat16": 2**-5}


@dataclass(frozen=True)
class Step:
    """One step: whether it checks results (or only times), and its seconds."""

    name: str
    checks: bool
    limit_s: int
    work: Callable[[], dict]


def sizes():
    """Return `setup()` and the function that picks a size by profile."""
    from course_lib.kit.runtime import by_profile, setup

    return setup(0), by_profile


def qkv(run, tokens, heads, groups, width, dtype, batch=1):
    """Return random queries, keys and values: [b t h k], [b t g k], [b t g k]."""
    import torch

    shapes = [(batch, tokens, count, width) for count in (heads, groups, groups)]
    return [torch.randn(shape, device=run.device, dtype=dtype) for shape in shapes]


def kernel() -> dict:
    """The Triton kernel against attention in float64, over shapes, dtypes and masks."""
    import torch

    from course_lib.kernels.flash_triton import flash_attention
    from course_lib.layers.attention.forms import attend
    from course_lib.layers.masks import causal_mask
    from course_lib.layers.positions.numbering import next_positions

    run, by_profile = sizes()
    shapes = by_profile(
        smoke=[(19, 2, 1, 16)],
        cpu=[(19, 2, 1, 16)],
        gpu=[(19, 2, 1, 16), (257, 8, 2, 64), (1000, 4, 4, 128), (2048, 8, 1, 80)],
    )
    rows = []
    for tokens, heads, groups, width in shapes:
        places = next_positions(0, 1, tokens, run.device)
        causal = causal_mask(places, places)
        for name in TOLERANCE:
            given = qkv(run, tokens, heads, groups, width, getattr(torch, name))
            for mask in (causal, torch.ones_like(causal)):
                found, _ = flash_attention(*given, causal=mask is causal)
                wide, _ = attend(*(x.double() for x in given), mask)
                gap = (found.double() - wide).abs().max().item()
                rows.append(
                    {
                        "shape": [tokens, heads, groups, width],
                        "dtype": name,
                        "causal": mask is causal,
                        "gap": gap,
                        "allowed": TOLERANCE[name],
                    }
                )
    return {"ok": all(row["gap"] <= row["allowed"] for row in rows), "rows": rows}


def over_lengths(forms, lengths, heads, groups, width) -> dict:
    """Time forms of causal attention in turns, and their peak bytes, over lengths."""
    import torch

    from course_lib.kit.timing import compare, peak_tensor_bytes

    run, by_profile = sizes()
    repeats = by_profile(smoke=1, cpu=3, gpu=7)
    rows = []
    for tokens in lengths:
        given = qkv(run, tokens, heads, groups, width, run.fast_dtype)
        calls = {
            name: (lambda form=form, given=given: form(*given))
            for name, (form, longest) in forms.items()
            if tokens <= longest
        }
        with torch.no_grad():
            timed = compare(
                calls, baseline="sdpa", repeats=repeats, warmup=2, device=run.device
            )
            peaks = {
                name: peak_tensor_bytes(call, run.device)
                for name, call in calls.items()
            }
        rows.append(
            {
                "tokens": tokens,
                "ms": {name: 1e3 * one.median_s for name, one in timed.timings.items()},
                "time_over_sdpa": {
                    name: 1 / timed.speedup(name) for name in timed.timings
                },
                "peak_bytes": peaks,
            }
        )
    return {
        "ok": True,
        "heads": heads,
        "kv_heads": groups,
        "head_dim": width,
        "dtype": str(run.fast_dtype),
        "rows": rows,
    }


def kernel_time() -> dict:
    """The Triton kernel and SDPA over lengths, causal, with grouped heads."""
    from course_lib.kernels.flash_triton import flash_attention
    from course_lib.layers.attention.layer import attend_sdpa

    _, by_profile = sizes()
    lengths = by_profile(
        smoke=(32, 64), cpu=(32, 64), gpu=(512, 1024, 2048, 4096, 8192, 16384, 32768)
    )
    heads, groups, width = by_profile(
        smoke=(2, 1, 16), cpu=(2, 1, 16), gpu=(32, 8, 128)
    )
    forms = {
        "sdpa": (lambda q, k, v: attend_sdpa(q, k, v, causal=True), 10**9),
        "triton": (lambda q, k, v: flash_attention(q, k, v, causal=True)[0], 10**9),
    }
    return over_lengths(forms, lengths, heads, groups, width)


def attention_forms() -> dict:
    """Attention with its scores in memory, in tiles, and SDPA, over lengths."""
    from course_lib.layers.attention.flash import flash_attention
    from course_lib.layers.attention.forms import attend
    from course_lib.layers.attention.layer import attend_sdpa
    from course_lib.layers.masks import causal_mask
    from course_lib.layers.positions.numbering import next_positions

    run, by_profile = sizes()
    lengths = by_profile(
        smoke=(64, 128), cpu=(512, 1024), gpu=(1024, 2048, 4096, 8192, 16384)
    )
    block = by_profile(smoke=32, cpu=256, gpu=1024)

    def places(q):
        return next_positions(0, q.shape[0], q.shape[1], run.device)

    def naive(q, k, v):
        return attend(q, k, v, causal_mask(places(q), places(q)))[0]

    def tiled(q, k, v):
        blocks = {"block_q": block, "block_k": block}
        return flash_attention(q, k, v, places(q), places(q), **blocks)[0]

    forms = {
        "naive": (naive, 8192),
        "tiled": (tiled, 10**9),
        "sdpa": (lambda q, k, v: attend_sdpa(q, k, v, causal=True), 10**9),
    }
    heads = by_profile(smoke=2, cpu=4, gpu=16)
    return over_lengths(forms, lengths, heads, heads, 64)


def small_llama() -> dict:
    """Return the fields of a small Llama for this profile."""
    _, by_profile = sizes()
    width, layers = by_profile(smoke=(64, 2), cpu=(256, 4), gpu=(2048, 16))
    return {
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 32,
        "num_key_value_heads": max(1, width // 128),
        "vocab_size": 1024,
        "max_position_embeddings": 65536,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
    }


def built(dtype):
    """Return a model of `small_llama` with random weights, on the device."""
    import torch

    from course_lib.models.lm import CausalLM
    from course_lib.specs.from_hf import spec_from_fields

    run, _ = sizes()
    torch.manual_seed(0)
    model = CausalLM(spec_from_fields(small_llama()))
    for weight in model.parameters():
        if weight.ndim == 2:
            torch.nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
    return model.to(run.device, dtype).eval()


def decoded(model, prompt, new_tokens):
    """Return the tokens that follow, greedily, and the logits they came from: a
    prefill, then a step a token.
    """
    import torch

    with torch.no_grad():
        cache = model.make_cache(prompt.shape[0], prompt.shape[1] + new_tokens)
        logits = [model(prompt, cache=cache, last_only=True)]
        for _ in range(new_tokens - 1):
            logits.append(model(logits[-1].argmax(-1), cache=cache, last_only=True))
    scores = torch.cat(logits, 1)
    return scores.argmax(-1), scores


def decode() -> dict:
    """Decoding with a cache equals the full forward, in float64."""
    import torch

    run, by_profile = sizes()
    model = built(torch.float64)
    prompt = torch.randint(1024, (2, by_profile(smoke=9, cpu=64, gpu=300)))
    prompt = prompt.to(run.device)
    tokens, scores = decoded(model, prompt, 8)
    with torch.no_grad():
        whole = model(torch.cat([prompt, tokens[:, :-1]], 1))[:, prompt.shape[1] - 1 :]
    gap = (scores - whole).abs().max().item()
    return {"ok": gap < 1e-9, "gap": gap, "allowed": 1e-9}


def decode_against_transformers() -> dict:
    """The same weights in `transformers`: the same logits, in float64."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from course_lib.models.checkpoints.weights import hf_tensors

    run, by_profile = sizes()
    model = built(torch.float64)
    theirs = LlamaForCausalLM(LlamaConfig(**small_llama()))
    theirs.load_state_dict({name: x.cpu() for name, x in hf_tensors(model).items()})
    # transformers computes its table of angles in float32, whatever the model's dtype.
    theirs = theirs.to(run.device, torch.float64).eval()
    prompt = torch.randint(1024, (2, by_profile(smoke=9, cpu=64, gpu=300)))
    prompt = prompt.to(run.device)
    with torch.no_grad():
        gap = (model(prompt) - theirs(prompt).logits).abs().max().item()
    return {"ok": gap < 1e-3, "gap": gap, "allowed": 1e-3}


def split_block_gaps(ranks) -> dict:
    """On one rank: gaps between a block over all ranks and the whole block, in float64,
    and what was sent.
    """
    import torch

    from course_lib.models.block import Block
    from course_lib.parallel.split import split_block
    from course_lib.parallel.tensor import TensorParallelBlock
    from course_lib.specs.from_hf import spec_from_fields

    run, by_profile = sizes()
    fields = small_llama() | {"num_key_value_heads": 2}
    spec, tokens = spec_from_fields(fields), by_profile(smoke=8, cpu=8, gpu=512)
    torch.manual_seed(0)
    on = {"device": run.device, "dtype": torch.float64}
    whole = Block(spec.width, spec.layers[0]).to(**on)
    split = TensorParallelBlock(split_block(whole, ranks.rank, ranks.count), ranks)
    x, pulled = torch.randn(2, 2, tokens, spec.width).to(**on)
    places, ours = torch.arange(tokens, device=run.device).expand(2, -1), x.clone()
    for one in (x, ours):
        one.requires_grad_()
    wanted, found = whole(x, places), split(ours, places)
    wanted.backward(pulled)
    found.backward(pulled)
    gaps = (found - wanted).abs().max(), (ours.grad - x.grad).abs().max()
    return {
        "gap": max(gaps).item(),
        "sent_bytes": ranks.sent_bytes,
        "all_reduces": ranks.all_reduces,
        "device": str(x.device),
    }


def tensor_parallel() -> dict:
    """One block over as many ranks as there are GPUs (a power of two, 8 at most), over
    nccl; the rehearsal takes two over gloo.
    """
    import torch

    from course_lib.costs.links import tensor_parallel_bytes
    from course_lib.parallel.ranks import run_ranks
    from course_lib.specs.from_hf import spec_from_fields

    run, by_profile = sizes()
    gpus = torch.cuda.device_count() if run.device.type == "cuda" else 0
    count, backend = (
        (1 << min(gpus, 8).bit_length() - 1, "nccl") if gpus else (2, "gloo")
    )
    rows = run_ranks(split_block_gaps, count, backend=backend, limit_s=35)
    spec = spec_from_fields(small_llama() | {"num_hidden_layers": 1})
    tokens = 2 * by_profile(smoke=8, cpu=8, gpu=512)
    sent = tensor_parallel_bytes(spec, tokens, devices=count, bytes_per_element=8)
    right = all(row["gap"] < 1e-9 and row["sent_bytes"] == 2 * sent for row in rows)
    return {"ok": right, "ranks": count, "backend": backend, "rows": rows}


def decode_time() -> dict:
    """Milliseconds a decoded token over contexts and batches, beside the bytes read."""
    from statistics import median

    import torch

    from course_lib.costs.cache import cache_bytes
    from course_lib.kit.timing import measure

    run, by_profile = sizes()
    model = built(run.fast_dtype)
    weights = sum(x.nbytes for x in model.parameters())
    points = by_profile(
        smoke=[(1, 32), (2, 64)],
        cpu=[(1, 128), (1, 512)],
        gpu=[(1, 512), (1, 4096), (1, 16384), (1, 32768), (16, 4096), (64, 4096)],
    )
    repeats = by_profile(smoke=2, cpu=5, gpu=20)
    rows = []
    for batch, context in points:
        cache = model.make_cache(batch, context + repeats + 4)
        token = torch.randint(1024, (batch, 1), device=run.device)
        with torch.no_grad():
            for start in range(0, context, 4096):
                part = torch.randint(1024, (batch, min(4096, context - start)))
                model(part.to(run.device), cache=cache, last_only=True)
            timed = measure(
                lambda token=token, cache=cache: model(token, cache=cache),
                repeats=repeats,
                warmup=3,
                device=run.device,
            )
        kept = cache_bytes(
            model.spec,
            batch=batch,
            tokens=context,
            bytes_per_element=run.fast_dtype.itemsize,
        )
        rows.append(
            {
                "batch": batch,
                "context": context,
                "ms": 1e3 * median(timed.times_s),
                "weight_bytes": weights,
                "cache_bytes": kept,
                "bytes_per_s": (weights + kept) / timed.median_s,
            }
        )
        del cache
    return {"ok": True, "dtype": str(run.fast_dtype), "rows": rows}


def notebook(name: str) -> dict:
    """Run one notebook and return the values it records."""
    from course_lib.kit.values import MIME

    path = ROOT / "notebooks" / f"{name}.ipynb"
    if all(map(importlib.util.find_spec, ("nbclient", "nbformat", "ipykernel"))):
        from run_notebooks import execute

        ran, _ = execute(path)
        outputs = [one for cell in ran.cells for one in cell.get("outputs", [])]
        values = [one["data"][MIME] for one in outputs if MIME in one.get("data", {})]
        how = "nbclient"
    else:
        values, how = as_script(path, MIME), "as a script"
    return {"ok": True, "how": how, "values": {one["name"]: one for one in values}}


def as_script(path: Path, mime: str) -> list[dict]:
    """Run a notebook's cells in this process; return what each shows under `mime`."""
    import os

    os.chdir(path.parent)
    names, values = {"__name__": "__main__", "display": lambda *_: None}, []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree, last = ast.parse("".join(cell["source"])), None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = ast.Expression(tree.body.pop().value)
        exec(compile(tree, path.name, "exec"), names)
        shown = eval(compile(last, path.name, "eval"), names) if last else None
        if hasattr(shown, "_repr_mimebundle_"):
            bundle = shown._repr_mimebundle_()
            values += bundle.get(mime, [])
    return values


STEPS = (
    Step("kernel", True, 45, kernel),
    Step("decode", True, 30, decode),
    Step("decode_against_transformers", True, 40, decode_against_transformers),
    Step("tensor_parallel", True, 40, tensor_parallel),
    Step("experts", True, 25, gpu_moe.experts),
    Step("expert_parallel", True, 40, gpu_moe.expert_parallel),
    Step("scans", True, 40, gpu_scan.scans),
    Step("state_over_ranks", True, 60, gpu_scan.state_over_ranks),
    Step("back_ends", True, 38, gpu_back_ends.back_ends),
    Step("kernel_time", False, 50, kernel_time),
    Step("attention_forms", False, 50, attention_forms),
    Step("decode_time", False, 60, decode_time),
    Step("experts_time", False, 60, gpu_moe.experts_time),
    Step("scan_time", False, 60, gpu_scan.scan_time),
    Step("back_ends_time", False, 60, gpu_back_ends.back_ends_time),
    *(
        Step(f"notebook:{name}", False, 60, lambda name=name: notebook(name))
        for name in NOTEBOOKS
    ),
)


def without_shapes() -> None:
    """Stand in for jaxtyping where it is not there: annotations mean nothing when a
    program runs.
    """
    if importlib.util.find_spec("jaxtyping") is not None:
        return
    shape = type("Shape", (), {"__class_getitem__": lambda cls, item: object})

    def named(name: str) -> type:
        if name.startswith("_"):
            raise AttributeError(name)
        return shape

    stand_in = types.ModuleType("jaxtyping")
    stand_in.__getattr__ = named
    sys.modules["jaxtyping"] = stand_in


def main() -> None:
    sys.path.insert(0, str(ROOT))
    without_shapes()
    (step,) = (step for step in STEPS if step.name == sys.argv[1])
    with contextlib.redirect_stdout(io.StringIO()):
        result = step.work()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
