"""Context parallelism for recurrent layers: a long sequence cut over D ranks, and the
state of a layer handed from each rank to the next.

Symbols: D ranks; b batch, t tokens of one rank, d model width; a state of any shape.

    rank 0   tokens 0 .. t-1    state 0 -> layer -> state ---+
    rank 1   tokens t .. 2t-1              +----> layer -> state ---+
    rank 2   ...                                      +----> layer -> ...

A rank needs of all earlier tokens what a decode step needs of them: the state, and the
last inputs of the causal convolution. So one message of fixed size goes to the right
neighbour, however long the text is, where attention has to send keys and values of
every token. Backward, the gradient of that state comes back the same way. Both are
exact: outputs, gradients and the final state are those of one process.

What is sequential here is everything: rank r waits for the layers of ranks 0 to r - 1,
and the ranks save memory, not time, unless other texts or layers fill the wait. Only
the recurrence has to be in turn. `state_prefix` lets all ranks work at once, first each
from a state of zeros, and then combines what they found in log2(D) messages.

Every rank runs the same layers in the same order and calls backward once, since a rank
waits for its neighbours' messages there too.

Source: the state as what is handed on: Sun et al. 2024, LASP, arXiv:2404.02882.

Terms:
    context parallelism of a recurrent layer, sequence parallelism of a recurrent layer:
        a sequence cut over ranks, which hand the state on -> layer_in_turn, in_turn
    state hand-off: the state after a rank's tokens is sent to the next one, and its
        gradient back -> StateLine
"""

from collections.abc import Callable

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.layers.caches.state import RecurrentState
from course_lib.layers.recurrent.causal_conv import CausalConv
from course_lib.parallel.ranks import Ranks


class StateLine:
    """Ranks in a line, each of which holds the tokens after those of its left
    neighbour.

    Args:
        ranks: the processes.

    Attributes:
        sent_bytes, messages: what this rank has sent to others, gradients included.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.sent_bytes = self.messages = 0

    def send(self, tensor: Tensor, to: int) -> None:
        """Send a tensor to another rank."""
        dist.send(tensor.contiguous(), group=self.ranks.group, group_dst=to)
        self.sent_bytes += tensor.nbytes
        self.messages += 1

    def receive(self, like: Tensor, source: int) -> Tensor:
        """What another rank sent, of the shape and dtype of `like`."""
        arrived = torch.empty_like(like, memory_format=torch.contiguous_format)
        dist.recv(arrived, group=self.ranks.group, group_src=source)
        return arrived

    def moved(self, tensor: Tensor, reach: int) -> Tensor:
        """Every rank's tensor goes `reach` ranks to the right, all at once: what
        arrives here, zeros where nothing does.
        """
        group, rank = self.ranks.group, self.ranks.rank
        arrived, both = torch.zeros_like(tensor), []
        if 0 <= rank + reach < self.ranks.count:
            given = tensor.contiguous()
            both += [
                dist.P2POp(dist.isend, given, group=group, group_peer=rank + reach)
            ]
            self.sent_bytes += tensor.nbytes
            self.messages += 1
        if 0 <= rank - reach < self.ranks.count:
            both += [
                dist.P2POp(dist.irecv, arrived, group=group, group_peer=rank - reach)
            ]
        for request in dist.batch_isend_irecv(both) if both else ():
            request.wait()
        return arrived

    def from_left(self, hold: Tensor, *starts: Tensor) -> tuple[Tensor, ...]:
        """The states before this rank's tokens.

        Args:
            hold: an input of the layer. Where it needs a gradient the states do too, on
                every rank, so that no rank leaves its neighbour waiting.
            starts: the states before the whole sequence, which rank 0 takes; other
                ranks read shapes and dtypes off them.
        """
        return _FromLeft.apply(self, hold, *starts)

    def to_right(self, y: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Send the states after this rank's tokens on; return y and the states.

        y goes through, so that a backward from it waits for the states' gradients.
        """
        return _ToRight.apply(self, y, *states)


class _FromLeft(torch.autograd.Function):
    """States come from the left; their gradients go there."""

    @staticmethod
    def forward(ctx, line: StateLine, hold: Tensor, *starts: Tensor):
        ctx.line, rank = line, line.ranks.rank
        if not rank:
            return tuple(start.clone() for start in starts)
        return tuple(line.receive(start, rank - 1) for start in starts)

    @staticmethod
    def backward(ctx, *gradients: Tensor):
        rank = ctx.line.ranks.rank
        if not rank:
            return None, None, *gradients
        for gradient in gradients:
            ctx.line.send(gradient, rank - 1)
        return None, None, *(None for _ in gradients)


class _ToRight(torch.autograd.Function):
    """States go to the right; from there come gradients, which are added."""

    @staticmethod
    def forward(ctx, line: StateLine, y: Tensor, *states: Tensor):
        ctx.line, rank = line, line.ranks.rank
        if rank < line.ranks.count - 1:
            for state in states:
                line.send(state, rank + 1)
        return y.view_as(y), *(state.view_as(state) for state in states)

    @staticmethod
    def backward(ctx, gradient_y: Tensor, *gradients: Tensor):
        line, rank = ctx.line, ctx.line.ranks.rank
        if rank < line.ranks.count - 1:
            gradients = tuple(
                gradient + line.receive(gradient, rank + 1) for gradient in gradients
            )
        return None, gradient_y, *gradients


def in_turn(
    form: Callable[..., tuple[Tensor, Tensor]],
    *tensors: Tensor,
    start: Tensor,
    line: StateLine,
    **options,
) -> tuple[Tensor, Tensor]:
    """One recurrence over all ranks, one rank after the other.

    Args:
        form: any that takes and returns a state: `selective_scan_chunked`,
            `ssd_chunked`, `linear_attention_chunked`, `delta_rule_chunked`, ...
        tensors: this rank's tokens, as `form` takes them.
        start: the state before the whole sequence.
        line: the ranks.
        options: further arguments of `form`.

    Returns:
        y of this rank's tokens, and the state after them; the last rank's is final.

    *Cost*: D times a rank's work, one after the other, and D - 1 messages of a state
        (`costs.state_handoff.in_turn_seconds`).
    """
    (state,) = line.from_left(tensors[0], start)
    return line.to_right(*form(*tensors, state=state, **options))


def conv_over_ranks(
    conv: CausalConv, x: Float[Tensor, "b t channels"], line: StateLine
) -> tuple[Float[Tensor, "b t channels"], Float[Tensor, "b channels w"]]:
    """A causal convolution over all ranks at once: its last w - 1 inputs are the border
    columns that the right neighbour needs, and are sent before anyone has to wait.

    Returns:
        y of this rank's tokens, and the last w inputs after them, as `CausalConv`.

    Raises:
        ValueError: a rank that has a right neighbour holds fewer than w tokens.
    """
    width = conv.weight.shape[-1]
    last = line.ranks.rank == line.ranks.count - 1
    if x.shape[1] < width and not last:
        raise ValueError(
            f"x has {x.shape[1]} tokens: allowed are at least w={width} on every rank "
            "but the last"
        )
    border = x.new_zeros(len(x), x.shape[-1], width - 1)
    own = x[:, x.shape[1] - width + 1 :] if not last else border.transpose(1, 2)
    x, _ = line.to_right(x, own.transpose(1, 2))
    (before,) = line.from_left(x, border)
    # `CausalConv` keeps w inputs, of which the first enters no sum
    inputs = torch.cat([torch.zeros_like(before[..., :1]), before], -1)
    return conv(x, inputs)


def layer_in_turn(
    mixer: nn.Module,
    x: Float[Tensor, "b t d"],
    positions: Int[Tensor, "b t"],
    cache: RecurrentState,
    line: StateLine,
) -> Float[Tensor, "b t d"]:
    """A whole recurrent layer over all ranks: what a cache would keep between two steps
    of a decode is what one rank hands the next.

    Args:
        mixer: `Mamba`, `Mamba2`, `GatedDeltaNet`, ..., with the same weights on every
            rank. Their gradients are sums over the ranks: `Ranks.all_reduce`.
        x, positions: this rank's tokens.
        cache: the layer's own, as before the first token of the sequence; it ends as
            after this rank's last.

    Returns: the layer's output for this rank's tokens.

    *Cost*: `cache.nbytes` to the right neighbour; backward as many to the left one.
    """
    names = list(cache.names)
    states = line.from_left(x, *(cache[name] for name in names))
    cache.update(0, **dict(zip(names, states, strict=True)))
    y = mixer(x, positions, cache)
    y, *states = line.to_right(y, *(cache[name] for name in names))
    cache.update(0, **dict(zip(names, states, strict=True)))
    return y
