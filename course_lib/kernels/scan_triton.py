"""The chunked scan of Mamba-2 (SSD) as a Triton kernel: `layers.recurrent.ssd` on a
GPU, one program a head, which keeps the state on the chip.

Symbols: b batch, t tokens, h heads, v numbers a head, g groups of B and C, n state, T
tokens a chunk. One program takes up to `BLOCK_V` of the v numbers of one head, walks
over the text chunk by chunk and holds its part of the state, [n BLOCK_V], in registers
from the first chunk to the last. Inside a chunk all is matrix products of T rows: the
masked [T T] of attention, what the state at the start gives, what the chunk adds.

The chunks of one head follow each other here, so that a device is busy once b h (v /
BLOCK_V) programs fill it. The authors' kernels work on all chunks at once, in four
launches that pass states through memory: better for few heads and long texts.

Where it runs, and how the tests check it, is said in `flash_triton`.

Terms:
    chunk scan kernel, SSD kernel: the scan of Mamba-2 as one program a head, the state
        in registers -> ssd_scan
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
WIDEST = 128  # numbers of a state; wider ones do not fit into registers
BLOCK_V = {torch.float32: 32}  # v numbers of a program, 64 in half precision


# Triton compiles the source below, so nothing may wrap it: not even a check of types.
@triton.jit
@no_type_check
def _forward(
    X, DT, A, B, C, START, Y, END,
    x_b, x_t, x_h, dt_b, dt_t, dt_h, b_b, b_t, b_g, c_b, c_t, c_g, y_b, y_t, y_h,
    t, heads, heads_per_group, values, states,
    T: tl.constexpr, N: tl.constexpr, V: tl.constexpr,
    PRECISION: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    # 1. Which numbers of which head; offsets in 64 bits, for a long batch passes 2^31.
    batch, head = (tl.program_id(1) // heads).to(tl.int64), tl.program_id(1) % heads
    group = head // heads_per_group
    v_at, n_at = tl.program_id(0) * V + tl.arange(0, V), tl.arange(0, N)
    here = (batch * heads + head) * values * states  # of this head's state [v n]
    cell = here + v_at[None, :] * states + n_at[:, None]
    real = (n_at[:, None] < states) & (v_at[None, :] < values)
    state = tl.load(START + cell, mask=real, other=0.0)  # [N V], its transpose
    rate, rows = tl.load(A + head), tl.arange(0, T)

    for first in range(0, t, T):
        # 2. The tokens of a chunk. Behind the last one dt is 0: nothing decays, and
        # nothing is written.
        at = (first + rows).to(tl.int64)
        inside = at < t
        dt = tl.load(
            DT + batch * dt_b + at * dt_t + head * dt_h, mask=inside, other=0.0
        )
        x_rows = X + batch * x_b + at[:, None] * x_t + head * x_h
        b_rows = B + batch * b_b + at[:, None] * b_t + group * b_g
        c_rows = C + batch * c_b + at[:, None] * c_t + group * c_g
        seen = inside[:, None] & (n_at[None, :] < states)
        x_seen = inside[:, None] & (v_at[None, :] < values)
        x = tl.load(x_rows + v_at, mask=x_seen, other=0.0)
        b = tl.load(b_rows + n_at, mask=seen, other=0.0)
        c = tl.load(c_rows + n_at, mask=seen, other=0.0)
        kind = x.dtype
        if WIDEN:
            x, b, c = x.to(tl.float32), b.to(tl.float32), c.to(tl.float32)

        # 3. Attention inside the chunk. Log decays are differences of running sums.
        total = tl.cumsum(dt * rate, 0)
        gap = total[:, None] - total[None, :]
        gap = tl.where(rows[:, None] >= rows[None, :], gap, -float("inf"))
        scores = tl.dot(c, tl.trans(b), input_precision=PRECISION)
        weights = scores * tl.exp(gap) * dt[None, :]
        weights = weights.to(kind).to(x.dtype)  # rounded as x is, for the product
        y = tl.dot(weights, x, input_precision=PRECISION)

        # 4. What the state at the chunk's start gives to each token.
        before = state.to(kind).to(x.dtype)
        from_start = tl.dot(c, before, input_precision=PRECISION)
        y += tl.exp(total)[:, None] * from_start
        y_rows = Y + batch * y_b + at[:, None] * y_t + head * y_h
        tl.store(y_rows + v_at, y.to(Y.dtype.element_ty), mask=x_seen)

        # 5. The state at its end: the last running sum is the least, for none rises.
        whole = tl.min(total, 0)
        written = (x * (tl.exp(whole - total) * dt)[:, None]).to(kind).to(x.dtype)
        added = tl.dot(tl.trans(b), written, input_precision=PRECISION)
        state = tl.exp(whole) * state + added
    tl.store(END + cell, state, mask=real)


def ssd_scan(
    x: Float[Tensor, "b t h v"],
    dt: Float[Tensor, "b t h"],
    a: Float[Tensor, " h"],
    b: Float[Tensor, "b t g n"],
    c: Float[Tensor, "b t g n"],
    state: Float[Tensor, "b h v n"] | None = None,
    *,
    chunk: int | None = None,
) -> tuple[Float[Tensor, "b t h v"], Float[Tensor, "b h v n"]]:
    """SSD in one kernel, forward only.

    *Equation*: that of `ssd_chunked`.

    Args:
        x, b, c: on one device, of one dtype: float16, bfloat16 or float32. Only the
            last axis has to be contiguous.
        dt: step sizes from 0 on. a: decay rates below zero. Both are taken in float32.
        state: before the first token; zeros when left out.
        chunk: T, a power of two from 16. Left out, 64, and 32 in float32.

    Returns:
        y in the dtype of x, and the state after the last token in float32. Sums and
        decays are in float32.

    Raises:
        ValueError: g does not divide h; the tensors are on the CPU and the kernel is
            not interpreted, or on several devices; another dtype; a state wider than
            128; or a chunk that is no power of two from 16.

    *Cost*: as `ssd_chunked`; it reads each input and writes each output once for every
        64 of the v numbers (32 in float32), and no state of a chunk goes to memory.
    *Source*: Dao and Gu 2024, section 6, arXiv:2405.21060.
    *Differs from source*: no backward pass; the chunks of a head one after the other;
        nothing is tuned to a device.
    """
    fitting = 32 if x.dtype == torch.float32 else 64
    chunk = fitting if chunk is None else chunk
    _check(x, dt, a, b, c, chunk)
    batch, t, heads, values = x.shape
    groups, states = b.shape[2:]
    x, b, c = (one if one.stride(-1) == 1 else one.contiguous() for one in (x, b, c))
    dt, a = dt.float(), a.float().contiguous()
    shape = batch, heads, values, states
    start = x.new_zeros(shape, dtype=torch.float32) if state is None else state
    start, end = start.float().contiguous(), x.new_empty(shape, dtype=torch.float32)
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    strides = [one.stride(axis) for one in (x, dt, b, c, y) for axis in range(3)]
    most = BLOCK_V.get(x.dtype, 64)
    block = min(most, max(16, triton.next_power_of_2(values)))
    _forward[(triton.cdiv(values, block), batch * heads)](
        *(x, dt, a, b, c, start, y, end, *strides),
        *(t, heads, heads // groups, values, states),
        T=chunk,
        N=max(16, triton.next_power_of_2(states)),
        V=block,
        PRECISION="ieee",  # float32 stays float32; tensor cores would round it to tf32
        WIDEN=triton.knobs.runtime.interpret and x.dtype == torch.bfloat16,
    )
    return y, end


def _check(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, chunk: int) -> None:
    if x.device.type == "cpu" and not triton.knobs.runtime.interpret:
        raise ValueError(
            "x is on the CPU: allowed is a GPU, or TRITON_INTERPRET=1 before Triton's "
            "import"
        )
    if x.dtype not in DTYPES:
        raise ValueError(
            f"x is {x.dtype}: allowed is one of {', '.join(map(str, DTYPES))}"
        )
    for name, one in (("b", b), ("c", c)):
        if one.dtype != x.dtype:
            raise ValueError(f"{name} is {one.dtype}: allowed is that of x, {x.dtype}")
    for name, one in (("dt", dt), ("a", a), ("b", b), ("c", c)):
        if one.device != x.device:
            raise ValueError(
                f"{name} is on {one.device}: allowed is the device of x, {x.device}"
            )
    if x.shape[2] % b.shape[2]:
        raise ValueError(
            f"b has {b.shape[2]} groups: allowed are divisors of heads={x.shape[2]}"
        )
    if b.shape[-1] > WIDEST:
        raise ValueError(
            f"b has a state of {b.shape[-1]}: allowed are at most {WIDEST}"
        )
    if chunk < 16 or chunk & (chunk - 1):
        raise ValueError(f"chunk={chunk}: allowed are powers of two from 16")
