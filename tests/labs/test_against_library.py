"""The solutions of a lab do what the library's own versions do."""

import pytest

from course_lib.course.labs.generate import read_source
from tests.labs.answers import cell, ids
from tests.labs.library_hybrids import HYBRIDS
from tests.labs.library_moe import MIXTURES, OPERATED
from tests.labs.library_ssm import RECURRENCES

ATTENTION = {
    "scaled": """
from course_lib.layers.attention.forms import attend
q, k = torch.randn(2, 3, 4, 5).double(), torch.randn(2, 6, 4, 5).double()
v, mask = torch.randn(2, 6, 4, 7).double(), torch.rand(2, 3, 6) < 0.5
mask[1, 2] = False
for ours, theirs in zip(scaled_attention(q, k, v, mask), attend(q, k, v, mask)):
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
""",
    "layer": """
from course_lib.layers.masks import causal_mask
theirs, positions = Attention(7, heads=6, kv_heads=2, head_dim=4).double(), torch.arange(5).expand(2, -1)
x, parts = torch.randn(2, 5, 7).double(), {"q": theirs.wq, "k": theirs.wk, "v": theirs.wv, "o": theirs.wo}
weights = {name: part.weight for name, part in parts.items()}
ours = layer(x, weights, 6, 2, causal_mask(positions, positions))
torch.testing.assert_close(ours, theirs(x, positions), rtol=1e-12, atol=1e-12)
""",
    "rope": """
from course_lib.layers.positions.rope import apply_rope
x, positions = torch.randn(5, 3, 8).double(), torch.tensor([4, 0, 77, 5, 6])
cos, sin = Rope(dim=8, theta=500.0).tables(positions[None], torch.float64)
theirs = apply_rope(x[None], cos, sin)[0]
torch.testing.assert_close(rotate(x, positions, 500.0), theirs, rtol=1e-12, atol=1e-12)
""",
    "online": """
from course_lib.layers.attention.forms import attend
q, k, v = torch.randn(5, 4).double(), torch.randn(11, 4).double(), torch.randn(11, 3).double()
everything = torch.ones(1, 5, 11, dtype=torch.bool)
theirs = attend(q[None, :, None], k[None, :, None], v[None, :, None], everything)[0][0, :, 0]
torch.testing.assert_close(tiled_attention(q, k, v, 4)[0], theirs, rtol=1e-12, atol=1e-12)
""",
    "swiglu": """
from course_lib.layers.feed_forward.mlp import GatedMLP
from course_lib.specs.loader import load_spec
theirs, x = GatedMLP(5, 9).double(), torch.randn(2, 3, 5).double()
ours = swiglu(x, theirs.gate.weight, theirs.up.weight, theirs.down.weight)
torch.testing.assert_close(ours, theirs(x), rtol=1e-12, atol=1e-12)
spec = load_spec("llama-1-65b")
assert equal_width(4 * spec.width, 256) == spec.layers[0].ffn.width
""",
}
CACHES = {
    "contiguous": """
from course_lib.layers.caches.contiguous import ContiguousCache as Library
ours, theirs = ContiguousCache(2, 7, 3, 4), Library(2, 7, 3, 4, dtype=torch.float64)
for first, last in ((0, 3), (3, 4), (4, 7)):
    k, v = torch.randn(2, 2, last - first, 3, 4).double()
    want = theirs.update(k, v, torch.arange(first, last).expand(2, -1))
    assert all(torch.equal(a, b) for a, b in zip(ours.append(k, v), want))
""",
    "grouped": """
from course_lib.layers.attention.forms import attend
from course_lib.layers.attention.layer import attend_sdpa
q, (k, v) = torch.randn(2, 3, 6, 4).double(), torch.randn(2, 2, 5, 2, 4).double()
mask = torch.ones(2, 3, 5, dtype=torch.bool).tril(2)
got = grouped_attention(q, k, v, mask)
torch.testing.assert_close(got, attend(q, k, v, mask)[0], rtol=1e-12, atol=1e-12)
torch.testing.assert_close(got, attend_sdpa(q, k, v, mask), rtol=1e-12, atol=1e-12)
""",
    "ring": """
from course_lib.layers.caches.window import RingCache as Library
ours, theirs = RingCache(2, 4, 3, 5), Library(2, 4, 3, 5, dtype=torch.float64)
for first, last in ((0, 1), (1, 3), (3, 12), (12, 13), (13, 16)):
    k, v = torch.randn(2, 2, last - first, 3, 5).double()
    positions = torch.arange(first, last)
    ours.append(k, v, positions), theirs.update(k, v, positions.expand(2, -1))
    assert torch.equal(ours.positions, theirs._positions[0])
    assert torch.equal(ours.keys, theirs._keys.transpose(1, 2))
    assert torch.equal(ours.values, theirs._values.transpose(1, 2))
assert ours.keys.nbytes + ours.values.nbytes == theirs.nbytes
""",
    "paged": """
from course_lib.layers.caches.block_pool import BlockPool
from course_lib.layers.caches.paged import PagedCache as Library
pool = BlockPool(9, 4, kv_heads=2, head_dim=3, dtype=torch.float64)
ours, theirs = PagedCache(9, 4, 2, 3), Library(pool, batch=1)
ours.start("0")
def grow(row, tokens):
    k, v = torch.randn(2, tokens, 2, 3).double()
    ours.append(str(row), k, v)
    rows = len(theirs.lengths)
    keys, values = torch.zeros(2, rows, tokens, 2, 3).double()
    keys[row], values[row] = k, v
    positions = torch.full((rows, tokens), -1)
    positions[row] = torch.arange(theirs.lengths[row], theirs.lengths[row] + tokens)
    theirs.update(keys, values, positions)
    for number in range(rows):
        got = ours.gather(str(number))
        want = [x[number][: theirs.lengths[number]] for x in theirs.read()[:2]]
        assert all(torch.equal(a, b) for a, b in zip(got, want))
    assert len(ours.free) == pool.free_blocks
    assert sorted(ours.references) == sorted(pool.references)
grow(0, 6); ours.fork("0", "1"); theirs.fork(0); grow(1, 1); grow(0, 5); grow(1, 4)
ours.release("0"); theirs.free(0)
assert len(ours.free) == pool.free_blocks
""",
    "budget": """
for name, config in CONFIGS.items():
    for tokens in (100, 4096, 131072):
        want = library_cache_bytes(load_spec(name), batch=2, tokens=tokens, ring=True)
        assert cache_bytes(config, batch=2, tokens=tokens) == want, name
""",
    "quantised": """
from course_lib.layers.caches.quantised import Quantiser
quantiser, x = Quantiser(bits=8, scale_dtype=torch.float64), torch.randn(2, 3, 2, 7).double()
codes, steps = encode(x)
packed, scales = quantiser.encode(x)
torch.testing.assert_close(steps, scales, rtol=1e-12, atol=0)
want = quantiser.decode(packed, scales, 7, torch.float64)
torch.testing.assert_close(decode(codes, steps), want, rtol=1e-12, atol=1e-12)
torch.testing.assert_close(error_bound(steps), quantiser.error_bound(scales), rtol=1e-12, atol=0)
""",
}
PROTOTYPES = {
    "masks": """
from course_lib.layers.masks import CAUSAL, prefix, same_document
from course_lib.layers.positions.numbering import positions_from_padding, packed_positions
real = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()
positions, lengths = positions_from_padding(real), torch.tensor([2, 3])
assert torch.equal(prefix_mask(real, lengths), prefix(lengths).mask(positions, positions))
documents = torch.tensor([[4, 4, 9, 9, 9, 2]])
positions = packed_positions(documents)
assert torch.equal(packed_mask(documents), (CAUSAL & same_document(documents)).mask(positions, positions))
""",
    "loss": """
from course_lib.train.batches import masked_loss
logits, tokens = torch.randn(2, 6, 5).double(), torch.randint(5, (2, 6))
counts = torch.tensor([[1, 1, 0, 1, 1, 0], [0, 0, 0, 1, 0, 1]]).bool()
theirs = masked_loss(logits[:, :-1], tokens[:, 1:], counts[:, 1:])
torch.testing.assert_close(next_token_loss(logits, tokens, counts), theirs, rtol=1e-12, atol=1e-12)
""",
    "spans": """
from course_lib.tasks.tokenizer import FIRST_SENTINEL
from course_lib.train.denoising import hide_spans, restore_spans
tokens = torch.randint(256, (40,))
inputs, targets = hide_spans(tokens, torch.Generator().manual_seed(3))
sentinels = [FIRST_SENTINEL + i for i in range(20)]
assert restore(inputs.tolist(), targets.tolist(), sentinels) == tokens.tolist()
ours = [torch.tensor(part) for part in corrupt(tokens.tolist(), [(3, 2), (11, 5)], sentinels)]
assert torch.equal(restore_spans(*ours), tokens)
""",
}
KERNELS = {
    "causal after a cache": """
from course_lib.kernels.flash_triton import flash_attention
q, k, v = torch.randn(21, 16), torch.randn(50, 16), torch.randn(50, 16)
y, lse = torch.empty(21, 16), torch.empty(21)
flash_causal[(2,)](q, k, v, y, lse, 21, 50, 0.25, BLOCK_Q=16, BLOCK_K=16, WIDTH=16, SUM=tl.float32)
theirs = flash_attention(*(x[None, :, None] for x in (q, k, v)), causal=True, block_q=16, block_k=16)
torch.testing.assert_close(y, theirs[0][0, :, 0], rtol=1e-5, atol=1e-6)  # float32, in another order
torch.testing.assert_close(lse, theirs[1][0, :, 0], rtol=1e-5, atol=1e-6)
""",
    "grouped": """
from course_lib.kernels.flash_triton import flash_attention
q, k, v = torch.randn(18, 6, 16), torch.randn(33, 2, 16), torch.randn(33, 2, 16)
y = torch.empty_like(q)
flash_heads[(2, 6)](q, k, v, y, 18, 33, 6, 2, 0.25, BLOCK_Q=16, BLOCK_K=16, WIDTH=16, SUM=tl.float32)
theirs = flash_attention(*(x[None] for x in (q, k, v)), block_q=16, block_k=16)[0][0]
torch.testing.assert_close(y, theirs, rtol=1e-5, atol=1e-6)  # float32, in another order
""",
    "timed, here by the interpreter": """
from course_lib.course.labs.lab02_kernel.timing import against_sdpa
run = against_sdpa(flash_causal, 48, width=16, block=16, dtype=torch.float32, device="cpu", rounds=1)
assert run.speedup("yours") > 0 and run.baseline == "sdpa"
""",
    "the ending": """
from course_lib.course.labs.lab02_kernel import ending
found = ending.worked(flash, flash_causal)
assert found.gap < 1e-9 and found.launches == 32, found
for row in found.loads:
    assert row.causal == row.formula < row.all_keys < row.stored, row
blind = ending.worked(flash_causal, flash)  # every query sees the future
assert blind.gap > 0.1, blind
assert [row.causal for row in blind.loads] == [row.all_keys for row in found.loads]
""",
}
LABS = {
    "01_prototypes": PROTOTYPES,
    "02_attention_math": ATTENTION,
    "02_flash_kernel": KERNELS,
    "03_kv_cache": CACHES,
    "04_moe": MIXTURES,
    "04_moe_operations": OPERATED,
    "05_ssm": RECURRENCES,
    "09_hybrids": HYBRIDS,
}


@pytest.fixture(scope="module", params=LABS)
def solutions(request, kernel):
    """Define every solution of a lab in the kernel; return the lab and the kernel."""
    source = read_source(request.param)
    for name in (*[n for n in ids(source, "locked") if not n.startswith("table")], *ids(source, "solution")):
        outcome = kernel(cell(source, name).source)
        assert outcome.status == "ok", outcome.message
    return request.param, kernel


def test_the_solutions_equal_the_library(solutions):
    lab, kernel = solutions
    for name, comparison in LABS[lab].items():
        outcome = kernel(comparison)
        assert outcome.status == "ok", f"{name}: {outcome.message}"
