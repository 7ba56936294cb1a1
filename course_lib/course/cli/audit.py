"""What `course moe audit` finds out: the picks of a saved model, or of one router.

A folder is read by `load_checkpoint`; a file is safetensors, or what PyTorch saved, of
which nothing but tensors is read.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from course_lib.evaluate.routing_audit import RoutingAudit, audit_picks, rows_alone_gap
from course_lib.layers.feed_forward.router import Router
from course_lib.models.checkpoints.files import load_checkpoint

GATES = (
    "gate.weight",
    "router.weight",
    "classifier.weight",
    "layer.weight",
    "wg.weight",
)
BIASES = ("selection_bias", "e_score_correction_bias")


def audited(
    path: Path,
    inputs: Path | None,
    rows: int,
    length: int,
    top_k: int,
    seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """Audit what is at a path, on a file's inputs or on random ones."""
    given = _tensors(inputs) if inputs else {}
    torch.manual_seed(seed)
    if path.is_dir():
        return of_model(load_checkpoint(path), given.get("tokens"), rows, length)
    router = layer_router(_tensors(path), top_k, **options)
    return of_layer(router, given.get("x"), rows, length)


def _tensors(file: Path) -> dict[str, Tensor]:
    """A file's tensors: safetensors, or what PyTorch saved, without running its code.

    Raises: ValueError if it is neither.
    """
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(file)
        except SafetensorError as error:
            raise ValueError(f"path={str(file)!r}: no safetensors ({error})") from error
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"path={str(file)!r}: no file of weights only") from error
    if not isinstance(found, Mapping):
        raise ValueError(f"path={str(file)!r}: a mapping of tensors is allowed")
    return {name: each for name, each in found.items() if isinstance(each, Tensor)}


def layer_router(tensors: Mapping[str, Tensor], k: int, **options: Any) -> Router:
    """The router of a layer's weights, found by its name.

    Raises: ValueError if no tensor, or more than one, is a router's.
    """
    gates = [
        name
        for name, each in tensors.items()
        if each.ndim == 2
        and name.endswith(GATES)
        and not any(word in name for word in ("shared", "experts.", "noise"))
    ]
    if len(gates) != 1:
        raise ValueError(
            f"path: {len(gates)} tensors could be a router ({', '.join(gates)}); one "
            f"is allowed, [e d], whose name ends in {', '.join(GATES)}"
        )
    weight = tensors[gates[0]].float()
    bias = [each for name, each in tensors.items() if name.endswith(BIASES)]
    router = Router(
        weight.shape[1], weight.shape[0], k, selection_bias=bool(bias), **options
    )
    with torch.no_grad():
        router.gate.weight.copy_(weight)
        if bias:
            router.selection_bias.copy_(bias[0])
    return router.eval()


def of_layer(
    router: Router, x: Tensor | None, rows: int, length: int
) -> dict[str, Any]:
    """Audit one router."""
    drawn = x is None
    x = torch.randn(rows, length, router.d) if drawn else x.float()
    if x.ndim != 3 or x.shape[-1] != router.d:
        raise ValueError(f"x {list(x.shape)}: [b t {router.d}] is allowed")
    with torch.no_grad():
        picks = router(x.reshape(-1, router.d)).experts
    layers = [layer_facts(0, audit_picks(picks.view(*x.shape[:2], -1), router.e))]
    return {"inputs": _inputs(drawn, x.shape), "layers": layers, "rows_alone_gap": None}


def of_model(
    model: torch.nn.Module, tokens: Tensor | None, rows: int, length: int
) -> dict[str, Any]:
    """Audit every layer of experts of a model, and run each row alone, too.

    Raises: ValueError if it has none.
    """
    drawn = tokens is None
    if drawn:
        tokens = torch.randint(model.spec.vocab, (rows, length))
    with torch.no_grad():
        together, found = model(tokens, return_auxiliary=True)
        alone = torch.cat([model(row[None]) for row in tokens])
    picks = {
        at: value for (at, name), value in found.statistics.items() if name == "picks"
    }
    scores = {
        at: value for (at, name), value in found.statistics.items() if name == "scores"
    }
    if not picks:
        raise ValueError("path: a model with layers of experts is allowed")
    layers = [
        layer_facts(at, audit_picks(own.view(*tokens.shape, -1), scores[at].shape[-1]))
        for at, own in picks.items()
    ]
    return {
        "inputs": _inputs(drawn, tokens.shape),
        "layers": layers,
        "rows_alone_gap": rows_alone_gap(together, alone),
    }


def _inputs(drawn: bool, shape: torch.Size) -> dict[str, Any]:
    return {"drawn_at_random": drawn, "rows": shape[0], "tokens_per_row": shape[1]}


def layer_facts(at: int, found: RoutingAudit) -> dict[str, Any]:
    """An audit under stable keys."""
    return {
        "layer": at,
        "experts": len(found.load),
        "load_picks": list(found.load),
        "max_over_mean": found.max_over_mean,
        "even_max_over_mean": found.even_max_over_mean,
        "variation": found.variation,
        "entropy_share": found.entropy,
        "dead_experts": list(found.dead),
        "expected_dead_experts": found.expected_dead,
        "dropped_share": {str(c): share for c, share in found.dropped.items()},
        "batch_dependence_share": {
            str(c): share for c, share in found.dependence.items()
        },
    }
