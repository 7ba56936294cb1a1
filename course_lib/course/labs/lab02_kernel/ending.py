"""Lab 2, the kernel extra, the ending: a trained model whose attention is the student's
kernel.

The course's small byte model (the standard run's weights) runs a program in two pieces,
as an engine does: first a long one, then the rest as a chunk after the cache. Each head
of each layer is one launch. While it runs, what the kernel loads is counted.

Symbols: t bytes of a piece, s bytes held, d model width, h heads, k head width.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from triton.runtime.interpreter import interpreter_builder

from course_lib.costs.io import stepwise_attention_io, tiled_attention_io
from course_lib.course.labs.lab02_kernel.launching import SUMS, launch
from course_lib.course.live_model.kept import unrounded_model
from course_lib.models.lm import CausalLM

TEXT = (
    "import os\n\n\ndef sizes(path):\n    for name in os.listdir(path):\n"
    "        yield os.path.getsize(name)\n"
)
FIRST = 80  # bytes of the first piece
BLOCKS = 16, 32


@dataclass(frozen=True)
class Loaded:
    """Bytes that kernels load for one head and the first piece, in blocks of `block`.

    `all_keys` is exercise 2's kernel, `causal` exercise 3's, `formula` what
    `tiled_attention_io` says of the latter, `stored` what the stored form reads.
    """

    block: int
    all_keys: int
    causal: int
    formula: int
    stored: int


@dataclass(frozen=True)
class Found:
    """The largest difference of a logit, nats a byte of both, launches, and loads."""

    gap: float
    library: float
    yours: float
    launches: int
    loads: list[Loaded]


class Attending:
    """One head's attention by a kernel, with launches and loads counted."""

    def __init__(self, kernel: Callable, block: int = BLOCKS[0]) -> None:
        self.kernel, self.block = kernel, block
        self.launches, self.loaded = 0, 0

    def __call__(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend: q [t k], k and v [s k]; returns [t k]."""
        (t, width), s = q.shape, len(k)
        q, k, v = (x.contiguous() for x in (q, k, v))
        y, lse = torch.empty_like(q), torch.empty(t, dtype=q.dtype)
        blocks = {"BLOCK_Q": self.block, "BLOCK_K": self.block, "WIDTH": width}
        grid = (-(-t // self.block),)
        with self._counting():
            launch(
                self.kernel, grid, q, k, v, y, lse, t, s, width**-0.5, **blocks | SUMS
            )
        self.launches += 1
        return y

    @contextmanager
    def _counting(self) -> Iterator[None]:
        """Add what is loaded, in bytes of float64."""
        load = interpreter_builder.create_masked_load

        def counted(pointers, mask, *rest):
            self.loaded += 8 * int(mask.data.sum())
            return load(pointers, mask, *rest)

        with patch.object(interpreter_builder, "create_masked_load", counted):
            yield


def worked(flash: Callable, flash_causal: Callable) -> Found:
    """Run one program by the library and by the kernel of exercise 3, in float64, and
    count what both kernels load.
    """
    model = unrounded_model().double().requires_grad_(False)
    tokens = torch.tensor([list(TEXT.encode())])
    attend = Attending(flash_causal)
    yours, library = logits(model, tokens, attend), model(tokens)

    def nats(logits: Tensor) -> float:
        return float(cross_entropy(logits[0, :-1], tokens[0, 1:]))

    gap = float((yours - library).abs().max())
    width = model.blocks[0].mixer.head_dim
    loads = [_loads(flash, flash_causal, width, block) for block in BLOCKS]
    return Found(gap, nats(library), nats(yours), attend.launches, loads)


def logits(model: CausalLM, tokens: Tensor, attend: Callable) -> Tensor:
    """The model's logits, in two pieces: the second attends to what the first kept."""
    kept: list[list[Tensor]] = [[] for _ in model.blocks]
    places = torch.arange(tokens.shape[1])
    pieces = zip(tokens.split(FIRST, 1), places.split(FIRST), strict=True)
    return torch.cat([_piece(model, *piece, kept, attend) for piece in pieces], 1)


def _piece(
    model: CausalLM, tokens: Tensor, places: Tensor, kept: list, attend: Callable
) -> Tensor:
    x = model.embed(tokens, places[None])
    for block, held in zip(model.blocks, kept, strict=True):
        x = x + _attention(block.mixer, block.mixer_norm(x), places, held, attend)
        x = x + block.ffn(block.ffn_norm(x))
    return model.head(model.final_norm(x))


def _attention(
    layer, x: Tensor, places: Tensor, held: list[Tensor], attend: Callable
) -> Tensor:
    """Project, turn, append to what is held, attend head by head, project back."""
    q, k, v = layer.project(x, places[None])
    before = held or [k[:, :0], v[:, :0]]
    held[:] = [torch.cat(pair, 1) for pair in zip(before, (k, v), strict=True)]
    keys, values = held
    shared = q.shape[2] // k.shape[2]
    heads = [
        attend(q[0, :, i], keys[0, :, i // shared], values[0, :, i // shared])
        for i in range(q.shape[2])
    ]
    return layer.wo(torch.cat(heads, -1)[None])


def _loads(flash: Callable, flash_causal: Callable, width: int, block: int) -> Loaded:
    """Count one head's loads for the first piece, in blocks of `block`."""
    q, k, v = torch.zeros(3, FIRST, width, dtype=torch.float64)
    both = Attending(flash, block), Attending(flash_causal, block)
    for attend in both:
        attend(q, k, v)
    sizes = {"queries": FIRST, "keys": FIRST, "key_dim": width, "value_dim": width}
    sizes |= {"bytes_per_element": 8}
    tiled = tiled_attention_io(**sizes, block_q=block, block_k=block, causal=True)
    stored = stepwise_attention_io(**sizes)
    counted = (attend.loaded for attend in both)
    return Loaded(block, *counted, tiled.read_bytes, stored.read_bytes)
