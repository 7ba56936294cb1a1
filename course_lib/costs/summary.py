"""Cost summary of a config: parameters, FLOPs per token, cache, in one record.

Terms:
    cost summary: parameters, FLOPs per token and cache of a `config.json`, in one
        record -> summary
"""

from collections.abc import Mapping
from dataclasses import dataclass

from course_lib.costs.cache import cache_bytes, cache_bytes_per_token
from course_lib.costs.flops import flops_per_token_split, prefill_flops_split
from course_lib.costs.params import param_count
from course_lib.costs.stored import bits_per_weight, stored_weights
from course_lib.specs.quantisation import quantisation_text
from course_lib.specs.records import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Counts of parameters; FLOPs a token; bytes of cache. `counted` says which class
    they are those of; `beside` and `whole` are a wrapper's other parts, and all of it.

    `embedding_share` of the total stands in tables of words and positions.
    `weight_bytes` are those of the language part as its file stores it; `quantisation`
    says how, in words, and is empty where the file names nothing (16 bits then).
    `decode_flops` and the cache are None where a model writes no text (an encoder, a
    model of images).
    """

    counted: str
    total: int
    active: int
    beside: Mapping[str, int]
    whole: int
    by_part: Mapping[str, int]
    embedding_share: float
    quantisation: str
    weight_bytes: int
    bits_per_weight: float
    tied: bool
    layers: int
    context: int | None
    prefill_flops: float
    prefill_attention_share: float
    decode_flops: int | None
    decode_attention_share: float | None
    cache_bytes_per_token: float | None
    cache_bytes: float | None


def summary(spec: ModelSpec, tokens: int, bytes_per_element: float = 2) -> Summary:
    """Summarise a model at one context.

    Args: `spec` of the model; `tokens` of a prompt, and of the context that a token is
        decoded in (an image has the tokens that its model takes); `bytes_per_element`
        of a cached number.
    Returns: counts; `prefill_flops` a token of the prompt, with logits for its last;
        bytes of one sequence.
    Raises: ValueError if `tokens` is no whole number of at least 1, or
        `bytes_per_element` is not above 0.

    >>> from course_lib.specs.loader import load_spec
    >>> found = summary(load_spec("llama-3-8b"), 8192)
    >>> found.total, found.cache_bytes_per_token, round(found.embedding_share, 3)
    (8030261248, 131072, 0.065)
    """
    count = param_count(spec)
    read = tokens if spec.patches is None else spec.context
    prompt = prefill_flops_split(spec, read)
    writes = spec.head == "lm"
    step = flops_per_token_split(spec, tokens) if writes else None
    return Summary(
        counted=spec.counted,
        total=count.total,
        active=count.active,
        beside=count.beside,
        whole=count.whole,
        by_part=count.by_part,
        embedding_share=count.by_part.get("embedding", 0) / count.total,
        quantisation=quantisation_text(spec.quantisation) if spec.quantisation else "",
        weight_bytes=sum(stored_weights(spec, spec.quantisation).values()),
        bits_per_weight=bits_per_weight(spec),
        tied=spec.embeddings.tied,
        layers=len(spec.layers) + len(spec.encoder),
        context=spec.context,
        prefill_flops=prompt.total / read,
        prefill_attention_share=prompt.attention_share,
        decode_flops=step.total if step else None,
        decode_attention_share=step.attention_share if step else None,
        cache_bytes_per_token=cache_bytes_per_token(
            spec, bytes_per_element=bytes_per_element
        )
        if writes
        else None,
        cache_bytes=cache_bytes(
            spec, batch=1, tokens=tokens, bytes_per_element=bytes_per_element
        )
        if writes
        else None,
    )
