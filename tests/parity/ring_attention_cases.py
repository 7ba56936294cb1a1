"""What each rank does in the tests of ring attention: its share of a text, and the whole text beside it."""

import torch
import torch.distributed as dist

from course_lib.layers.attention.forms import attend
from course_lib.layers.masks import BIDIRECTIONAL, CAUSAL, sliding_window
from course_lib.parallel.ranks import Ranks
from course_lib.parallel.ring_attention import ring_attention, shard, tokens_of

BATCH, HEADS, GROUPS, WIDTH, VALUE_WIDTH = 2, 4, 2, 3, 5
MASKS = {"causal": CAUSAL, "full": BIDIRECTIONAL, "window": CAUSAL & sliding_window(6)}
LENGTHS = (16, 21)  # one that every layout divides, and one that none does
LAYOUTS = ("contiguous", "striped", "zigzag")
CASES = [f"{mask}, {layout}, {n}" for mask in MASKS for layout in LAYOUTS for n in LENGTHS]


def one_case(ranks: Ranks, mask: str, layout: str, length: int) -> dict:
    torch.manual_seed(5)
    shapes = (HEADS, WIDTH), (GROUPS, WIDTH), (GROUPS, VALUE_WIDTH)
    whole = [torch.randn(BATCH, length, *shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    weights = torch.randn(BATCH, length, HEADS, VALUE_WIDTH, dtype=torch.float64)
    positions = torch.arange(length).expand(BATCH, -1)
    expected, _ = attend(*whole, MASKS[mask].mask(positions, positions))
    wanted = torch.autograd.grad((expected * weights).sum(), whole)

    tokens = tokens_of(ranks.rank, ranks.count, length, layout)
    own = [shard(x.detach(), tokens).requires_grad_() for x in whole]
    before = ranks.sent_bytes
    y = ring_attention(*own, ranks, length=length, layout=layout, mask_mod=MASKS[mask])
    forward = ranks.sent_bytes - before
    (y * shard(weights, tokens)).sum().backward()
    return {
        "forward": (y - shard(expected, tokens)).abs().max().item(),
        "gradients": max(
            (x.grad - shard(want, tokens)).abs().max().item() for x, want in zip(own, wanted, strict=True)
        ),
        "tokens": len(tokens),
        "sent": forward,
        "sent backward": ranks.sent_bytes - before - forward,
    }


def all_cases(ranks: Ranks) -> dict[int, dict]:
    """By world size: what this rank found, on all ranks and on the first two."""
    reports = {}
    for count in (2, ranks.count):
        group = dist.new_group(list(range(count)))
        if ranks.rank < count:
            part = Ranks(group)
            reports[count] = {
                case: one_case(part, mask, layout, int(n))
                for case in CASES
                for mask, layout, n in [case.split(", ")]
            }
    return reports
