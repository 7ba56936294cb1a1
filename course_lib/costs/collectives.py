"""Collectives (all-reduce, all-to-all) and point-to-point sends, in bytes and seconds:
the alpha-beta model of a link.

Symbols: D devices, n bytes of the tensor, B bytes per second out of one device in one
direction, a seconds per hop. A message takes a + n / B.

                       bytes out of one device   hops in a row    assumes
    ring all-reduce    2 (D - 1) / D n           2 (D - 1)        one neighbour each
    tree all-reduce    2 n                       2 ceil(log2 D)   two trees, pipelined
    all-to-all         (1 - local) n             1                a switch
    point-to-point     n                         1

Not counted: launching a collective, and links that carry several messages at once.

Source: NVIDIA, nccl-tests, doc/PERFORMANCE.md (2 (D - 1) / D); NVIDIA, nccl,
    src/graph/trees.cc (two trees, one the mirror of the other) and tuning.cc (hops);
    Lepikhin et al. 2020, arXiv 2006.16668, section 3 (the all-to-all of experts).

Terms:
    all-reduce, ring all-reduce, tree all-reduce: each device ends with the sum of what
        all held -> all_reduce_bytes, ring_all_reduce, tree_all_reduce
    all-to-all: each device sends each other one a part of its own -> all_to_all
    point-to-point: one device sends one other a tensor -> point_to_point
    alpha-beta model, interconnect bandwidth, hop latency: a message takes a latency and
        its bytes over the bandwidth -> Link, Traffic.seconds
"""

from dataclasses import dataclass

from course_lib.costs.arithmetic import (
    Number,
    check_at_most,
    check_count,
    check_not_negative,
    check_positive,
)

ALL_REDUCES = ("ring", "tree", "best")


@dataclass(frozen=True)
class Link:
    """What connects a device to the others: bytes per second out of it in one direction
    (half of the figure that sheets print for both), and seconds per hop.
    """

    bandwidth_bytes_per_s: Number
    latency_s: Number = 0.0

    def __post_init__(self) -> None:
        check_positive(bandwidth_bytes_per_s=self.bandwidth_bytes_per_s)
        check_not_negative(latency_s=self.latency_s)


@dataclass(frozen=True)
class Traffic:
    """What one device sends, and how many messages have to follow one another."""

    sent_bytes: Number
    hops: Number

    def seconds(self, link: Link) -> Number:
        """Time on a link: hops latency + sent_bytes / bandwidth.

        >>> Traffic(sent_bytes=1400, hops=14).seconds(Link(700.0, latency_s=0.5))
        9.0
        """
        return self.hops * link.latency_s + self.sent_bytes / link.bandwidth_bytes_per_s

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.sent_bytes + other.sent_bytes, self.hops + other.hops)

    def times(self, count: Number) -> "Traffic":
        """The same again and again, `count` times in a row."""
        return Traffic(count * self.sent_bytes, count * self.hops)


def all_reduce_bytes(size_bytes: Number, devices: int) -> Number:
    """Bytes that each of `devices` sends to add up a tensor that each holds in full.

    *Equation*: 2 (D - 1) / D size: the pieces go round once to be summed and once to be
        handed out. No all-reduce among devices that only send and add needs less.

    Returns: bytes out of one device, 0 for one device alone.
    Raises: ValueError if `size_bytes` is not above 0, or `devices` is no whole number
        of at least 1.

    >>> all_reduce_bytes(800, devices=8), all_reduce_bytes(800, devices=1)
    (1400.0, 0.0)
    """
    check_positive(size_bytes=size_bytes)
    check_count(devices=devices)
    return 2 * (devices - 1) / devices * size_bytes


def ring_all_reduce(size_bytes: Number, devices: int) -> Traffic:
    """An all-reduce round a ring: fewest bytes, most hops. Arguments and errors are
    those of `all_reduce_bytes`.

    >>> ring_all_reduce(800, devices=8)
    Traffic(sent_bytes=1400.0, hops=14)
    """
    return Traffic(all_reduce_bytes(size_bytes, devices), hops=2 * (devices - 1))


def tree_all_reduce(size_bytes: Number, devices: int) -> Traffic:
    """An all-reduce up a tree and down again: few hops, up to twice a ring's bytes.

    *Equation*: two trees carry half of the tensor each, and a device is a leaf of one
        and an inner node of the other: it sends 1/2 size up in both and 1/2 size to two
        children in one, 2 size in all. Between two devices it is the exchange of the
        whole: size.

    Raises: as `all_reduce_bytes`.

    >>> tree_all_reduce(800, devices=8)
    Traffic(sent_bytes=1600, hops=6)
    """
    check_positive(size_bytes=size_bytes)
    check_count(devices=devices)
    depth = (devices - 1).bit_length()
    return Traffic(min(depth, 2) * size_bytes, hops=2 * depth)


def all_reduce_seconds(
    size_bytes: Number, devices: int, link: Link, *, algorithm: str = "best"
) -> Number:
    """Seconds of one all-reduce: the ring's where bytes count, the tree's where hops
    do.

    Args: `size_bytes`, `devices` as in `all_reduce_bytes`; `link`; `algorithm` "ring",
        "tree" or "best", the shorter of the two.
    Raises: ValueError if `algorithm` is another word; as `all_reduce_bytes`.

    >>> link = Link(400e9, latency_s=1e-6)
    >>> for size in (1e4, 1e9):
    ...     ring, tree = (
    ...         all_reduce_seconds(size, 8, link, algorithm=name)
    ...         for name in ("ring", "tree")
    ...     )
    ...     print(ring < tree)
    False
    True
    """
    if algorithm not in ALL_REDUCES:
        raise ValueError(
            f"algorithm={algorithm!r}: allowed are {', '.join(ALL_REDUCES)}"
        )
    ring = ring_all_reduce(size_bytes, devices).seconds(link)
    tree = tree_all_reduce(size_bytes, devices).seconds(link)
    return {"ring": ring, "tree": tree, "best": min(ring, tree)}[algorithm]


def point_to_point(size_bytes: Number) -> Traffic:
    """One device sends one other a tensor.

    Raises: ValueError if `size_bytes` is not above 0.
    """
    check_positive(size_bytes=size_bytes)
    return Traffic(size_bytes, hops=1)


def all_to_all(size_bytes: Number, *, local: Number) -> Traffic:
    """Each device sends the others its parts of `size_bytes`, all at once over a
    switch, and keeps the share `local`.

    Raises: ValueError if `size_bytes` is not above 0, or `local` is outside [0, 1].
    """
    check_positive(size_bytes=size_bytes)
    check_not_negative(local=local)
    check_at_most("all", 1, local=local)
    return Traffic((1 - local) * size_bytes, hops=1)
