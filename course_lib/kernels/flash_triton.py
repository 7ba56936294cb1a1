"""FlashAttention as a Triton kernel: the loop of `layers.attention.flash` on a GPU, one
program a block of queries.

Symbols: b batch, t queries, s keys, h heads, g KV groups, k key width, v value width.
One program takes `BLOCK_Q` queries of one head, keeps their sums in registers and walks
over the keys, `BLOCK_K` at a time; a tile of scores never leaves the chip. Programs
need nothing from each other, so all run at once.

Needs Linux with a CUDA or ROCm device. With TRITON_INTERPRET=1 in the environment
before Triton is imported, the same code runs on CPU tensors through NumPy: slow, and
how the tests check it. The interpreter multiplies bfloat16 tiles as if they were
integers, so there (`WIDEN`) they are widened to float32 first.

Terms:
    Triton kernel, GPU kernel: FlashAttention's loop as one program a block of queries,
        on a GPU or in Triton's interpreter -> flash_attention
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from course_lib.layers.attention.forms import queries_per_kv_head

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
WIDTHS = (16, 128)  # of a head, the least and the most
LOG2_E = tl.constexpr(
    1.4426950408889634
)  # exp(x) = exp2(x log2 e), and exp2 is what the hardware has


# Triton compiles the source below, so nothing may wrap it: not even a check of types.
@triton.jit
@no_type_check
def _forward(
    Q, K, V, Y, LSE,
    q_b, q_t, q_h, k_b, k_s, k_g, v_b, v_s, v_g, y_b, y_t, y_h, l_b, l_t, l_h,
    t, s, heads, heads_per_group, key_dim, value_dim, scale_log2,
    CAUSAL: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
    KEY_DIM: tl.constexpr, VALUE_DIM: tl.constexpr,
    PRECISION: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    # 1. Which rows of which head; offsets in 64 bits, for a long batch passes 2^31
    # elements.
    batch, head = (tl.program_id(1) // heads).to(tl.int64), tl.program_id(1) % heads
    group = head // heads_per_group
    rows = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    k_at, v_at = tl.arange(0, KEY_DIM), tl.arange(0, VALUE_DIM)
    q_rows = Q + batch * q_b + head * q_h + rows[:, None].to(tl.int64) * q_t
    q = tl.load(q_rows + k_at, mask=(rows[:, None] < t) & (k_at < key_dim), other=0.0)
    if WIDEN:
        q = q.to(tl.float32)

    # 2. Under a causal mask query i sees the first i + 1 + (s - t) keys: the last query
    # sees all of them.
    last = tl.minimum(s, (tl.program_id(0) + 1) * BLOCK_Q + s - t) if CAUSAL else s
    highest = tl.full([BLOCK_Q], -float("inf"), tl.float32)
    total = tl.zeros([BLOCK_Q], tl.float32)
    sums = tl.zeros([BLOCK_Q, VALUE_DIM], tl.float32)
    for start in range(0, last, BLOCK_K):
        columns = start + tl.arange(0, BLOCK_K)
        k_rows = K + batch * k_b + group * k_g + columns[:, None].to(tl.int64) * k_s
        v_rows = V + batch * v_b + group * v_g + columns[:, None].to(tl.int64) * v_s
        k = tl.load(
            k_rows + k_at, mask=(columns[:, None] < s) & (k_at < key_dim), other=0.0
        )
        v = tl.load(
            v_rows + v_at, mask=(columns[:, None] < s) & (v_at < value_dim), other=0.0
        )
        if WIDEN:
            k, v = k.to(tl.float32), v.to(tl.float32)

        # 3. Scores of the tile, in powers of two.
        z = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale_log2
        seen = columns[None, :] < s
        if CAUSAL:
            seen = seen & (columns[None, :] <= rows[:, None] + s - t)
        z = tl.where(seen, z, -float("inf"))

        # 4. The online step. A row that has seen nothing yet stands at -inf, and 0
        # takes its place.
        higher = tl.maximum(highest, tl.max(z, 1))
        level = tl.where(higher == -float("inf"), 0.0, higher)
        share, before = tl.exp2(z - level[:, None]), tl.exp2(highest - level)
        total = total * before + tl.sum(share, 1)
        share = share.to(V.dtype.element_ty).to(
            v.dtype
        )  # rounded as the values are, for the product
        sums = sums * before[:, None] + tl.dot(share, v, input_precision=PRECISION)
        highest = higher

    # 5. One division a row, at the end. Nothing seen: 0 / 1, and a log-sum-exp of -inf.
    total = tl.where(total == 0.0, 1.0, total)
    y_rows = Y + batch * y_b + head * y_h + rows[:, None].to(tl.int64) * y_t
    y = (sums / total[:, None]).to(Y.dtype.element_ty)
    tl.store(y_rows + v_at, y, mask=(rows[:, None] < t) & (v_at < value_dim))
    lse = (highest + tl.log2(total)) / LOG2_E
    tl.store(
        LSE + batch * l_b + head * l_h + rows.to(tl.int64) * l_t, lse, mask=rows < t
    )


def flash_attention(
    queries: Float[Tensor, "b t h k"],
    keys: Float[Tensor, "b s g k"],
    values: Float[Tensor, "b s g v"],
    *,
    causal: bool = False,
    scale: float | None = None,
    block_q: int | None = None,
    block_k: int | None = None,
) -> tuple[Float[Tensor, "b t h v"], Float[Tensor, "b t h"]]:
    """Attention of h heads over g groups in one kernel, forward only.

    *Equation*: that of `flash_attention`.

    Args:
        queries, keys, values: on one device, of one dtype: float16, bfloat16 or
            float32. Only the last axis has to be contiguous, so the views of a cache
            will do.
        causal: query i sees the first i + 1 + (s - t) keys, so that the last one sees
            all: a prefill with t = s, or a chunk after s - t cached tokens. Otherwise
            every query sees every key.
        scale: factor on the scores, 1 / sqrt(k) when left out.
        block_q, block_k: queries and keys in a tile, powers of two from 16. Left out,
            64, and 32 in float32, so that heads of 128 fit into the 99 KiB that a
            program has on the smaller cards.

    Returns:
        (y, lse): y in the input's dtype, lse in float32. Scores and sums are kept in
        float32. A query that sees nothing (causal, t > s) has y = 0 and lse = -inf.

    Raises:
        ValueError: g does not divide h; the tensors are on the CPU and the kernel is
            not interpreted, or on several devices; another dtype; a head width outside
            16 to 128; shapes that do not fit together; or a block that is no power of
            two from 16.

    *Cost*: 2 b t s h (k + v) FLOPs, half of it when causal; y and lse are all it
        writes.
    *Source*: Dao 2023, algorithm 1, arXiv:2307.08691; Triton, Tillet et al. 2019,
        doi:10.1145/3315508.3329973.
    *Differs from source*: no backward pass; nothing is tuned to a device.
    """
    heads, (batch, t) = queries.shape[2], queries.shape[:2]
    heads_per_group = queries_per_kv_head(heads, keys.shape[2])
    key_dim, value_dim = queries.shape[-1], values.shape[-1]
    fitting = 32 if queries.dtype == torch.float32 else 64
    block_q, block_k = (
        fitting if block is None else block for block in (block_q, block_k)
    )
    _check(queries, keys, values, block_q=block_q, block_k=block_k)
    queries, keys, values = (
        x if x.stride(-1) == 1 else x.contiguous() for x in (queries, keys, values)
    )
    y = values.new_empty(batch, t, heads, value_dim)
    lse = queries.new_empty(batch, t, heads, dtype=torch.float32)
    strides = [
        x.stride(axis) for x in (queries, keys, values, y, lse) for axis in range(3)
    ]
    scale = key_dim**-0.5 if scale is None else scale
    _forward[(triton.cdiv(t, block_q), batch * heads)](
        *(queries, keys, values, y, lse, *strides),
        *(
            t,
            keys.shape[1],
            heads,
            heads_per_group,
            key_dim,
            value_dim,
            scale * LOG2_E.value,
        ),
        CAUSAL=causal,
        BLOCK_Q=block_q,
        BLOCK_K=block_k,
        KEY_DIM=triton.next_power_of_2(key_dim),
        VALUE_DIM=triton.next_power_of_2(value_dim),
        PRECISION="ieee",  # float32 stays float32; tensor cores would round it to tf32
        WIDEN=triton.knobs.runtime.interpret and values.dtype == torch.bfloat16,
    )
    return y, lse


def _check(queries: Tensor, keys: Tensor, values: Tensor, **blocks: int) -> None:
    if queries.device.type == "cpu" and not triton.knobs.runtime.interpret:
        raise ValueError(
            "queries is on the CPU: allowed is a GPU, or TRITON_INTERPRET=1 before "
            "Triton's import"
        )
    for name, x in (("queries", queries), ("keys", keys), ("values", values)):
        if x.dtype not in DTYPES:
            raise ValueError(
                f"{name} is {x.dtype}: allowed is one of {', '.join(map(str, DTYPES))}"
            )
        if x.dtype != queries.dtype:
            raise ValueError(
                f"{name} is {x.dtype}: allowed is that of queries, {queries.dtype}"
            )
        least, most = WIDTHS
        if not least <= x.shape[-1] <= most:
            raise ValueError(
                f"{name} has heads of width {x.shape[-1]}: "
                f"allowed are {least} to {most}"
            )
        if x.device != queries.device:
            raise ValueError(
                f"{name} is on {x.device}: allowed is the device of queries, "
                f"{queries.device}"
            )
    batch, (s, groups) = queries.shape[0], keys.shape[1:3]
    for name, x, want in (
        ("keys", keys, (batch, s, groups, queries.shape[-1])),
        ("values", values, (batch, s, groups, values.shape[-1])),
    ):
        if x.shape != want:
            raise ValueError(
                f"{name} has shape {tuple(x.shape)}: allowed is {tuple(want)}"
            )
    for name, block in blocks.items():
        if block < 16 or block & (block - 1):
            raise ValueError(f"{name}={block}: allowed are powers of two from 16")
