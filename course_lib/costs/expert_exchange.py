"""The all-to-all of expert parallelism over nodes: what dispatch and combine send on
the links between nodes and inside them, with node-limited routing.

Symbols: D devices on N nodes, n tokens over all devices, d width, k experts of a token,
M nodes to which a token is limited.

A token goes once to each node that holds some of its experts, and is handed on to their
devices there, over the faster link (DeepSeek-V3's way). Without that, each pick is sent
by itself: `once_per_node=False`. All is for one mixture layer; `links` adds up the
layers of a model on one level of links.

                     once per node                      each pick by itself
    between nodes    m (1 - 1/N),                       k (1 - 1/N)
                     m = min(M, N (1 - (1 - 1/N)^k))
    inside a node    k (1 - N/D)                        k (1/N - 1/D)

The copies of a token, on average, if its picks fall on all places alike and each by
itself. Distinct experts meet a few more nodes. A limit cuts m off: a router that keeps
the groups with the best experts picks from nearly all that it keeps.

Source: DeepSeek-AI 2024, arXiv 2412.19437, section 3.2.2 (at most 4 nodes a token, and
    the forwarding inside a node).

Terms:
    nodes of a token, distinct places: how many nodes or devices hold some of a token's
        experts, on average -> places_met
    dispatch bytes, combine bytes: what a device sends to the experts of its tokens, and
        what comes back -> Exchange, exchange
"""

from dataclasses import dataclass

from course_lib.costs.arithmetic import (
    Number,
    check_at_most,
    check_count,
    check_positive,
    larger,
    smaller,
)
from course_lib.costs.collectives import Link, Traffic


@dataclass(frozen=True)
class Exchange:
    """What one device sends for a layer, there and back: `between` nodes and `within`
    its own.
    """

    between: Traffic
    within: Traffic

    def seconds(self, between: Link, within: Link) -> Number:
        """The longer of the two links' times: both work at once, so that it is a lower
        bound.
        """
        return larger(self.between.seconds(between), self.within.seconds(within))


def places_met(
    places: Number, top_k: Number, top_places: Number | None = None
) -> Number:
    """Expected number of distinct places (nodes, devices) on which a token's experts
    lie.

    *Equation*: min(M, P (1 - (1 - 1/P)^k)), P places, M those to which it is limited.

    Raises: ValueError if a count is no whole number of at least 1, or `top_places` is
        above `places`.

    >>> round(places_met(8, top_k=8), 3), places_met(8, 8, top_places=4)
    (5.251, 4)
    """
    check_count(places=places, top_k=top_k)
    free = places * (1 - (1 - 1 / places) ** top_k)
    if top_places is None:
        return free
    check_count(top_places=top_places)
    check_at_most("places", places, top_places=top_places)
    return smaller(top_places, free)


def copies_sent(
    top_k: Number,
    *,
    nodes: Number,
    per_node: Number,
    top_nodes: Number | None = None,
    once_per_node: bool = True,
) -> tuple[Number, Number]:
    """Expected copies of a token that go to other nodes, and to other devices of a
    node.

    Raises: as `places_met`.

    >>> copies_sent(2, nodes=1, per_node=4)
    (0.0, 1.5)
    """
    check_count(nodes=nodes, per_node=per_node, top_k=top_k)
    if once_per_node:
        met = places_met(nodes, top_k, top_nodes)
        return met * (1 - 1 / nodes), top_k * (1 - 1 / per_node)
    return top_k * (1 - 1 / nodes), top_k / nodes * (1 - 1 / per_node)


def exchange(
    tokens: Number,
    width: Number,
    *,
    top_k: Number,
    nodes: Number = 1,
    per_node: Number,
    top_nodes: Number | None = None,
    once_per_node: bool = True,
    dispatch_bytes: Number = 2,
    combine_bytes: Number = 2,
) -> Exchange:
    """Dispatch and combine of one mixture layer: what each device sends.

    *Equation*: tokens / D copies width (dispatch_bytes + combine_bytes) on either
        link, with the copies of the table above.

    Args: `tokens` of the pass over all devices, spread evenly; `nodes` N of `per_node`
        devices; `top_nodes` M; `dispatch_bytes`, `combine_bytes` of a number.
    Raises: ValueError if a count is no whole number of at least 1, `top_nodes` is above
        `nodes`, or a byte width is not above 0.

    >>> exchange(4, width=10, top_k=2, per_node=4).within
    Traffic(sent_bytes=60.0, hops=2)
    """
    check_count(tokens=tokens, width=width)
    check_positive(dispatch_bytes=dispatch_bytes, combine_bytes=combine_bytes)
    copies = copies_sent(
        top_k,
        nodes=nodes,
        per_node=per_node,
        top_nodes=top_nodes,
        once_per_node=once_per_node,
    )
    one = tokens / (nodes * per_node) * width * (dispatch_bytes + combine_bytes)
    return Exchange(*(Traffic(one * copy, hops=2) for copy in copies))
