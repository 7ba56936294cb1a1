"""Perplexity of SmolLM2-135M with its KV cache kept in 8 and in 4 bits.

No training. Each chunk of text goes through the model once, with a cache that hands
back what it stored: so every token attends to rounded keys and values only, its own
among them. The same chunks go through every variant, so differences are paired by
chunk.

Recorded for each variant and chunk: the mean loss (nats per token), the mean
Kullback-Leibler divergence from the predictions with the exact cache, the share of
tokens whose most likely next token is the same, and the relative error of keys and of
values in the norm. The vectors are the variant's own: errors of earlier layers are in
the stream, and are not counted again.

The model's weights are a 4-bit file (Q4_1), dequantised. The text is Python's language
reference, which the model may have been trained on; that shifts all variants' losses
alike.
"""

import hashlib
import json
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.contract import LayerCache
from course_lib.layers.caches.float_codes import Fp8, Mxfp4
from course_lib.layers.caches.model_cache import ModelCache
from course_lib.layers.caches.quantised import QuantisedCache, Quantiser
from course_lib.layers.caches.quantised_channels import ChannelCache
from course_lib.models.lm import CausalLM
from course_lib.models.real.load import RealLM, load_real
from course_lib.tasks.corpora import pydoc_topics
from course_lib.train.experiment import Measurement

CHUNKS, TOKENS = 24, 512
LIVE = 2  # chunks that a notebook runs again; their tokens are in the record
EXACT = "float32"
Maker = Callable[..., LayerCache]


def _tokenwise(quantiser, value_quantiser=None) -> Maker:
    def make(*sizes: int) -> LayerCache:
        return QuantisedCache(
            *sizes, quantiser=quantiser, value_quantiser=value_quantiser
        )

    return make


def _integer(bits: int) -> Quantiser:
    return Quantiser(bits, symmetric=False, scale_dtype=torch.float16)


VARIANTS: dict[str, Maker] = {
    EXACT: ContiguousCache,
    "fp8, no scale": _tokenwise(Fp8(scaled=False)),
    "fp8 by token": _tokenwise(Fp8(scale_dtype=torch.float16)),
    "int8 by token": _tokenwise(_integer(8)),
    "int4 by token": _tokenwise(_integer(4)),
    "int4, keys by channel": ChannelCache,
    "FP4 in blocks of 32": _tokenwise(Mxfp4()),
    "FP4 in blocks of 16": _tokenwise(Mxfp4(block=16)),
    "int4 keys, int8 values": _tokenwise(_integer(4), _integer(8)),
    "int8 keys, int4 values": _tokenwise(_integer(8), _integer(4)),
}
"""Variant -> one layer's cache, made from (batch, capacity, kv_heads, head_dim)."""


def chunks(lm: RealLM, count: int = CHUNKS, size: int = TOKENS) -> Int[Tensor, "c t"]:
    """The first `size` tokens of each of `count` topics that have as many, spread over
    the alphabet.
    """
    rows = [lm.tokenizer.encode(text)[:size] for text in pydoc_topics().values()]
    long_enough = [row for row in rows if len(row) == size]
    step = len(long_enough) / count
    return torch.stack([long_enough[int(i * step)] for i in range(count)])


def digest(chunk: Int[Tensor, " t"]) -> str:
    """A short name for exactly these tokens."""
    return hashlib.sha256(json.dumps(chunk.tolist()).encode()).hexdigest()[:16]


class Watched:
    """A layer's cache that also sums the squares of its rounding errors."""

    def __init__(self, cache: LayerCache) -> None:
        self.cache, self.errors = cache, []

    @property
    def length(self) -> int:
        return self.cache.length

    def update(self, keys, values, positions):
        found = self.cache.update(keys, values, positions)
        pairs = zip((keys, values), found, strict=False)
        self.errors.append(
            [(float((x - y).square().sum()), float(x.square().sum())) for x, y in pairs]
        )
        return found


@torch.no_grad()
def predictions(
    model: CausalLM, chunk: Int[Tensor, " t"], make: Maker
) -> tuple[Tensor, list[float], int]:
    """Log-probabilities [t - 1, vocab] of each next token, the relative errors of keys
    and of values, and the bytes that the cache holds.
    """
    caches = []
    for layer in model.spec.layers:
        mixer = layer.mixer
        cache = make(1, len(chunk) - 1, mixer.kv_heads, mixer.head_dim)
        caches.append(Watched(cache))
    logits = model(chunk[None, :-1], cache=ModelCache(caches))[0]
    sums = torch.tensor([watched.errors[0] for watched in caches]).sum(0)  # [2 2]
    relative = (sums[:, 0] / sums[:, 1]).sqrt().tolist()
    held = sum(watched.cache.nbytes for watched in caches)
    return logits.log_softmax(-1), relative, held


def measure(lm: RealLM, chunk: Int[Tensor, " t"], names: Sequence[str]) -> dict:
    """One chunk through the given variants, the exact cache first."""
    exact, found, targets = None, {}, chunk[1:, None]
    for name in (EXACT, *(n for n in names if n != EXACT)):
        got, (keys, values), held = predictions(lm.model, chunk, VARIANTS[name])
        exact = got if exact is None else exact
        found[name] = {
            "loss": -float(got.gather(1, targets).mean()),
            "divergence": float((exact.exp() * (exact - got)).sum(-1).mean()),
            "same_first": float((exact.argmax(-1) == got.argmax(-1)).float().mean()),
            "key_error": keys,
            "value_error": values,
            "bytes": held,
        }
    return found


def measured(count: int = CHUNKS, size: int = TOKENS) -> dict:
    """All chunks through all variants: per variant and field, one number a chunk."""
    lm = load_real("smollm2-135m")
    rows = chunks(lm, count, size)
    found = [measure(lm, chunk, list(VARIANTS)) for chunk in rows]
    variants = {
        name: {field: [one[name][field] for one in found] for field in found[0][name]}
        for name in VARIANTS
    }
    for column in variants.values():
        column["bytes"] = column["bytes"][0]
    return {
        "model": lm.name,
        "precision": lm.precision,
        "text": "Python's language reference (pydoc_data.topics)",
        "tokens_per_chunk": size,
        "scored_tokens": count * (size - 1),
        "chunks": [digest(chunk) for chunk in rows],
        "tokens": rows[:LIVE].tolist(),
        "variants": variants,
    }


experiment = Measurement(
    asks="How much worse does a model predict with its KV cache in 8 or in 4 bits?",
    measure=measured,
)
