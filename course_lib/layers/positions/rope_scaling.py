"""RoPE scaling (context extension): slow the rotary turns of a trained model down, so
that it can be used past the length it was trained on.

Six types, under the names that `rope_type` has in a config: linear (position
interpolation), dynamic (NTK-aware, by the length seen), yarn, llama3, longrope,
proportional (p-RoPE).

Symbols: d coordinates that turn (`dim`), i a pair's index from 0 to d/2 - 1, e_i = 2i/d
its exponent, theta the base, w_i = theta^-e_i its plain speed in radians a token, w'_i
the scaled one. L is the length trained on (`original_max_position_embeddings`) and s
the `factor` by which it is to grow. The YaRN paper calls the pair's index d, the width
|D| and the speed theta_d. Pair i turns L w_i / 2 pi times within L: the first pairs
turn often and tell neighbours apart, the last ones do not come round once.

Each function returns the speeds w' and the attention factor m. Cosines and sines are
multiplied by m: what turns of a query or key grows by m, and its part of a score by
m^2. It is 1 except for yarn and longrope.

Two types look at the length seen, which is the highest position of the call plus one:
dynamic and longrope. A cache holds keys that are turned already, and they keep the turn
of the length at which they came in. Past L, a query therefore meets keys turned at
other speeds than its own, and decoding with a cache gives other numbers than one pass
over all tokens, where the number of later tokens changes what earlier ones get. That is
inherent in the two methods, and `transformers` does the same.

Terms:
    RoPE scaling, context extension, position interpolation: slower turns, so that a
        trained model can be used past its length -> scaled_speeds, linear
    dynamic NTK, NTK-aware scaling: a base that grows with the length seen -> dynamic
    YaRN: fast pairs stay, slow pairs are interpolated, a ramp between them, and scores
        grow a little -> yarn
    llama3 scaling: bands of wavelengths: short ones stay, long ones are divided ->
        llama3
    LongRoPE: a factor for each pair, one list up to the length trained on, another
        beyond -> longrope
    proportional RoPE, p-RoPE: only the fast share of the pairs turns -> proportional
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.layers.positions.rope_options import check_scaling
from course_lib.specs.frozen import FrozenMapping

Half = Float[Tensor, " half"]
Number = int | float
FOLLOW_LENGTH = ("dynamic", "longrope")


def linear(exponents: Half, theta: Number, *, factor: Number) -> tuple[Half, float]:
    """Position interpolation: every pair turns `factor` times slower.

    *Equation*: w'_i = w_i / s
    *Source*: Chen et al. 2023, arXiv:2306.15595; u/kaiokendev 2023.

    >>> linear(torch.tensor([0.0, 0.5]), theta=100.0, factor=4.0)  # speeds 1 and 0.1
    (tensor([0.2500, 0.0250]), 1.0)
    """
    return 1.0 / theta**exponents / factor, 1.0


def dynamic(
    exponents: Half,
    theta: Number,
    *,
    factor: Number,
    original_max_position_embeddings: int,
    length: int,
) -> tuple[Half, float]:
    """Dynamic NTK: a larger base, and the more so the longer the text. Up to the length
    trained on nothing changes; the fastest pair never does.

    *Equation*: theta' = theta x^(d / (d - 2)), w'_i = theta'^-e_i, with
        x = s n / L - (s - 1) and n the length seen, at least L. The slowest pair turns
        x times slower, which past L is so for s = 1 too.
    *Source*: u/bloc97 and u/emozilla 2023; Peng et al. 2023, sections 3.1 and 3.3,
        arXiv:2309.00071.
    *Differs from source*: n is this call's alone; `transformers` goes on with the
        longest call before it, until one shorter than L resets it.

    >>> # n = 12 of L = 8, s = 3: 3 * 12 / 8 - 2 = 2.5, d / (d - 2) = 2, base 625
    >>> ends = {"factor": 3.0, "original_max_position_embeddings": 8}
    >>> dynamic(torch.tensor([0.0, 0.5]), 100.0, **ends, length=12)
    (tensor([1.0000, 0.0400]), 1.0)
    """
    dim, seen = 2 * len(exponents), max(length, original_max_position_embeddings)
    stretch = factor * seen / original_max_position_embeddings - (factor - 1)
    return 1.0 / (theta * stretch ** (dim / (dim - 2))) ** exponents, 1.0


def yarn(
    exponents: Half,
    theta: Number,
    *,
    factor: Number,
    original_max_position_embeddings: int,
    attention_factor: Number | None = None,
    beta_fast: Number = 32.0,
    beta_slow: Number = 1.0,
    mscale: Number = 0.0,
    mscale_all_dim: Number = 0.0,
    truncate: bool = True,
) -> tuple[Half, float]:
    """YaRN: pairs that turn often within L stay as they are, pairs that turn less than
    once are interpolated, a ramp between them; and scores grow a little.

    *Equation*: w'_i = (1 - r_i) w_i + r_i w_i / s, with the ramp
        r_i = clamp((i - low) / (high - low), 0, 1), where pair number
        i(turns) = d ln(L / (2 pi turns)) / (2 ln theta) turns that often within L,
        low = i(beta_fast) and high = i(beta_slow), rounded outwards with `truncate`.
        m = 0.1 ln s + 1; with both mscales, m is the ratio of 0.1 mscale ln s + 1 to
        the same with `mscale_all_dim`.
    *Source*: Peng et al. 2023, sections 3.2 and 3.4, arXiv:2309.00071;
        github.com/jquesnelle/yarn. The mscales: DeepSeek-V2, whose attention puts
        `mscale_all_dim` into the factor on its scores instead
        (`specs.families.mla.yarn_temperature`).

    >>> # L = 256, theta = 4096, d = 6: i(turns) is 1.34 for one turn and 0.09 for 32
    >>> exponents = torch.tensor([0.0, 1 / 3, 2 / 3])  # speeds 1, 1/16, 1/256
    >>> ends = {"factor": 4.0, "original_max_position_embeddings": 256}
    >>> speeds, attention_factor = yarn(exponents, 4096.0, **ends)
    >>> (speeds * torch.tensor([1, 16, 256])).round(decimals=4)  # low 0, high 2
    tensor([1.0000, 0.6250, 0.2500])
    >>> round(attention_factor, 4)
    1.1386
    """
    plain, dim = 1.0 / theta**exponents, 2 * len(exponents)
    around = original_max_position_embeddings / (2 * math.pi)
    low = dim * math.log(around / beta_fast) / (2 * math.log(theta))
    high = dim * math.log(around / beta_slow) / (2 * math.log(theta))
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, dim - 1)
    width = high - low if high != low else 0.001
    pairs = torch.arange(dim // 2, dtype=plain.dtype, device=plain.device)
    ramp = ((pairs - low) / width).clamp(0, 1)
    if attention_factor is None:
        both = (mscale, mscale_all_dim) if mscale and mscale_all_dim else (1.0, 0.0)
        attention_factor = yarn_mscale(factor, both[0]) / yarn_mscale(factor, both[1])
    return (1 - ramp) * plain + ramp * plain / factor, float(attention_factor)


def yarn_mscale(factor: Number, mscale: Number = 1.0) -> float:
    """What YaRN multiplies queries and keys with: 0.1 mscale ln s + 1; 1 for s = 1."""
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def llama3(
    exponents: Half,
    theta: Number,
    *,
    factor: Number,
    low_freq_factor: Number,
    high_freq_factor: Number,
    original_max_position_embeddings: int,
) -> tuple[Half, float]:
    """Llama 3.1: as YaRN, with a ramp in turns in place of one in pairs, and m = 1.

    *Equation*: with turns_i = L w_i / 2 pi and
        keep_i = clamp((turns_i - low) / (high - low), 0, 1),
        w'_i = (1 - keep_i) w_i / s + keep_i w_i
    *Source*: github.com/meta-llama/llama-models, `apply_scaling` of Llama 3.1.

    >>> # L = 256: 40.7, 2.55 and 0.16 turns; only the second pair is on the ramp
    >>> ends = {"factor": 4.0, "original_max_position_embeddings": 256}
    >>> ramp = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
    >>> exponents = torch.tensor([0.0, 1 / 3, 2 / 3])  # speeds 1, 1/16, 1/256
    >>> speeds, _ = llama3(exponents, 4096.0, **ramp, **ends)
    >>> (speeds * torch.tensor([1, 16, 256])).round(decimals=4)  # keep 1, 0.5155, 0
    tensor([1.0000, 0.6366, 0.2500])
    """
    plain = 1.0 / theta**exponents
    turns = original_max_position_embeddings * plain / (2 * math.pi)
    width = high_freq_factor - low_freq_factor
    keep = ((turns - low_freq_factor) / width).clamp(0, 1)
    return (1 - keep) * plain / factor + keep * plain, 1.0


def longrope(
    exponents: Half,
    theta: Number,
    *,
    short_factor: tuple[Number, ...],
    long_factor: tuple[Number, ...],
    factor: Number,
    original_max_position_embeddings: int,
    attention_factor: Number | None = None,
    length: int,
) -> tuple[Half, float]:
    """LongRoPE: a searched divisor for each pair, from one list up to L tokens and from
    another beyond.

    *Equation*: w'_i = w_i / lambda_i, and m = sqrt(1 + ln s / ln L), at any length
    *Source*: Ding et al. 2024, arXiv:2402.13753; m, Phi-3-mini-128k's
        `modeling_phi3.py`.
    *Differs from source*: `generate` of Phi-3 in `transformers` drops the cache at the
        step that passes L and reads all tokens again with the long list; no cache is
        dropped here.

    >>> exponents = torch.tensor([0.0, 0.5])  # speeds 1 and 0.1
    >>> lists = {"short_factor": (1.0, 1.0), "long_factor": (1.0, 5.0)}
    >>> ends = {"factor": 4.0, "original_max_position_embeddings": 16}
    >>> longrope(exponents, 100.0, **lists, **ends, length=16)[0]
    tensor([1.0000, 0.1000])
    >>> speeds, m = longrope(exponents, 100.0, **lists, **ends, length=17)
    >>> speeds, round(m, 4)  # the root of 1 + 1/2
    (tensor([1.0000, 0.0200]), 1.2247)
    """
    chosen = long_factor if length > original_max_position_embeddings else short_factor
    divisors = torch.tensor(chosen, dtype=exponents.dtype, device=exponents.device)
    if attention_factor is None:
        growth = math.log(factor) / math.log(original_max_position_embeddings)
        attention_factor = math.sqrt(1 + growth)
    return 1.0 / (divisors * theta**exponents), float(attention_factor)


def proportional(
    exponents: Half,
    theta: Number,
    *,
    partial_rotary_factor: Number = 1.0,
    factor: Number = 1.0,
) -> tuple[Half, float]:
    """p-RoPE: the slowest pairs do not turn at all. Unlike a rotated share of the head
    (`Rope.dim` below the head width), it keeps the speeds and the partners of the
    others: d is the whole head width.

    *Equation*: w'_i = w_i / s for i < int(p d / 2), else 0, with p the
        `partial_rotary_factor`
    *Source*: Barbero et al. 2024, arXiv:2410.06205; Gemma 4 in `transformers`.

    >>> proportional(torch.tensor([0.0, 0.5]), theta=100.0, partial_rotary_factor=0.5)
    (tensor([1., 0.]), 1.0)
    """
    turning = int(partial_rotary_factor * len(exponents))
    speeds = 1.0 / theta**exponents / factor
    speeds[turning:] = 0.0
    return speeds, 1.0


SCALINGS = {
    "linear": linear,
    "dynamic": dynamic,
    "yarn": yarn,
    "llama3": llama3,
    "longrope": longrope,
    "proportional": proportional,
}


def checked_scaling(
    scaling: Mapping[str, Any] | None, dim: int, theta: Number
) -> FrozenMapping | None:
    """The scaling with its type and options checked; None for plain RoPE.

    Raises:
        ValueError: the type is unknown, an option is missing, unknown to the type, or
            out of range for `dim` and `theta`.

    >>> checked_scaling({"rope_type": "linear", "factor": 4.0}, dim=8, theta=10_000.0)
    FrozenMapping({'factor': 4.0, 'rope_type': 'linear'})
    """
    options = dict(scaling or {})
    kind = options.pop("rope_type", "default")
    if kind == "default":
        return None
    if kind not in SCALINGS:
        raise ValueError(
            f"rope_type={kind!r}: supported are default, {', '.join(SCALINGS)}"
        )
    check_scaling(kind, SCALINGS[kind], options, dim, theta)
    return FrozenMapping({"rope_type": kind, **options})


def scaled_speeds(
    exponents: Half,
    theta: Number,
    scaling: Mapping[str, Any],
    length: int | None = None,
) -> tuple[Half, float]:
    """Speeds and attention factor of a checked scaling, at `length` tokens; None stands
    for any length up to the one trained on.
    """
    options = {name: scaling[name] for name in scaling if name != "rope_type"}
    if scaling["rope_type"] in FOLLOW_LENGTH:
        options["length"] = length or options["original_max_position_embeddings"]
    return SCALINGS[scaling["rope_type"]](exponents, theta, **options)
