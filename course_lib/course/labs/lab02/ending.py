"""Lab 2, the ending: a trained model's block made of the student's functions.

The course's small byte model (the standard run's weights) runs once as the library runs
it and once with the student's rotary turn, attention, mask and SwiGLU in every layer;
and the student's test for leaks looks at the whole.

Symbols: n bytes, d model width, h heads, k head width.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.course.live_model.kept import unrounded_model
from course_lib.models.lm import CausalLM

TEXT = "import os\n\ndef size(path):\n    return os.stat(path).st_size\n"


@dataclass(frozen=True)
class Compared:
    """The largest difference of a logit, and nats a byte of both."""

    gap: float
    library: float
    yours: float
    leaks: int


def compared(
    causal_mask: Callable,
    scaled_attention: Callable,
    rotate: Callable,
    swiglu: Callable,
    leaks: Callable,
) -> Compared:
    """Run one program through both, in float64."""
    model = unrounded_model().double().requires_grad_(False)
    tokens = torch.tensor([list(TEXT.encode())])
    parts = causal_mask, scaled_attention, rotate, swiglu
    yours = logits(model, tokens, *parts)
    library = model(tokens)

    def nats(logits: Tensor) -> float:
        found = torch.nn.functional.cross_entropy(logits[0, :-1], tokens[0, 1:])
        return float(found)

    def stream(x: Tensor) -> Tensor:
        return _blocks(model, x, *parts)

    few = model.embed(tokens[:, :8], torch.arange(8)[None])
    found = len(leaks(stream, few))
    gap = float((yours - library).abs().max())
    return Compared(gap, nats(library), nats(yours), found)


def logits(model: CausalLM, tokens: Tensor, *parts: Callable) -> Tensor:
    """The model's logits with the student's parts in every attention layer."""
    positions = torch.arange(tokens.shape[1])[None]
    x = _blocks(model, model.embed(tokens, positions), *parts)
    return model.head(model.final_norm(x))


def _blocks(model: CausalLM, x: Tensor, *parts: Callable) -> Tensor:
    *attending, swiglu = parts
    for block in model.blocks:
        x = x + _attention(block.mixer, block.mixer_norm(x), *attending)
        weights = (getattr(block.ffn, name).weight for name in ("gate", "up", "down"))
        x = x + swiglu(block.ffn_norm(x), *weights)
    return x


def _attention(
    layer,
    x: Tensor,
    causal_mask: Callable,
    scaled_attention: Callable,
    rotate: Callable,
) -> Tensor:
    """Project, turn, attend, join, project back."""
    places = torch.arange(x.shape[1])
    q, k, v = (
        part(x).unflatten(-1, (-1, layer.head_dim))
        for part in (layer.wq, layer.wk, layer.wv)
    )
    theta = layer.rope.theta
    q, k = (torch.stack([rotate(row, places, theta) for row in y]) for y in (q, k))
    mask = causal_mask(places, places).expand(len(x), -1, -1)
    y, _ = scaled_attention(q, k, v, mask)
    return layer.wo(y.flatten(2))
