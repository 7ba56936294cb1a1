"""Inputs of the recorded naive forms, and how they were recorded.

flash-linear-attention cannot stand beside the course (with it importable, six families of `transformers` do
not run on a CPU), so the outputs of its plain forms are kept in `naive_forms.json`. Once more:

    git clone https://github.com/fla-org/flash-linear-attention ELSEWHERE   (not installed)
    python -m tests.parity.naive_forms ELSEWHERE

which runs the functions of its `naive.py` files in float64 (their casts to float32 are replaced in memory).
`einops` is needed for that, the package is not.
"""

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from types import ModuleType

import torch
from torch import Tensor

KEPT = Path(__file__).with_suffix(".json")
B, T, H, K, V = 1, 7, 2, 3, 2
SHAPES = {
    "q": (B, T, H, K),
    "k": (B, T, H, K),
    "v": (B, T, H, V),
    "beta": (B, T, H),
    "g_head": (B, T, H),
    "g_channel": (B, T, H, K),
    "bonus": (H, K),
    "rate": (B, T, H, K),
    "kappa": (B, T, H, K),
    "state": (B, H, K, V),
}
"""Of all inputs, in the order in which they are drawn."""
OPS = "fla/ops"
CASES = {  # the functions that are recorded, by the file that holds them
    "linear attention": (f"{OPS}/linear_attn/naive.py", "naive_recurrent_linear_attn"),
    "linear attention, normalised": (f"{OPS}/linear_attn/naive.py", "naive_recurrent_linear_attn"),
    "a decay a head": (f"{OPS}/simple_gla/naive.py", "naive_recurrent_simple_gla"),
    "retention": (f"{OPS}/retention/naive.py", "naive_retention"),
    "gla": (f"{OPS}/gla/naive.py", "naive_recurrent_gla"),
    "delta rule": (f"{OPS}/delta_rule/naive.py", "delta_rule_recurrence"),
    "gated delta rule": (f"{OPS}/gated_delta_rule/naive.py", "naive_recurrent_gated_delta_rule"),
    "gated delta rule, chunks": (f"{OPS}/gated_delta_rule/naive.py", "naive_chunk_gated_delta_rule"),
    "kda": (f"{OPS}/kda/naive.py", "naive_recurrent_kda"),
    "rwkv-6": (f"{OPS}/rwkv6/recurrent_naive.py", "naive_recurrent_rwkv6"),
    "rwkv-7": (f"{OPS}/generalized_delta_rule/dplr/naive.py", "dplr_recurrence"),
}


def inputs(seed: int = 0) -> dict[str, Tensor]:
    """Numbers of Python's own generator, which are the same everywhere: -1 to 1, keys of length 1, shares
    0 to 1, log decays -1 to 0.
    """
    rng = Random(seed)
    made = {}
    for name, shape in SHAPES.items():
        count = torch.Size(shape).numel()
        drawn = torch.tensor([2 * rng.random() - 1 for _ in range(count)], dtype=torch.float64)
        made[name] = drawn.view(shape)
    for name in ("k", "kappa"):
        made[name] = made[name] / made[name].norm(dim=-1, keepdim=True)
    for name in ("beta", "rate"):
        made[name] = (made[name] + 1) / 2
    for name in ("g_head", "g_channel"):
        made[name] = (made[name] - 1) / 2
    return made


def theirs(name: str, function, x: dict[str, Tensor]):
    """Their function on these inputs; queries are not scaled, or as much as it divides them by."""
    q, k, v, state = x["q"], x["k"], x["v"], x["state"]
    kept = {"initial_state": state.clone(), "output_final_state": True}
    heads_first = [one.transpose(1, 2) for one in (q, k, v)]
    by_root = heads_first[0] * K**0.5, *heads_first[1:]
    if name == "linear attention":
        return function(q, k, v, scale=1.0, **kept)
    if name == "linear attention, normalised":
        return function(q.abs(), k.abs(), v, scale=1.0, normalize=True)
    if name == "a decay a head":
        return function(q, k, v, x["g_head"], scale=1.0, **kept)
    if name == "retention":
        return function(by_root[0], *by_root[1:]).transpose(1, 2), None
    if name == "gla":
        return function(q * K**0.5, k, v, x["g_channel"], **kept)
    if name == "delta rule":
        y, after = function(*by_root, x["beta"].transpose(1, 2), **kept)
        return y.transpose(1, 2), after
    if name.startswith("gated delta rule"):
        given = {"beta": x["beta"], "g": x["g_head"], "scale": 1.0}
        return function(q, k, v, **given, **kept)
    if name == "kda":
        return function(q, k, v, x["g_channel"], x["beta"], scale=1.0, **kept)
    decay = x["g_channel"].transpose(1, 2)
    if name == "rwkv-6":
        y, after = function(*heads_first, decay, x["bonus"], scale=1.0, **kept)
    else:
        removed, by = -x["kappa"].transpose(1, 2), (x["rate"] * x["kappa"]).transpose(1, 2)
        y, after = function(*by_root, removed, by, decay, **kept)
    return y.transpose(1, 2), after


def in_double(path: Path) -> ModuleType:
    """A module of theirs that computes in float64."""
    source = path.read_text(encoding="utf-8")
    for old, new in ((".float()", ".double()"), ("torch.float32", "torch.float64")):
        source = source.replace(old, new)
    for end in ")],":
        source = source.replace(f"torch.float{end}", f"torch.float64{end}")
    module = ModuleType(path.stem)
    exec(compile(source, str(path), "exec"), vars(module))
    return module


def record(folder: Path) -> dict:
    """The header and all outputs."""
    torch.set_default_dtype(torch.float64)
    x, outputs = inputs(), {}
    for name, (path, function) in CASES.items():
        y, state = theirs(name, getattr(in_double(folder / path), function), x)
        assert y.dtype == torch.float64
        outputs[name] = {"y": y.flatten().tolist()}
        if state is not None:
            assert state.dtype == torch.float64
            outputs[name]["state"] = state.flatten().tolist()
    commit = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    said = "outputs of the naive forms of github.com/fla-org/flash-linear-attention (MIT) in float64"
    header = {"what": said, "commit": commit, "seed": 0, "torch": torch.__version__.partition("+")[0]}
    header["functions"] = {name: f"{path}: {function}" for name, (path, function) in CASES.items()}
    header["rwkv-7"] = (
        "its file has no naive form; it calls the generalised delta rule with a = -kappa, b = rate kappa"
    )
    return header | {"outputs": outputs}


if __name__ == "__main__":
    KEPT.write_text(json.dumps(record(Path(sys.argv[1])), indent=1) + "\n", encoding="utf-8")
