"""What each rank does in the tests of tensor parallelism: a whole block and its own part of it, side by side.

Every process builds the same block from the same seed, so that it can hold its part against the whole.
"""

import os
import time
from dataclasses import replace

import torch

from course_lib.layers.caches.contiguous import ContiguousCache
from course_lib.models.block import Block
from course_lib.parallel.ranks import Ranks
from course_lib.parallel.split import BlockPart, kv_heads_of, split_block
from course_lib.parallel.tensor import TensorParallelBlock, block_in_turn
from course_lib.specs.records import FFNSpec, LayerSpec
from course_lib.specs.small import small_llama

WIDTH, HEADS, HEAD_DIM, FFN = 24, 8, 6, 20  # heads times their width is not the model's width
BATCH, TOKENS, PROMPT = 2, 6, 4


def layer(kv_heads: int = 4, *, biases: bool = False, mlp: bool = False, **changes) -> LayerSpec:
    """One layer of a small Llama, changed."""
    fields = {"head_dim": HEAD_DIM, "attention_bias": biases, "mlp_bias": biases}
    base = small_llama(WIDTH, 1, HEADS, kv_heads=kv_heads, ffn=FFN, **fields).layers[0]
    if mlp:
        changes["ffn"] = FFNSpec(kind="mlp", activation="gelu", width=FFN, bias=biases)
    mixer = {name: changes.pop(name) for name in ("qk_norm", "window") if name in changes}
    return replace(base, mixer=replace(base.mixer, **mixer), **changes)


CASES = {
    "SwiGLU, GQA": layer(),
    "one KV head": layer(1),
    "two KV heads, biases": layer(2, biases=True),
    "MHA, MLP with biases": layer(HEADS, biases=True, mlp=True),
    "MLP without biases": layer(mlp=True),
    "parallel layout, biases": layer(2, biases=True, norm_layout="parallel"),
    "QK norm, KV heads shared": layer(1, qk_norm="head"),
    "window": layer(window=3),
}


def whole_block(case: str) -> Block:
    """The block of a case, every weight random, norms and biases too."""
    torch.manual_seed(sorted(CASES).index(case))
    block = Block(WIDTH, CASES[case]).double()
    with torch.no_grad():
        for weight in block.parameters():
            weight.copy_(torch.randn_like(weight) * (0.3 if weight.ndim > 1 else 1.0))
    return block


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, the gradient of their loss, and positions."""
    torch.manual_seed(100)
    x, pulled = torch.randn(2, BATCH, TOKENS, WIDTH, dtype=torch.float64)
    return x, pulled, torch.arange(TOKENS).expand(BATCH, TOKENS)


def whole_gradients(block: Block, part: BlockPart) -> dict[str, torch.Tensor]:
    """The part's slices of the gradients of the whole block, by the part's names."""
    names = {name: parameter.grad for name, parameter in block.named_parameters()}
    heads, k = block.mixer.heads // part.ranks, block.mixer.head_dim
    held = kv_heads_of(part.rank, part.ranks, block.mixer.kv_heads)
    inner = block.ffn.up.out_features // part.ranks
    q = slice(part.rank * heads * k, (part.rank + 1) * heads * k)
    f, kv = slice(part.rank * inner, (part.rank + 1) * inner), slice(held.start * k, held.stop * k)
    cut = {"attention.wq": q, "attention.wk": kv, "attention.wv": kv, "ffn.up": f, "ffn.gate": f}
    found = {}
    for name, _ in part.named_parameters():
        layer_name = name.rpartition(".")[0]
        theirs = name.replace("attention_norm", "mixer_norm").replace("attention.", "mixer.")
        theirs = {"bias_out": "mixer.wo.bias", "bias_down": "ffn.down.bias"}.get(theirs, theirs)
        if layer_name in cut:
            found[name] = names[theirs][cut[layer_name]]
        elif layer_name in ("attention.wo", "ffn.down"):
            found[name] = names[theirs][:, q if layer_name == "attention.wo" else f]
        else:
            found[name] = names[theirs]
    return found


def gap(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return (ours - theirs).abs().max().item()


def decoded(block, kv_heads: int, x: torch.Tensor, positions: torch.Tensor) -> tuple[torch.Tensor, int]:
    """A prompt, then a token a step, with a cache; and the cache's bytes."""
    cache = ContiguousCache(BATCH, TOKENS, kv_heads, HEAD_DIM, dtype=torch.float64)
    steps = [slice(0, PROMPT), *(slice(i, i + 1) for i in range(PROMPT, TOKENS))]
    with torch.no_grad():
        return torch.cat([block(x[:, s], positions[:, s], cache) for s in steps], 1), cache.nbytes


def one_case(ranks: Ranks, case: str) -> dict[str, float]:
    """Gaps between a block over the ranks and the whole block, and what was sent."""
    x, pulled, positions = inputs()
    whole, own = whole_block(case), x.clone().requires_grad_()
    x.requires_grad_()
    expected = whole(x, positions)
    expected.backward(pulled)

    part = split_block(whole, ranks.rank, ranks.count)
    split = TensorParallelBlock(part, ranks)
    sent, reduces = ranks.sent_bytes, ranks.all_reduces
    got = split(own, positions)
    facts = {"forward": gap(got, expected)}
    facts |= {"sent": ranks.sent_bytes - sent, "reduces": ranks.all_reduces - reduces}
    sent, reduces = ranks.sent_bytes, ranks.all_reduces
    got.backward(pulled)
    facts |= {"sent backward": ranks.sent_bytes - sent, "reduces backward": ranks.all_reduces - reduces}
    before = part.attention.wk.weight.grad.clone()
    split.add_up_shared_gradients()
    wanted = whole_gradients(whole, part)
    found = {name: weight.grad for name, weight in part.named_parameters()}
    facts["gradients"] = max(gap(found[name], wanted[name]) for name in wanted)
    facts["key gradient in part"] = gap(before, wanted["attention.wk.weight"])
    facts["input gradient"] = gap(own.grad, x.grad)

    parts = [split_block(whole, rank, ranks.count) for rank in range(ranks.count)]
    facts["in turn"] = gap(block_in_turn(parts, x, positions), expected)
    steps, held = decoded(split, part.attention.kv_heads, x.detach(), positions)
    whole_steps, whole_held = decoded(whole, whole.mixer.kv_heads, x.detach(), positions)
    facts["decode"] = max(gap(steps, expected), gap(whole_steps, expected))
    facts["cache share"] = held / whole_held
    return facts


def all_cases(ranks: Ranks) -> dict[str, object]:
    """Everything that one world size is asked."""
    torch.manual_seed(ranks.rank)
    mine = torch.randn(3, 5, dtype=torch.float64)  # 15 numbers: 2 and 4 do not divide them
    by_ring, by_backend = ranks.all_reduce(mine), mine.clone()
    torch.distributed.all_reduce(by_backend)
    return {
        "ring": gap(by_ring, by_backend),
        **{case: one_case(ranks, case) for case in CASES},
    }


def fails(ranks: Ranks) -> None:
    """One rank dies of an error while the other waits for it."""
    if ranks.rank == 1:
        raise ValueError("rank 1 gives up")
    ranks.all_reduce(torch.ones(4))


def exits(ranks: Ranks) -> None:
    """One rank goes away without a word."""
    if ranks.rank == 1:
        os._exit(3)
    ranks.all_reduce(torch.ones(4))


def sleeps(ranks: Ranks) -> None:
    """A rank that never comes back."""
    time.sleep(60)
