"""The reference page on state spaces and linear attention: its table counted again, its formulas run."""

import re
from pathlib import Path

import torch

from course_lib.costs.cache import cache_line
from course_lib.costs.mixers.dispatch import mixer_part
from course_lib.specs.loader import load_spec

PAGE = (Path(__file__).parents[2] / "book" / "05_ssm_reference.md").read_text(encoding="utf-8")
MODELS = {
    "Mamba 2.8B": "mamba-2.8b",
    "Mamba-2 2.7B": "mamba2-2.7b",
    "RWKV-4 14B": "rwkv-4-14b",
    "Jamba v0.1": "jamba-v0.1",
    "Nemotron 3 Nano": "nemotron-3-nano-30b-a3b",
    "Qwen3-Next 80B-A3B": "qwen3-next-80b-a3b",
    "Qwen3.5-35B-A3B": "qwen3.5-35b-a3b",
    "Qwen3.5-27B": "qwen3.5-27b",
    "Qwen3.5-397B-A17B": "qwen3.5-397b-a17b",
    "Kimi Linear 48B-A3B": "kimi-linear-48b-a3b",
}


def row(model: str) -> tuple[str, ...]:
    """Count a model: recurrent layers of all mixing ones, MiB at any length, KiB per token, equal at."""
    spec = load_spec(MODELS[model])
    line = cache_line(spec)
    mixers = [layer.mixer for layer in spec.layers if layer.mixer is not None]
    recurrent = sum(mixer_part(mixer) == "state" for mixer in mixers)
    fixed, token = line.fixed_bytes, line.bytes_per_token
    equal = f"{fixed / token:,.0f}" if token else "never"
    return f"{recurrent} of {len(mixers)}", f"{fixed / 2**20:.1f}", f"{token / 2**10:.1f}", equal


def test_the_table_of_models_is_counted_from_their_configurations():
    table = PAGE[PAGE.index(":name: tbl-ssm-models") :].split("```")[0]
    cells = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if " of " in line
    ]
    told = {name: (layers, *rest) for name, layers, _, *rest in cells if name in MODELS}
    assert told == {model: row(model) for model in MODELS}


def test_the_gated_delta_rule_in_a_chunk_is_its_loop():
    g = torch.Generator().manual_seed(5)
    n, k, v = 7, 4, 3
    keys = torch.nn.functional.normalize(torch.randn(n, k, generator=g, dtype=torch.float64), dim=-1)
    values = torch.randn(n, v, generator=g, dtype=torch.float64)
    beta, log_decay = torch.rand(2, n, generator=g, dtype=torch.float64)
    start = torch.randn(v, k, generator=g, dtype=torch.float64)
    state = start
    for t in range(n):
        state = (-log_decay[t]).exp() * state
        state = state + beta[t] * torch.outer(values[t] - state @ keys[t], keys[t])
    reach = (-log_decay).cumsum(0)
    gamma, ratio = reach.exp(), (reach[:, None] - reach[None, :]).exp()
    system = torch.eye(n, dtype=torch.float64) + beta[:, None] * (keys @ keys.T * ratio.tril(-1))
    pseudo = torch.linalg.solve(system, beta[:, None] * (values - gamma[:, None] * (keys @ start.T)))
    chunked = gamma[-1] * start + (pseudo * ratio[-1][:, None]).T @ keys
    torch.testing.assert_close(chunked, state)


def test_hippo_has_the_eigenvalues_and_the_structure_that_the_page_says():
    n = 8
    i = torch.arange(n, dtype=torch.float64)
    root = (2 * i + 1).sqrt()
    matrix = -(torch.outer(root, root)).tril(-1) - torch.diag(i + 1)
    eigenvalues = torch.linalg.eigvals(matrix).real.sort().values
    torch.testing.assert_close(eigenvalues, -(i + 1).flip(0))
    normal = matrix + torch.outer(root, root) / 2
    torch.testing.assert_close(normal + normal.T, -torch.eye(n, dtype=torch.float64))


def test_steps_of_the_page_are_those_of_zero_order_hold():
    for step, ratio in ((0.1, 1.05), (2.0, 2.3)):
        held = 1 - torch.exp(torch.tensor(-step)).item()
        assert abs(step / held - ratio) < 0.02
    assert "by 5 %" in PAGE and "a factor of 2.3" in PAGE and len(re.findall("0.5 t", PAGE)) == 1
