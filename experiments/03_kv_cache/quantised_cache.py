"""Perplexity of SmolLM2-135M with its KV cache kept in 8 and in 4 bits.

No training. The same chunks of text go through the model once with each kind of cache,
so that differences are paired by chunk; `course_lib.evaluate.cache_effect` says what is
measured.

The model's weights are a 4-bit file (Q4_1), dequantised. The text is Python's language
reference, which the model may have been trained on; that shifts all variants' losses
alike.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict

import torch
from jaxtyping import Int
from torch import Tensor

from course_lib.evaluate.cache_effect import MakeCache, cache_effects
from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.contract import Codec
from course_lib.layers.caches.float_codes import Fp8, Mxfp4
from course_lib.layers.caches.quantised import QuantisedCache, Quantiser
from course_lib.layers.caches.quantised_channels import ChannelCache
from course_lib.models.real.load import load_real
from course_lib.tasks.corpora import pydoc_topics
from course_lib.train.experiment import Measurement

CHUNKS, TOKENS = 24, 512
LIVE = 2  # chunks whose tokens are in the record, for a notebook to run again


def by_token(keys: Codec, values: Codec | None = None) -> MakeCache:
    """A cache with one scale, or block of scales, for each token's head."""
    return lambda *sizes: QuantisedCache(*sizes, quantiser=keys, value_quantiser=values)


def integer(bits: int) -> Quantiser:
    """Codes from the minimum, scale and minimum in float16."""
    return Quantiser(bits, symmetric=False, scale_dtype=torch.float16)


KINDS: dict[str, Callable] = {
    "float32": ContiguousCache,
    "fp8, no scale": by_token(Fp8(scaled=False)),
    "fp8 by token": by_token(Fp8(scale_dtype=torch.float16)),
    "int8 by token": by_token(integer(8)),
    "int4 by token": by_token(integer(4)),
    "int4, keys by channel": ChannelCache,
    "FP4 in blocks of 32": by_token(Mxfp4()),
    "FP4 in blocks of 16": by_token(Mxfp4(block=16)),
    "int4 keys, int8 values": by_token(integer(4), integer(8)),
    "int8 keys, int4 values": by_token(integer(8), integer(4)),
}


def digest(chunk: Int[Tensor, " t"]) -> str:
    """A short name for exactly these tokens."""
    return hashlib.sha256(json.dumps(chunk.tolist()).encode()).hexdigest()[:16]


def measure() -> dict:
    """Every chunk through every kind of cache: for each field one number a chunk.

    A chunk is the start of a topic that is long enough; topics are spread over the
    alphabet.
    """
    lm = load_real("smollm2-135m")
    rows = [lm.tokenizer.encode(text)[:TOKENS] for text in pydoc_topics().values()]
    long_enough = [row for row in rows if len(row) == TOKENS]
    step = len(long_enough) / CHUNKS
    chunks = [long_enough[int(i * step)] for i in range(CHUNKS)]
    found = [cache_effects(lm.model, chunk, KINDS) for chunk in chunks]
    variants = {
        name: {
            field: [asdict(one[name])[field] for one in found]
            for field in asdict(found[0][name])
        }
        for name in KINDS
    }
    return {
        "model": lm.name,
        "precision": lm.precision,
        "text": "Python's language reference (pydoc_data.topics)",
        "tokens_per_chunk": TOKENS,
        "scored_tokens": CHUNKS * (TOKENS - 1),
        "chunks": [digest(chunk) for chunk in chunks],
        "tokens": [chunk.tolist() for chunk in chunks[:LIVE]],
        "variants": variants,
    }


experiment = Measurement(
    asks="How much worse does a model predict with its KV cache in 8 or in 4 bits?",
    measure=measure,
)
