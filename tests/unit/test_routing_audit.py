"""The audit of routed experts: on picks whose answer is known, and from saved files by the command."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from course_lib.course.cli import audit as audit_module
from course_lib.course.cli.app import app
from course_lib.evaluate.routing_audit import (
    audit_picks,
    batch_dependence,
    dead_at_most,
    dropped_share,
    even_max_over_mean,
)
from course_lib.layers.feed_forward.experts import Experts
from course_lib.layers.feed_forward.moe import MoE
from course_lib.layers.feed_forward.router import Router
from course_lib.models.lm import CausalLM
from course_lib.specs.small import small_llama

RUN = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


def even_picks(rows=6, tokens=8, e=4):
    """One pick each, by turns."""
    return (torch.arange(rows * tokens) % e).view(rows, tokens, 1)


def test_even_picks_are_even_and_depend_on_nobody():
    found = audit_picks(even_picks(), 4)
    assert found.load == (12, 12, 12, 12) and found.dead == ()
    assert (found.max_over_mean, found.variation, found.entropy) == (1.0, 0.0, 1.0)
    assert set(found.dependence.values()) == set(found.dropped.values()) == {0.0}


def test_a_dead_expert_is_found_and_chance_is_said():
    picks = even_picks() % 3
    found = audit_picks(picks, 4)
    assert found.dead == (3,) and dead_at_most(found, 0.0) == 1
    assert found.expected_dead == pytest.approx(4 * 0.75**48)
    assert found.max_over_mean > found.even_max_over_mean * 0.7 and found.entropy < 0.8


def test_drops_by_hand():
    picks = torch.tensor([[[0], [0], [0], [1]]])
    assert dropped_share(picks, 2, 1.0) == 0.25
    assert dropped_share(picks, 2, 1.5) == 0.0


def test_strangers_decide_what_is_dropped():
    """The last row's experts are full behind mates of the first kind, and have room behind the others."""
    full, free = torch.zeros(2, 1), torch.ones(2, 1)
    picks = torch.stack([full, full, full, free, free]).long()  # [5 2 1]
    assert batch_dependence(picks, 2, 1.0) > 0.2
    assert batch_dependence(picks, 2, 2.0) == 0  # room for all
    alike = torch.zeros(5, 2, 1, dtype=torch.long)
    assert batch_dependence(alike, 2, 1.0) == 0  # crowded, but every mate is the same


def test_even_routing_has_a_null_of_its_own():
    assert 1.3 < even_max_over_mean(1024, 256, 8) < 1.9
    assert even_max_over_mean(1024, 8, 8) == 1.0


@pytest.mark.parametrize(
    "picks", [torch.zeros(0, 1, 1).long(), torch.tensor([[[4]]]), torch.tensor([[[-1]]])]
)
def test_picks_are_experts(picks):
    with pytest.raises(ValueError, match="experts 0 to 3"):
        audit_picks(picks, 4)


def told(*words: object) -> dict:
    result = RUN.invoke(app, ["moe", "audit", *map(str, words), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*words: object) -> str:
    result = RUN.invoke(app, ["moe", "audit", *map(str, words)])
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.split())


@pytest.mark.parametrize("kind", ["safetensors", "pt"])
def test_a_saved_layer_is_audited(tmp_path, kind):
    torch.manual_seed(1)
    layer = MoE(Router(8, 4, 2, scoring="sigmoid", selection_bias=True), Experts(4, 8, 6))
    layer.router.selection_bias[3] = -9.0  # never picked
    file, x = tmp_path / f"layer.{kind}", torch.randn(5, 20, 8)
    if kind == "pt":
        torch.save(layer.state_dict(), file)
    else:
        save_file(layer.state_dict(), file)
    save_file({"x": x}, tmp_path / "inputs.safetensors")
    found = told(file, "--inputs", tmp_path / "inputs.safetensors", "--scoring", "sigmoid")
    (one,) = found["layers"]
    picks = layer.router(x.reshape(-1, 8)).experts
    assert one["load_picks"] == torch.bincount(picks.flatten(), minlength=4).tolist()
    assert one["dead_experts"] == [3] and found["inputs"] == {
        "drawn_at_random": False,
        "rows": 5,
        "tokens_per_row": 20,
    }
    shown = RUN.invoke(app, ["moe", "audit", str(file), "--scoring", "sigmoid"])
    assert "no token picked [3]" in shown.stdout and "drawn at random" in shown.stdout


def test_a_checkpoints_layers_are_audited(tmp_path, monkeypatch):
    """The model comes from `load_checkpoint`; one of its layers always picks the same two experts."""
    torch.manual_seed(2)
    spec = small_llama(16, 2, 2, ffn=24)
    model = CausalLM(replace(spec, vocab=50)) if spec.vocab != 50 else CausalLM(spec)
    for number, block in enumerate(model.blocks):
        router = Router(16, 4, 2, selection_bias=number == 1)
        block.ffn = MoE(router, Experts(4, 16, 8))
    model.blocks[1].ffn.router.selection_bias += torch.tensor([9.0, 0, 0, 9.0])
    monkeypatch.setattr(audit_module, "load_checkpoint", lambda folder: model.eval())
    found = told(tmp_path, "--rows", 4, "--length", 16)
    assert [one["layer"] for one in found["layers"]] == [0, 1]
    assert found["layers"][1]["load_picks"] == [64, 0, 0, 64]
    assert found["layers"][1]["dead_experts"] == [1, 2] and found["rows_alone_gap"] < 1e-5
    assert found["layers"][1]["dropped_share"]["1.0"] == 0.5


def test_what_cannot_be_audited_is_refused(tmp_path, monkeypatch):
    save_file({"a.weight": torch.zeros(3, 3)}, tmp_path / "none.safetensors")
    assert "0 tensors could be a router" in refused(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    assert "no safetensors" in refused(tmp_path / "bad.safetensors")
    torch.save(Experts(2, 4, 4), tmp_path / "object.pt")  # a pickled module would run code
    assert "weights only" in refused(tmp_path / "object.pt")
    save_file({"gate.weight": torch.zeros(4, 8)}, tmp_path / "layer.safetensors")
    save_file({"x": torch.zeros(2, 3, 7)}, tmp_path / "x.safetensors")
    assert "[b t 8]" in refused(tmp_path / "layer.safetensors", "--inputs", tmp_path / "x.safetensors")
    assert "k=5" in refused(tmp_path / "layer.safetensors", "--top-k", 5)
    dense = CausalLM(small_llama(16, 1, 2, ffn=24)).eval()
    monkeypatch.setattr(audit_module, "load_checkpoint", lambda folder: dense)
    assert "layers of experts" in refused(tmp_path)
