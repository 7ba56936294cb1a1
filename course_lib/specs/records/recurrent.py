"""Mixers with a fixed state: selective state spaces (Mamba, Mamba-2) and RWKV, as
records.

Symbols: n state. Widths in elements.

Terms:
    Mamba, selective state space, SSM, S6: a recurrent state whose step size, input and
        output depend on the token -> SSMSpec
    Mamba-2, SSD: a state space with one decay a head, whose step is a matrix product
        over chunks -> SSMSpec
    RWKV: a recurrent layer with a decay for each channel, in place of attention ->
        RWKVSpec
"""

from dataclasses import dataclass
from typing import Literal

from course_lib.specs.frozen import Sized


@dataclass(frozen=True, kw_only=True)
class SSMSpec(Sized):
    """A selective state space: Mamba ("mamba1", uses `dt_rank`) or Mamba-2 ("mamba2",
    uses heads and groups).

    `inner` is the expanded width; its state holds inner * state elements and the
    convolution's last inputs. `inner_norm`: Jamba's norms on dt, B and C.
    """

    kind: Literal["mamba1", "mamba2"]
    inner: int
    state: int
    conv: int
    dt_rank: int | None = None
    heads: int | None = None
    head_dim: int | None = None
    groups: int | None = None
    bias: bool = False
    conv_bias: bool = True
    inner_norm: bool = False


@dataclass(frozen=True, kw_only=True)
class RWKVSpec(Sized):
    """RWKV-4 time mixing at the given inner width: a per-channel decay, with no
    heads.
    """

    width: int
