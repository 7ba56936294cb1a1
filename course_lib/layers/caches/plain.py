"""Caches in their plain form: Python lists, one new token at a time.

The classes beside this file keep whole batches in tensors, check what they are given
and take several tokens in one call. These functions do the same with nothing left out
and nothing added, so that they can be read first. Tests equate the two.

Symbols: d model width, h query heads, g KV heads, s cached tokens, k key width, v value
width, W window.

Terms:
    plain KV cache: two lists, of keys and of values, to which each token appends ->
        attend_one_token
"""

from torch import Tensor, stack

__all__ = ["append_to_pages", "append_to_ring", "attend_in_groups", "attend_one_token"]


def attend_one_token(
    x: Tensor, w_q: Tensor, w_k: Tensor, w_v: Tensor, keys: list, values: list
) -> Tensor:
    """Attention of one new token in one head. `keys` and `values` are the cache.

    *Equation*: o_t = sum over s <= t of softmax(q_t . k_s / sqrt(k)) v_s

    Args: `x` [d], the new token; `w_q`, `w_k` [k d], `w_v` [v d]; the earlier tokens'
        keys and values, to which this token's are appended.
    Returns: [v].

    >>> import torch
    >>> one, keys, values = torch.eye(1), [], []
    >>> for x in (1.0, 1.0):
    ...     out = attend_one_token(torch.tensor([x]), one, one, one, keys, values)
    >>> out.tolist(), len(keys)
    ([1.0], 2)
    """
    query, key, value = w_q @ x, w_k @ x, w_v @ x
    keys.append(key)
    values.append(value)
    scores = stack(keys) @ query / len(query) ** 0.5
    return scores.softmax(dim=0) @ stack(values)


def attend_in_groups(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of one new token whose h query heads share g KV heads.

    Args: `queries` [h k]; `keys` [g s k] and `values` [g s v], the cache.
    Returns: [h v].

    >>> import torch
    >>> q, k = torch.zeros(4, 2), torch.zeros(2, 1, 2)
    >>> v = torch.tensor([0.0, 8.0]).reshape(2, 1, 1)
    >>> attend_in_groups(q, k, v).flatten().tolist()
    [0.0, 0.0, 8.0, 8.0]
    """
    heads_per_group, rows = len(queries) // len(keys), []
    for head, query in enumerate(queries):
        group = head // heads_per_group
        scores = keys[group] @ query / len(query) ** 0.5
        rows.append(scores.softmax(dim=0) @ values[group])
    return stack(rows)


def append_to_ring(slots: list, position: int, entry: object) -> None:
    """Put the token at `position` into a ring of `len(slots)` slots, W.

    It overwrites position - W, the token that has just left the window.

    >>> slots = [None] * 4
    >>> for position in range(6):
    ...     append_to_ring(slots, position, position)
    >>> slots
    [4, 5, 2, 3]
    """
    slots[position % len(slots)] = entry


def append_to_pages(
    entry: object, length: int, table: list, pool: list, free: list, owners: list
) -> None:
    """Put the next token of a request of `length` tokens into its pages.

    Args: `table`, the request's blocks in order; `pool`, all blocks, each a list of
        slots; `free`, numbers of blocks that nobody holds; `owners`, how many tables
        point at each block.

    >>> pool, free, owners = [[None, None] for _ in range(3)], [2, 1, 0], [0, 0, 0]
    >>> table = []
    >>> for length in range(3):
    ...     append_to_pages(length, length, table, pool, free, owners)
    >>> table, pool[:2]
    ([0, 1], [[0, 1], [2, None]])
    """
    index, offset = divmod(length, len(pool[0]))
    if index == len(table):  # the last block is full: take a free one
        table.append(free.pop())
        owners[table[index]] = 1
    elif owners[table[index]] > 1:  # somebody else reads it: copy on write
        copy = free.pop()
        pool[copy] = list(pool[table[index]])
        owners[table[index]] -= 1
        owners[copy] = 1
        table[index] = copy
    pool[table[index]][offset] = entry
