"""What the solutions of the lab on mixtures of experts are compared with in the library."""

MIXTURES = {
    "routers": """
from course_lib.layers.feed_forward.router import Router
x = torch.randn(20, 6).double()
def table(picks, weights):
    return torch.zeros(20, 12).double().scatter(1, picks, weights)
for kind in (dict(renormalise=True), dict(softmax_after=True)):
    router = Router(6, 12, 2, **kind).double()
    theirs, logits = router(x), router.gate(x)
    ours = mixtral_routing(logits, 2)
    torch.testing.assert_close(table(*ours), table(theirs.experts, theirs.weights), rtol=1e-12, atol=1e-12)
switch = Router(6, 12, 1, renormalise=False).double()
theirs = switch(x)
ours = mixtral_routing(switch.gate(x), 1)
torch.testing.assert_close(table(*ours), table(theirs.experts, theirs.weights), rtol=1e-12, atol=1e-12)
router = Router(6, 12, 3, scoring="sigmoid", groups=4, top_groups=2, scale=2.5, selection_bias=True).double()
router.selection_bias.copy_(torch.randn(12) - 1)
theirs = router(x)
ours = v3_routing(router.gate(x), router.selection_bias, 3, 4, 2, 2.5)
torch.testing.assert_close(table(*ours), table(theirs.experts, theirs.weights), rtol=1e-12, atol=1e-12)
""",
    "dispatch": """
from course_lib.layers.feed_forward import dispatch
from course_lib.layers.feed_forward.experts import Experts
from course_lib.layers.feed_forward.router import Routing
x, many = torch.randn(9, 4).double(), Experts(5, 4, 7).double()
picks, weights = torch.rand(9, 5).topk(2).indices, torch.rand(9, 2).double()
routing = Routing(picks, weights, torch.zeros(9, 5).double(), torch.zeros(9, 5).double())
ours = moe(x, picks, weights, [lambda h, i=i: many(h, i) for i in range(5)])
for form in (dispatch.dispatch_loop, dispatch.dispatch_sorted, dispatch.dispatch_batched):
    torch.testing.assert_close(ours, form(x, routing, many), rtol=1e-12, atol=1e-12)
slots, counts = dispatch.by_expert(picks, 5)
assert torch.equal(by_expert(picks, 5)[0], slots) and by_expert(picks, 5)[1].tolist() == counts
""",
    "capacity": """
from course_lib.layers.feed_forward import dispatch
picks, real = torch.rand(30, 5).topk(2).indices, torch.rand(30) < 0.7
theirs = dispatch.within_capacity(picks.masked_fill(~real[:, None], dispatch.NO_EXPERT), 5, 4)
assert torch.equal(within_capacity(picks, real, 5, 4), theirs)
assert capacity(4096, 2, 8, 1.25) == dispatch.capacity_of(4096, 8, 2, 1.25) == 1280
""",
    "balance": """
from course_lib.layers.feed_forward import balance as library
logits, picks, real = torch.randn(30, 5).double(), torch.rand(30, 5).topk(2).indices, torch.rand(30) < 0.7
theirs = library.switch_loss(logits.softmax(-1), picks, counted=real)
torch.testing.assert_close(balance_loss(logits, picks, real), theirs, rtol=1e-12, atol=1e-12)
torch.testing.assert_close(z_loss(logits, real), library.z_loss(logits, counted=real), rtol=1e-12, atol=1e-12)
bias, counts = torch.randn(5).double(), torch.tensor([3, 9, 1, 4, 3])
theirs = library.update_bias(bias, counts, 0.01)
torch.testing.assert_close(update_bias(bias, counts, 0.01), theirs, rtol=1e-12, atol=1e-12)
""",
}
OPERATED = {
    "ratios": """
from course_lib.layers.feed_forward.balance import max_over_mean
counts = torch.randint(1, 90, (7, 12))
ours = rank_ratio(counts, torch.arange(12))
theirs = torch.tensor([max_over_mean(row) for row in counts]).double()
torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)  # the library's may be float32
""",
    "quantile against many observations": """
import numpy
seconds = numpy.random.default_rng(0).uniform(0.0, 1.0, 20_000)
bounds = [i / 50 for i in range(1, 51)] + [math.inf]
histogram = {bound: int((seconds <= bound).sum()) for bound in bounds}
for q in (0.1, 0.5, 0.99):
    assert abs(quantile([histogram], q) - numpy.quantile(seconds, q)) < 0.01  # half a bucket
""",
}
