"""A recurrence over ranks in two steps, with all ranks at work at once: each finds what
its own tokens do to a state, a prefix over the ranks combines that, and each runs its
tokens again from the right state.

Symbols: D ranks; b batch, h heads, k key width, v value width, n state; state S.

What a run of tokens does to the state before it is affine: S -> P S + L. L is the state
that they leave when they start from zeros. P is what is left of an earlier state:

    diagonal decay   exp of the sum of their log decays, number by number: selective
                     scan, SSD, linear attention with gates -> `Decay`
    delta rule       a product of t matrices exp(g) (I - beta k k^T), [k k] a head: what
                     the rule makes of the unit matrix when all values are zero ->
                     `Transition`

Two runs after each other are one run, (P2 P1, P2 L1 + L2), in any grouping. So the
ranks combine theirs as an associative scan does, in 1 + ceil(log2(D - 1)) messages one
after the other in place of D - 1 turns. The price is a second pass over the tokens, and
for the delta rule [k k] numbers beside the [k v] of the state.

Source: Blelloch 1990, Prefix sums and their applications; over devices, for linear
    attention Sun et al. 2025 (LASP-2, all states to all ranks at once),
    arXiv:2502.07563.

Terms:
    two-step context parallelism, local state and total decay: each rank sums up its
        tokens as one affine map, and a prefix over ranks combines them -> in_two_steps
    transition matrix of the delta rule: what a run of tokens leaves of the state before
        it -> delta_transition
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.layers.recurrent.delta_rule import (
    Strength,
    delta_rule_chunked,
)
from course_lib.layers.recurrent.linear_attention import Keys, LogDecay
from course_lib.parallel.state_line import StateLine


@dataclass(frozen=True)
class Decay:
    """P of a diagonal recurrence: `tensor` is the sum of log decays, of a shape that
    broadcasts with the state's.

    >>> half = Decay(torch.tensor([0.5]).log())
    >>> half.after(half).of(torch.tensor([8.0]))
    tensor([2.])
    """

    tensor: Tensor

    def of(self, state: Tensor) -> Tensor:
        """What is left of an earlier state."""
        return self.tensor.exp() * state

    def after(self, earlier: "Decay") -> "Decay":
        """Both, one after the other: logs add up, and nothing overflows."""
        return Decay(self.tensor + earlier.tensor)


@dataclass(frozen=True)
class Transition:
    """P of the delta rule: `tensor` [b h k k] is multiplied with the state [b h k
    v].
    """

    tensor: Float[Tensor, "b h k k"]

    def of(self, state: Float[Tensor, "b h k v"]) -> Float[Tensor, "b h k v"]:
        """What is left of an earlier state."""
        return self.tensor @ state

    def after(self, earlier: "Transition") -> "Transition":
        """Both, one after the other."""
        return Transition(self.tensor @ earlier.tensor)


def scan_decay(dt: Float[Tensor, "b t i"], a: Float[Tensor, "i n"]) -> Decay:
    """Of the selective scan: A times the sum of the step sizes, [b i n]."""
    return Decay(dt.sum(1)[..., None] * a)


def ssd_decay(dt: Float[Tensor, "b t h"], a: Float[Tensor, " h"]) -> Decay:
    """Of SSD: one number a head, [b h 1 1]."""
    return Decay((dt.sum(1) * a)[..., None, None])


def attention_decay(log_decay: LogDecay) -> Decay:
    """Of linear attention: one number a head or channel, [b h gates 1]."""
    return Decay(log_decay.sum(1)[..., None])


def delta_transition(
    k: Keys, beta: Strength, log_decay: LogDecay | None = None, **options
) -> Transition:
    """Of the (gated) delta rule: the state after these tokens, from the unit matrix and
    with values of zero.

    *Cost*: k / v of a pass over the tokens.
    """
    unit = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
    unit = unit.expand(k.shape[0], k.shape[2], -1, -1)
    none = torch.zeros_like(k)
    _, left = delta_rule_chunked(k, k, none, beta, log_decay, state=unit, **options)
    return Transition(left)


class _Shift(torch.autograd.Function):
    """A tensor goes `reach` ranks to the right; its gradient comes back. Ranks to which
    nothing comes have zeros.
    """

    @staticmethod
    def forward(ctx, tensor: Tensor, reach: int, line: StateLine) -> Tensor:
        ctx.reach, ctx.line = reach, line
        return line.moved(tensor, reach)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return ctx.line.moved(gradient, -ctx.reach), None, None


def state_before(whole: Decay | Transition, local: Tensor, line: StateLine) -> Tensor:
    """The state before this rank's tokens, from what every rank's tokens do to a state:
    a prefix over the ranks.

    Args:
        whole: P of this rank's tokens.
        local: L; on rank 0 the state that its tokens leave of the sequence's start.
        line: the ranks.

    Returns: the state, zeros on rank 0.

    *Cost*: 1 + ceil(log2(D - 1)) messages of P and L in a row, of which rank 0 sends
        every one (`costs.state_handoff.two_step_traffic`).
    """
    whole, local = _shifted(whole, local, 1, line)
    reach = 1
    while reach < line.ranks.count - 1:
        earlier, left = _shifted(whole, local, reach, line)
        whole, local = whole.after(earlier), whole.of(left) + local
        reach *= 2
    return local


def _shifted(
    whole: Decay | Transition, local: Tensor, reach: int, line: StateLine
) -> tuple[Decay | Transition, Tensor]:
    """P and L of the rank `reach` places to the left, in one message. To the left of
    rank 0 both are zeros: nothing was there that a P could be multiplied with.
    """
    sizes = whole.tensor.numel(), local.numel()
    packed = torch.cat([whole.tensor.flatten(), local.flatten()])
    p, left = _Shift.apply(packed, reach, line).split(sizes)
    return type(whole)(p.view_as(whole.tensor)), left.view_as(local)


def in_two_steps(
    form: Callable[..., tuple[Tensor, Tensor]],
    *tensors: Tensor,
    whole: Decay | Transition,
    start: Tensor,
    line: StateLine,
    **options,
) -> tuple[Tensor, Tensor]:
    """One recurrence over all ranks, all of them at work at once.

    Args:
        form, tensors, start, line, options: as in `state_line.in_turn`.
        whole: what this rank's tokens leave of an earlier state: `scan_decay`,
            `ssd_decay`, `attention_decay` or `delta_transition` of the same tensors.

    Returns: y of this rank's tokens, and the state after them; the last rank's is
        final. Equal to `in_turn`, in another order of sums.

    *Cost*: two passes over a rank's tokens in place of D, and the messages of
        `state_before`.
    """
    first = start if not line.ranks.rank else torch.zeros_like(start)
    _, local = form(*tensors, state=first, **options)
    before = state_before(whole, local, line)
    before = before + start if not line.ranks.rank else before
    return form(*tensors, state=before, **options)
