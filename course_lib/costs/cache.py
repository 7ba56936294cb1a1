"""KV cache bytes: keys and values, latents and recurrent states that a model keeps
between two decode steps.

Symbols: b batch, s cached tokens, w window, g KV groups, k head width, l layers. In
2 B n G d_k b L, B is the batch, n the tokens, and b the bytes per element.

What a layer keeps for a token, or in a state, is said by its mixer's file in `mixers`;
this module sums over the layers.

Two conventions have to be named, since programs differ in them:

- A window of w lets a query see w keys, its own among them. Between steps only w - 1 of
  them must stay; `transformers` keeps exactly those. A ring buffer overwrites in place
  and holds w slots. `ring=True` counts the ring.
- Latent attention may keep the latent and the rotary key (r + p values for all heads)
  or the keys and values multiplied out of them (h (n + p + v), for key widths n and p).
  `transformers` 5 keeps the latent. `latent=False` counts the other.

Counted is the content. Pages half filled, alignment and slots reserved ahead come on
top; `costs.reserved` gives what an engine reserves for windows beside layers that keep
every token.

Terms:
    cache bytes, KV cache size: 2 B n L G d_k b for keys and values; other layers keep
        latents, windows or states -> kv_cache_bytes, cache_bytes
    bytes per token: what one more token adds to the cache -> cache_bytes_per_token
    fixed bytes per request, cache intercept and slope: full windows and recurrent
        states, beside what every further token adds -> cache_line
    score matrix: the [t s] scores of a head, if they were written to memory ->
        score_matrix_bytes
"""

from dataclasses import dataclass

from course_lib.costs.arithmetic import Number, check_count, check_positive, smaller
from course_lib.costs.mixers.attention import key_value_elements
from course_lib.costs.mixers.dispatch import state_elements, token_elements
from course_lib.costs.sides import side_inputs
from course_lib.costs.stack import unique_layers
from course_lib.specs.records import LayerSpec, Mixer, ModelSpec, window_of


def kv_cache_bytes(
    *,
    batch: Number,
    tokens: Number,
    kv_heads: Number,
    head_dim: Number,
    layers: Number,
    bytes_per_element: Number,
) -> Number:
    """Bytes of keys and values of a model whose layers are all alike.

    *Equation*: 2 b s g k l bytes_per_element; the 2 is one key and one value.

    Args: `batch` sequences; `tokens` cached in each; `kv_heads` g; `head_dim` k, in
        elements; `layers`; `bytes_per_element` 2 for bf16, 1 for int8, 0.5 for int4.
        Symbols are welcome.
    Returns: bytes.
    Raises: ValueError if a count is no whole number of at least 1, or
        `bytes_per_element` is not above 0.
    Source: Pope et al. 2022, arXiv 2211.05102, section 3.3; Ainslie et al. 2023, arXiv
        2305.13245, for g.

    >>> shape = {"kv_heads": 8, "head_dim": 128, "layers": 80, "bytes_per_element": 2}
    >>> kv_cache_bytes(batch=1, tokens=32768, **shape) / 2**30
    10.0
    """
    check_count(
        batch=batch, tokens=tokens, kv_heads=kv_heads, head_dim=head_dim, layers=layers
    )
    check_positive(bytes_per_element=bytes_per_element)
    return 2 * batch * tokens * kv_heads * head_dim * layers * bytes_per_element


def score_matrix_bytes(
    tokens: Number, bytes_per_element: Number = 2, heads: Number = 1, batch: Number = 1
) -> Number:
    """Bytes of the score matrices of one layer, if they were written to memory.

    *Equation*: b h t^2 bytes_per_element.

    Args: `tokens` t, both queries and keys; `bytes_per_element`; `heads`; `batch`.
    Returns: bytes.
    Raises: ValueError if a count is no whole number of at least 1, or
        `bytes_per_element` is not above 0.
    Source: Dao et al. 2022, FlashAttention, arXiv 2205.14135, which never writes them.

    >>> score_matrix_bytes(131072) / 2**30
    32.0
    """
    check_count(tokens=tokens, heads=heads, batch=batch)
    check_positive(bytes_per_element=bytes_per_element)
    return batch * heads * tokens * tokens * bytes_per_element


def cached_tokens(mixer: Mixer, tokens: Number, *, ring: bool = False) -> Number:
    """Tokens of which one layer keeps something after `tokens` tokens.

    *Equation*: s, or min(s, w - 1) under a window of w, or min(s, w) in a ring buffer.

    Args: `mixer` the spec; `tokens` s; `ring` whether a window is held as a ring of w
        slots.
    Returns: tokens.
    """
    window = window_of(mixer)
    if window is None:
        return tokens
    return smaller(tokens, window if ring else window - 1)


def decoding_layers(spec: ModelSpec) -> list[tuple[LayerSpec, Number]]:
    """The kinds of layers that keep something between two steps, with their numbers:
    none of a model that writes no tokens.
    """
    return list(unique_layers(spec.layers)) if spec.head == "lm" else []


def cache_bytes(
    spec: ModelSpec,
    *,
    batch: int,
    tokens: int,
    bytes_per_element: float = 2,
    source_tokens: int | None = None,
    latent: bool = True,
    ring: bool = False,
    state_bytes_per_element: float = 4,
) -> int | float:
    """Bytes a model's cache holds after `tokens` tokens of each of `batch` sequences.

    *Equation*: b * sum over layers of (token_elements * cached_tokens + cross g (k + v)
    source_tokens + last inputs) * bytes_per_element, and b * accumulators *
    state_bytes_per_element.

    Args: `batch` sequences; `tokens` of the (decoder) sequence; `bytes_per_element` of
        keys, values, latents and last inputs; `source_tokens` of an encoder-decoder's
        input (default: `tokens`); `latent`, `ring` as in the module's header;
        `state_bytes_per_element` of recurrent accumulators, which are kept in float32.
    Returns: bytes; 0 where nothing is decoded: no layer is causal (an encoder), or the
        model ends in no language-model head (a classifier, a backbone, CLIP's texts).
    Raises: ValueError if a count is no whole number of at least 1, or a byte width is
        not above 0.
    Source: per mechanism, see `course_lib.costs.mixers`.
    """
    source = tokens if source_tokens is None else source_tokens
    check_count(batch=batch, tokens=tokens, source_tokens=source)
    check_positive(
        bytes_per_element=bytes_per_element,
        state_bytes_per_element=state_bytes_per_element,
    )
    stored = accumulated = 0
    for layer, count in decoding_layers(spec):
        accumulators, inputs = state_elements(layer.mixer, spec.width)
        kept = token_elements(layer.mixer, latent=latent) * cached_tokens(
            layer.mixer, tokens, ring=ring
        )
        cross = key_value_elements(layer.cross) if layer.cross else 0
        inputs += side_inputs(layer.sides)
        stored += count * (kept + cross * source + inputs)
        accumulated += count * accumulators
    return batch * (stored * bytes_per_element + accumulated * state_bytes_per_element)


def cache_bytes_per_token(
    spec: ModelSpec, *, bytes_per_element: float = 2, latent: bool = True
) -> int | float:
    """Bytes by which one more token grows the cache, while every window still has room.

    *Equation*: sum over layers of token_elements * bytes_per_element.

    Args: as for `cache_bytes`.
    Returns: bytes per token of one sequence.
    Raises: ValueError if `bytes_per_element` is not above 0.
    """
    check_positive(bytes_per_element=bytes_per_element)
    elements = sum(
        count * token_elements(layer.mixer, latent=latent)
        for layer, count in decoding_layers(spec)
    )
    return elements * bytes_per_element


@dataclass(frozen=True)
class CacheLine:
    """The cache of one long request: a fixed part, and a slope.

    Attributes:
        fixed_bytes: windows that are full, recurrent states, and the keys and values of
            a source text.
        bytes_per_token: of the layers that keep every token.
        from_tokens: the line holds from so many tokens on: the widest window.
    """

    fixed_bytes: int | float
    bytes_per_token: int | float
    from_tokens: int

    def at(self, tokens: int) -> int | float:
        """Bytes of one request of `tokens` tokens; a ValueError below `from_tokens`."""
        if tokens < self.from_tokens:
            raise ValueError(
                f"tokens={tokens}: allowed are {self.from_tokens} and more"
            )
        return self.fixed_bytes + self.bytes_per_token * tokens


def cache_line(
    spec: ModelSpec,
    *,
    bytes_per_element: float = 2,
    source_tokens: int | None = None,
    state_bytes_per_element: float = 4,
) -> CacheLine:
    """The two numbers of a model's cache: bytes per request, and bytes per token.

    *Equation*: bytes = fixed + slope * s for s >= the widest window w, with slope the
    token_elements of the layers without a window, and fixed the sum over the others of
    token_elements * w, all states, and cross g (k + v) source_tokens.

    Args: as for `cache_bytes` with `ring=True` and `batch=1`; `source_tokens` must be
        given for an encoder-decoder, whose source has a length of its own.
    Returns: both numbers, in bytes.
    Raises: ValueError if a byte width is not above 0, or an encoder-decoder comes
        without `source_tokens`.
    Source: Kwon et al. 2023, arXiv 2309.06180, for what a request holds.

    >>> from course_lib.specs.loader import load_spec
    >>> line = cache_line(load_spec("mistral-7b-v0.1"))  # every layer has a window
    >>> line.fixed_bytes / 2**20, line.bytes_per_token, line.from_tokens
    (512.0, 0, 4096)
    """
    crosses = any(layer.cross for layer, _ in unique_layers(spec.layers))
    if crosses and source_tokens is None:
        raise ValueError(
            "source_tokens=None: an encoder-decoder needs the length of its source"
        )
    windows = [window_of(layer.mixer) for layer, _ in unique_layers(spec.layers)]
    start = max((w for w in windows if w is not None), default=1)
    widths = {"bytes_per_element": bytes_per_element}
    widths["state_bytes_per_element"] = state_bytes_per_element
    source = source_tokens or 1
    first, second = (
        cache_bytes(spec, batch=1, tokens=n, source_tokens=source, ring=True, **widths)
        for n in (start, start + 1)
    )
    return CacheLine(first - (second - first) * start, second - first, start)
