"""Fan-in start: the standard deviation that each matrix starts with.

*Equation*: std = 1 / sqrt(length of the vector that the matrix multiplies). A vector of
entries of size 1 then keeps that size, at any width. Three cases go beyond it:

    a table           1 / sqrt(d), its rows being d long
    what writes       the n matrices that add to one residual stream start at
                      1 / sqrt(n) of it, so that their sum does not grow with depth
    unscaled scores   where scores are scaled by s in place of 1 / sqrt(k), the queries
                      start at 1 / (s sqrt(k)) of it, and a score at size 1 (T5: s = 1)

At width 64 the 0.02 that GPT-2 and LLaMA start with is a sixth of it: what is right for
a width of thousands slows a small model down, and by more the smaller it is.

Source: fan-in, LeCun et al. 1998, "Efficient BackProp", section 4.6; the root of the
    number of writes, Radford et al. 2019 (GPT-2), section 2.3.

Terms:
    fan-in start, fan-in initialisation: one over the root of the inputs of a matrix ->
        fan_in
"""

from collections import Counter
from collections.abc import Callable

from torch import nn

from course_lib.layers.attention.layer import AttentionHeads

# What these matrices give is added to the residual stream.
WRITES = ("wo.weight", "w_out.weight", "down.weight", "experts.down")


def fan_in(model: nn.Module) -> Callable[[str], float]:
    """Return the standard deviation of each matrix of `model`, by its name.

    >>> layer = AttentionHeads(64, heads=4, kv_heads=4, head_dim=16)
    >>> fan_in(layer)("wk.weight"), fan_in(layer)("wo.weight")
    (0.125, 0.125)
    """
    stds, writes = {}, Counter()
    for name, matrix in model.named_parameters():
        stds[name] = matrix.shape[-1] ** -0.5
        if name.endswith(WRITES):
            writes[_stream(model, name)] += 1
    for name in (name for name in stds if name.endswith(WRITES)):
        stds[name] /= writes[_stream(model, name)] ** 0.5
    for name, module in model.named_modules():
        if isinstance(module, AttentionHeads):
            unit = module.scale * module.head_dim**0.5
            stds[f"{name}.wq.weight" if name else "wq.weight"] /= unit
    return stds.__getitem__


def _stream(model: nn.Module, name: str) -> str:
    """The residual stream that a parameter writes to: one a stack of blocks, unless the
    model names stacks that add to the same one.
    """
    stack = name.split(".")[0]
    return "one" if stack in getattr(model, "one_stream", ()) else stack
