"""IO complexity of attention: bytes moved between a device's large memory (HBM) and its
small one (SRAM).

Symbols: b batch, t queries, s keys, h heads, g KV groups, k key width, v value width, M
elements of SRAM. FlashAttention's paper writes N for t = s, d for k = v, B_r and B_c
for the rows and columns of a tile.

Written out step by step, attention sends the [t s] scores to memory and back twice:
Theta(N d + N^2). In tiles they stay in SRAM, and only keys and values are read again,
once for each block of queries. A block has about M / d rows, so that is Theta(N^2 d^2 /
M), fewer bytes whenever d^2 < M. What is counted is the loop of
`course_lib.layers.attention.flash`; its `HBMTraffic` counts the same bytes as it runs.

Terms:
    IO complexity, attention IO, SRAM: bytes between large and small memory, stepwise
        and in tiles -> stepwise_attention_io, tiled_attention_io
"""

from dataclasses import dataclass

from course_lib.costs.arithmetic import (
    Number,
    check_at_most,
    check_count,
    check_positive,
)


@dataclass(frozen=True, kw_only=True)
class AttentionIO:
    """Bytes read from and written to the large memory."""

    read_bytes: Number
    written_bytes: Number

    @property
    def total_bytes(self) -> Number:
        """Both together."""
        return self.read_bytes + self.written_bytes


def stepwise_attention_io(
    *,
    queries: Number,
    keys: Number,
    key_dim: Number,
    value_dim: Number,
    heads: Number = 1,
    kv_heads: Number | None = None,
    batch: Number = 1,
    bytes_per_element: Number = 2,
) -> AttentionIO:
    """Bytes moved when each of the three steps reads its input from memory and writes
    its output there.

    *Equation*, in elements of one head: S = Q K^T reads t k + s k, writes t s; A =
    softmax(S) reads and writes t s; Y = A V reads t s + s v, writes t v. Together t (k
    + v) + s (k + v) + 4 t s.

    Args: `queries` t; `keys` s; `key_dim` k; `value_dim` v; `heads` h; `kv_heads` g
        (default h), whose keys and values are read once for all heads of a group;
        `batch`; `bytes_per_element`. Symbols are welcome.
    Returns: bytes, with no mask read.
    Raises: ValueError if a count is no whole number of at least 1, or
        `bytes_per_element` is not above 0.
    Source: Dao et al. 2022, algorithm 0 and theorem 2, arXiv 2205.14135.

    >>> io = stepwise_attention_io(queries=1024, keys=1024, key_dim=64, value_dim=64)
    >>> io.total_bytes / 2**20
    8.5
    """
    groups = heads if kv_heads is None else kv_heads
    _check(queries, keys, key_dim, value_dim, heads, groups, batch, bytes_per_element)
    scores, once = heads * queries * keys, batch * bytes_per_element
    inputs = heads * queries * key_dim + groups * keys * (key_dim + value_dim)
    return AttentionIO(
        read_bytes=once * (inputs + 2 * scores),
        written_bytes=once * (2 * scores + heads * queries * value_dim),
    )


def tiled_attention_io(
    *,
    queries: int,
    keys: int,
    key_dim: int,
    value_dim: int,
    block_q: int,
    block_k: int,
    heads: int = 1,
    kv_heads: int | None = None,
    batch: int = 1,
    causal: bool = False,
    bytes_per_element: float = 2,
    statistic_bytes: float = 4,
) -> AttentionIO:
    """Bytes that the forward loop of tiled attention moves: block after block of
    queries against all keys.

    *Equation*: reads h t k once and g s (k + v) once for each of the ceil(t / block_q)
    blocks of queries; writes h t v, and h t log-sum-exps for the backward pass. Under a
    causal mask a block of queries stops after the tile in which its last one stands.

    Args: as in `stepwise_attention_io`; `block_q` positions of queries (of all heads of
        a group) and `block_k` keys in a tile; `causal` with t = s; `statistic_bytes` of
        a log-sum-exp.
    Returns: bytes, exactly those `flash_attention` loads and stores.
    Raises: ValueError if a count is no whole number of at least 1, a byte width is not
        above 0, or `causal` with t other than s.
    Source: Dao 2023, algorithm 1, arXiv 2307.08691. With `largest_block_q` this is
        theorem 2 of Dao et al. 2022, arXiv 2205.14135.
    Differs from source: Dao et al. 2022 walk over keys in the outer loop, and read and
        write unfinished outputs once for each block of keys. The order here, of their
        second paper, writes each once.

    >>> shape = {"queries": 1024, "keys": 1024, "key_dim": 64, "value_dim": 64}
    >>> tiled_attention_io(**shape, block_q=256, block_k=64).total_bytes / 2**20
    1.25390625
    """
    groups = heads if kv_heads is None else kv_heads
    _check(queries, keys, key_dim, value_dim, heads, groups, batch, bytes_per_element)
    check_count(block_q=block_q, block_k=block_k)
    check_positive(statistic_bytes=statistic_bytes)
    if causal and queries != keys:
        raise ValueError(
            f"causal with queries={queries}, keys={keys}: allowed are as many of both"
        )
    ends = [min(start + block_q, queries) for start in range(0, queries, block_q)]
    keys_read = sum(
        min(-(-end // block_k) * block_k, keys) if causal else keys for end in ends
    )
    read = heads * queries * key_dim + groups * keys_read * (key_dim + value_dim)
    written = heads * queries * (value_dim * bytes_per_element + statistic_bytes)
    return AttentionIO(
        read_bytes=batch * read * bytes_per_element, written_bytes=batch * written
    )


def largest_block_q(
    sram_elements: int, *, key_dim: int, value_dim: int, block_k: int = 64
) -> int:
    """The most query rows for which a tile and all it works on fit into M elements of
    SRAM.

    *Equation*: rows of q and y, tiles of K and V, the scores, and a maximum and a sum a
    row: block_q (k + v + block_k + 2) + block_k (k + v) <= M.

    Args: `sram_elements` M; `key_dim`, `value_dim` k and v; `block_k` keys in a tile.
    Returns: rows; with heads that share keys, rows of all of them together.
    Raises: ValueError if a count is no whole number of at least 1, or not even one row
        fits.

    >>> largest_block_q(48 * 1024, key_dim=64, value_dim=64)
    211
    """
    check_count(
        sram_elements=sram_elements,
        key_dim=key_dim,
        value_dim=value_dim,
        block_k=block_k,
    )
    width = key_dim + value_dim
    check_at_most(
        "sram_elements", sram_elements, one_row=(width + block_k + 2) + block_k * width
    )
    return (sram_elements - block_k * width) // (width + block_k + 2)


def _check(
    queries, keys, key_dim, value_dim, heads, kv_heads, batch, bytes_per_element
) -> None:
    check_count(
        queries=queries, keys=keys, key_dim=key_dim, value_dim=value_dim, batch=batch
    )
    check_count(heads=heads, kv_heads=kv_heads)
    check_positive(bytes_per_element=bytes_per_element)
