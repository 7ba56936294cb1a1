"""Test-time training (TTT, Titans): the state of a layer is the weights of a small
model, and reading a token is a step of gradient descent on it.

Symbols: b batch, t tokens, h heads, k key width, v value width, c chunk, M the memory,
a function from keys to values, S its momentum. A token's pair is learned by the loss l
= 1/2 |M(k_t) - v_t|^2 at the rate theta_t; eta_t keeps momentum, alpha_t forgets.

    S <- eta_t S - theta_t grad l(M; k_t, v_t);  M <- (1 - alpha_t) M + S;  y_t = M(q_t)

With a matrix as M this is what chapter 5 has under other names:

    gradient at the token's own memory   M - theta (M k - v) k^T: the delta rule
    gradient at the first memory, zero   M + theta v k^T: linear attention
    gradient at the chunk's start        the delta rule at c = 1, linear attention when
                                         c is the whole text, and between them

A memory with a hidden layer is what is new. Many such layers, too, can be written as a
linear attention whose keys and values are learned (Liu et al. 2026, arXiv:2602.21204).

Terms:
    test-time training, TTT: the state is a small model's weights, and each token trains
        it -> test_time_training
    Titans, neural memory, surprise: test-time training with momentum and forgetting ->
        test_time_training
    mini-batch TTT: gradients of a chunk are all taken at the weights before it ->
        test_time_training
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.func import grad, vmap

from course_lib.layers.recurrent.linear_attention import Keys, Values

Memory = Mapping[str, Float[Tensor, "b h *shape"]]
Rate = Float[Tensor, "b t h"]
Apply = Callable[[Mapping[str, Tensor], Tensor], Tensor]


def linear_memory(weights: Mapping[str, Tensor], key: Tensor) -> Tensor:
    """M(k) = k S, S [k v] as linear attention's state."""
    return key @ weights["state"]


def mlp_memory(weights: Mapping[str, Tensor], key: Tensor) -> Tensor:
    """M(k) = k + silu(k U) D: a hidden layer, and the key's own way past it."""
    return key + F.silu(key @ weights["up"]) @ weights["down"]


def test_time_training(
    q: Keys,
    k: Keys,
    v: Values,
    rate: Rate,
    *,
    memory: Memory,
    apply: Apply = linear_memory,
    forget: Rate | None = None,
    momentum: Rate | None = None,
    chunk: int = 1,
    forget_first: bool = False,
) -> tuple[Values, dict[str, Tensor]]:
    """The equation of this module's header, token by token; gradients by autograd, so
    that any memory will do.

    Args:
        q, k, v: queries, keys and values.
        rate: theta, the step's size; 0 leaves the memory, as padding needs.
        memory: the weights before the first token, one set a row and head; linear
            attention and the delta rule begin with zeros.
        apply: from one set of weights and one key to one value.
        forget: alpha, 0 when left out. momentum: eta, none when left out.
        chunk: c, tokens whose gradients are taken at the same weights.
        forget_first: whether the gradient is that of the memory after forgetting, as in
            gated DeltaNet, in place of before, as in Titans.

    Returns:
        y, and the memory after the last token.

    Raises:
        ValueError: `chunk` is below 1, or above 1 with `forget_first`.

    *Cost*: a forward and a backward pass of the memory a token; state: its weights,
        twice with momentum.
    *Source*: Sun et al. 2024, section 2, arXiv:2407.04620 (TTT, mini-batches); Behrouz
        et al. 2024, section 3.1, arXiv:2501.00663 (momentum and forgetting).
    *Differs from source*: TTT's own norm around the memory is left out.

    >>> one = torch.ones(1, 2, 1, 1)
    >>> start = {"state": torch.zeros(1, 1, 1, 1)}
    >>> y, after = test_time_training(one, one, 3 * one, one[..., 0], memory=start)
    >>> y.flatten().tolist()  # the key holds one value: the second step changes nothing
    [3.0, 3.0]
    """
    if chunk < 1 or (forget_first and chunk > 1):
        raise ValueError(
            f"chunk={chunk}, forget_first={forget_first}: allowed are whole numbers "
            "from 1, and 1 where forgetting comes first"
        )

    def loss(weights: Mapping[str, Tensor], key: Tensor, value: Tensor) -> Tensor:
        return (apply(weights, key) - value).square().sum() / 2

    surprise = vmap(vmap(grad(loss)))  # over rows and heads
    recall = vmap(vmap(apply))
    zero = torch.zeros_like(rate)
    forget = zero if forget is None else forget
    momentum = zero if momentum is None else momentum
    memory = dict(memory)
    moving = {name: torch.zeros_like(part) for name, part in memory.items()}
    rows = []
    for t in range(k.shape[1]):
        left = 1 - forget[:, t]
        if forget_first:
            memory = _scaled(memory, left)
        if t % chunk == 0:
            start = memory
        slope = surprise(start, k[:, t], v[:, t])
        step = _scaled(slope, -rate[:, t])
        moving = _sum(_scaled(moving, momentum[:, t]), step)
        memory = _sum(memory if forget_first else _scaled(memory, left), moving)
        rows.append(recall(memory, q[:, t]))
    return torch.stack(rows, 1), memory


test_time_training.__test__ = False  # its name begins as a test's does


def _scaled(weights: Mapping[str, Tensor], factor: Float[Tensor, "b h"]) -> dict:
    return {
        name: part * factor.view(*factor.shape, *(1,) * (part.ndim - 2))
        for name, part in weights.items()
    }


def _sum(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict:
    return {name: part + other[name] for name, part in one.items()}
