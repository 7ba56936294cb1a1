"""What requests keep in a cache, and what an engine's pages reserve for them where
layers with a window stand beside full ones.

Terms:
    reserved cache, uniform pages: what an engine with pages of one size for all layers
        keeps free for windows in a hybrid -> reserved_cache
"""

from dataclasses import dataclass

from course_lib.costs.cache import cache_bytes, cached_tokens
from course_lib.costs.mixers.dispatch import token_elements
from course_lib.costs.stack import unique_layers
from course_lib.specs.records import ModelSpec, window_of


@dataclass(frozen=True)
class ReservedCache:
    """Bytes that requests need, and bytes that an engine's pages reserve for them.

    Attributes:
        kept_bytes: windows at their window, as `cache_bytes` with `ring=True` counts.
        reserved_bytes: the same, with windowed layers given pages for the whole
            context where full layers stand beside them.
    """

    kept_bytes: int | float
    reserved_bytes: int | float

    @property
    def added_share(self) -> float:
        """What the pages add, as a share of what they reserve; 0 where it is
        nothing.
        """
        if not self.reserved_bytes:
            return 0.0
        return 1 - self.kept_bytes / self.reserved_bytes


def reserved_cache(
    spec: ModelSpec,
    *,
    batch: int,
    tokens: int,
    bytes_per_element: float = 2,
    source_tokens: int | None = None,
    state_bytes_per_element: float = 4,
) -> ReservedCache:
    """What `batch` requests keep, and what an engine reserves whose pages are of one
    size for all layers.

    In a hybrid of windows and full layers such an engine gives every layer pages for
    all `tokens`. A model whose layers all have a window keeps to the window, and so
    does an engine with a pool of pages for each kind of layer. Which of the two an
    engine is, its start-up log says (vLLM: whether the hybrid KV cache manager is on).

    Args: as for `cache_bytes`.
    Returns: both numbers, in bytes.
    Raises: ValueError as `cache_bytes` does.
    Source: alvarobartt/hf-mem, pull request 70 (gpt-oss-20b, 32 requests of 8,192
        tokens: 6.09 and 12.00 GiB).

    >>> from course_lib.specs.loader import load_spec
    >>> found = reserved_cache(load_spec("gpt-oss-20b"), batch=32, tokens=8192)
    >>> [round(n / 2**30, 2) for n in (found.kept_bytes, found.reserved_bytes)]
    [6.09, 12.0]
    >>> round(found.added_share, 4)
    0.4922
    """
    options = {
        "batch": batch,
        "tokens": tokens,
        "bytes_per_element": bytes_per_element,
        "source_tokens": source_tokens,
        "state_bytes_per_element": state_bytes_per_element,
    }
    kept = cache_bytes(spec, ring=True, **options)
    mixers = [layer.mixer for layer, _ in unique_layers(spec.layers)]
    caching = [mixer for mixer in mixers if token_elements(mixer)]
    if all(window_of(mixer) for mixer in caching):
        return ReservedCache(kept, kept)
    added = sum(
        count
        * token_elements(layer.mixer)
        * (tokens - cached_tokens(layer.mixer, tokens, ring=True))
        for layer, count in unique_layers(spec.layers)
    )
    return ReservedCache(kept, kept + batch * added * bytes_per_element)
