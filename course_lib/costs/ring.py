"""Costs of ring attention: bytes that each device sends, pairs that each computes in
each step, and how many tokens a device needs for the one to hide behind the other.

Symbols: D devices, n tokens on each, h heads, g KV groups, k key width, v value width.
In step i of D, a device holds the keys and values of the device i places to its left.

    layout       tokens of device r           causal pairs in a step
    contiguous   r n .. r n + n - 1           n n, n (n + 1) / 2 or none at all
    striped      r, r + D, r + 2 D, ...       n (n + 1) / 2 or n (n - 1) / 2
    zigzag       halves r and 2 D - 1 - r     n n / 2, in step 0 n / 2 more

The ring goes as fast as its slowest device. Contiguous, the last device has n n pairs
in each step but one: nearly twice what the balanced layouts need.

Terms:
    ring traffic, ring attention bytes: what a device sends while keys and values go
        round -> ring_bytes
    causal balance, straggler of a ring: pairs that each device computes in a step ->
        ring_pairs, ring_steps
    hidden communication, overlap of ring attention: from how many tokens on sending
        takes no longer than computing -> hiding_tokens
"""

from course_lib.costs.arithmetic import Number, check_count, check_positive

LAYOUTS = ("contiguous", "striped", "zigzag")


def ring_bytes(
    *,
    batch: Number,
    tokens: Number,
    kv_heads: Number,
    head_dim: Number,
    value_dim: Number,
    devices: Number,
    bytes_per_element: Number,
    backward: bool = False,
) -> Number:
    """Bytes out of one device, with `tokens` on each.

    *Equation*: forward (D - 1) b n g (k + v) bytes. Backward the keys and values go
        round once more, and their gradients go with them and D steps, till they are at
        home: (2 D - 1) times as many in all.

    Raises: ValueError if a count is no whole number of at least 1.

    >>> sizes = {"batch": 1, "kv_heads": 8, "head_dim": 128, "value_dim": 128}
    >>> ring_bytes(**sizes, tokens=16384, devices=8, bytes_per_element=2) / 2**20
    448.0
    """
    check_count(batch=batch, tokens=tokens, kv_heads=kv_heads, head_dim=head_dim)
    check_count(value_dim=value_dim, devices=devices)
    check_positive(bytes_per_element=bytes_per_element)
    once = batch * tokens * kv_heads * (head_dim + value_dim) * bytes_per_element
    rounds = devices - 1
    if backward:
        return (2 * rounds + 1) * once if devices > 1 else 0
    return rounds * once


def ring_pairs(
    rank: int, source: int, *, tokens: int, devices: int, layout: str
) -> int:
    """Pairs of the queries of one device with the keys of another, under a causal mask.

    Args: `tokens` n on each device, even in a zigzag; `layout` of `LAYOUTS`.
    Raises: ValueError if `layout` is another word, or a zigzag has an odd `tokens`.

    >>> [ring_pairs(1, s, tokens=4, devices=3, layout="contiguous") for s in range(3)]
    [16, 10, 0]
    >>> [ring_pairs(1, s, tokens=4, devices=3, layout="striped") for s in range(3)]
    [10, 10, 6]
    """
    check_count(tokens=tokens, devices=devices)
    check_layout(layout)
    n = tokens
    if layout == "contiguous":
        return n * n if source < rank else n * (n + 1) // 2 if source == rank else 0
    if layout == "striped":
        return n * (n + 1) // 2 if source <= rank else n * (n - 1) // 2
    if n % 2:
        raise ValueError(f"tokens={tokens}: a zigzag has an even number on each device")
    return n * n // 2 + (n // 2 if source == rank else 0)


def ring_steps(tokens: int, devices: int, layout: str) -> int:
    """Pairs that the slowest device computes, summed over the steps: what the ring's
    time is proportional to. Arguments and errors are those of `ring_pairs`.

    >>> [ring_steps(4, 4, layout) for layout in LAYOUTS]
    [58, 40, 34]
    """
    options = {"tokens": tokens, "devices": devices, "layout": layout}
    return sum(
        max(ring_pairs(r, (r - i) % devices, **options) for r in range(devices))
        for i in range(devices)
    )


def hiding_tokens(
    *,
    heads: Number,
    kv_heads: Number,
    bytes_per_element: Number,
    flops_per_s: Number,
    bytes_per_s: Number,
    causal: bool = True,
) -> Number:
    """Tokens on a device from which sending keys and values takes no longer than
    attending to them.

    *Equation*: 2 n n h (k + v) / flops_per_s = n g (k + v) bytes / bytes_per_s, so n =
        g bytes flops_per_s / (2 h bytes_per_s); twice as many where a balanced causal
        mask leaves half of the pairs. Neither k, v, b nor D matters.

    Raises: ValueError if an argument is not above 0.

    >>> link = {"flops_per_s": 400e12, "bytes_per_s": 50e9, "bytes_per_element": 2}
    >>> hiding_tokens(heads=64, kv_heads=8, **link)
    2000.0
    """
    check_positive(heads=heads, kv_heads=kv_heads, bytes_per_element=bytes_per_element)
    check_positive(flops_per_s=flops_per_s, bytes_per_s=bytes_per_s)
    whole = kv_heads * bytes_per_element * flops_per_s / (2 * heads * bytes_per_s)
    return 2 * whole if causal else whole


def check_layout(layout: str) -> None:
    """Refuse a layout that is none of `LAYOUTS`."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout={layout!r}: allowed are {', '.join(LAYOUTS)}")
