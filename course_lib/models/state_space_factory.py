"""From a record of a state space to the layer, Mamba or Mamba-2, and to its state.

Terms:
    state space from a record: which mixer a specification asks for -> build_state_space
"""

import torch
from torch import nn

from course_lib.costs.mixers.state_space import conv_channels, is_mamba2
from course_lib.layers.caches.state import RecurrentState
from course_lib.layers.recurrent.mamba import Mamba
from course_lib.layers.recurrent.mamba2 import Mamba2
from course_lib.specs.records import NormSpec, SSMSpec


def build_state_space(width: int, spec: SSMSpec, norm: NormSpec) -> nn.Module:
    """The mixer that `spec` describes; the norm before the way out has the eps of
    `norm`.

    Raises:
        ValueError: `kind` is neither "mamba1" nor "mamba2", or the norms on step size,
        B and C are no RMSNorm, or stand in Mamba-2.
    """
    sizes = {"state": spec.state, "conv": spec.conv}
    options = {"bias": spec.bias, "conv_bias": spec.conv_bias}
    if is_mamba2(spec):
        if spec.inner_norm is not None:
            raise ValueError("inner_norm is set: supported in Mamba-2 is None")
        return Mamba2(
            width,
            heads=spec.heads,
            head_dim=spec.head_dim,
            groups=spec.groups,
            out_norm=spec.out_norm,
            norm_eps=norm.eps,
            **sizes,
            **options,
        )
    inner = {}
    if spec.inner_norm is not None:
        if spec.inner_norm.kind != "rmsnorm":
            raise ValueError(f"kind={spec.inner_norm.kind!r}: supported is 'rmsnorm'")
        word = "gain" if spec.inner_norm.gain else "plain"
        inner = {"inner_norm": word, "norm_eps": spec.inner_norm.eps}
    ranks = {"inner": spec.d_inner, "dt_rank": spec.dt_rank}
    return Mamba(width, **ranks, **sizes, **options, **inner)


def build_state(
    spec: SSMSpec,
    batch: int,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> RecurrentState:
    """The state that such a mixer keeps: accumulators in float32 at least, the last
    inputs in `dtype`, torch's default when left out.
    """
    dtype = torch.get_default_dtype() if dtype is None else dtype
    accumulators = (spec.d_inner, spec.state)
    if is_mamba2(spec):
        accumulators = (spec.heads, spec.head_dim, spec.state)
    shapes = {"state": accumulators, "inputs": (conv_channels(spec), spec.conv)}
    wide = {"state": torch.promote_types(dtype, torch.float32)}
    return RecurrentState(batch, shapes, dtype, device, dtypes=wide)
