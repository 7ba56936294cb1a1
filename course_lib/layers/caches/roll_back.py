"""Roll a cache back: forget its newest tokens, as after a draft that was refused.

A cache that keeps every token forgets by counting back: what lies beyond its length is
overwritten. A ring of a window has lost the tokens that the forgotten ones pushed out,
and a recurrent state has summed them up; neither can go back.

Terms:
    rolling back a cache, cache crop: forget the newest tokens of a cache -> roll_back
"""

from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.layers.caches.contract import Cache
from course_lib.layers.caches.latent import LatentCache
from course_lib.layers.caches.model_cache import ModelCache


def roll_back(cache: Cache | ModelCache, length: int) -> None:
    """Forget all but the first `length` tokens of each row.

    Raises:
        ValueError: the cache holds fewer, or is of a kind that cannot go back.

    >>> cache = ContiguousCache(batch=1, capacity=4, kv_heads=1, head_dim=2)
    >>> cache.length = 3
    >>> roll_back(cache, 1)
    >>> cache.length
    1
    """
    if isinstance(cache, ModelCache):
        for layer in cache:
            roll_back(layer, length)
        return
    if not isinstance(cache, ContiguousCache | LatentCache):
        raise ValueError(
            f"cache={type(cache).__name__}: ContiguousCache and LatentCache can be "
            "rolled back"
        )
    if not 0 <= length <= cache.length:
        raise ValueError(f"length={length}: allowed are 0 to {cache.length}")
    cache.length = length
