"""What the solutions of the lab on recurrences are compared with in the library."""

RECURRENCES = {
    "discretise": """
from course_lib.layers.recurrent.discretise import discretise_diagonal
a, b, dt = -torch.rand(4, 3).double() - 0.1, torch.randn(3).double(), torch.rand(5, 4, 1).double()
for rule, ours in (("zoh", zoh), ("bilinear", bilinear)):
    for mine, theirs in zip(ours(a, b, dt), discretise_diagonal(a, b, dt, rule), strict=True):
        torch.testing.assert_close(mine, theirs.expand_as(mine), rtol=1e-12, atol=1e-12)
""",
    "scan": """
from course_lib.layers.recurrent.scan import selective_scan_parallel
u, dt, a = torch.randn(2, 7, 3).double(), torch.rand(2, 7, 3).double(), -torch.rand(3, 4).double()
b, c = torch.randn(2, 2, 7, 4).double()
start = torch.zeros(2, 3, 4).double()
states = scan(torch.exp(dt[..., None] * a), (dt * u)[..., None] * b[:, :, None], start)
theirs, last = selective_scan_parallel(u, dt, a, b, c)
torch.testing.assert_close((states * c[:, :, None]).sum(-1), theirs, rtol=1e-12, atol=1e-12)
torch.testing.assert_close(states[:, -1], last, rtol=1e-12, atol=1e-12)
""",
    "short convolution": """
from course_lib.layers.recurrent.causal_conv import CausalConv
theirs, x = CausalConv(3, 4).double(), torch.randn(2, 9, 3).double()
torch.nn.init.normal_(theirs.bias)
want, kept, inputs = theirs(x)[0], None, None
got = []
for piece in x.split([5, 1, 3], 1):
    y, kept = short_conv(piece, theirs.weight[:, 0], theirs.bias, kept)
    _, inputs = theirs(piece, inputs)
    got.append(y)
    torch.testing.assert_close(kept, inputs[..., 1:].mT)
torch.testing.assert_close(torch.cat(got, 1), want, rtol=1e-12, atol=1e-12)
""",
    "block": """
from course_lib.layers.recurrent.mamba import Mamba
theirs, x = Mamba(5, inner=7, state=3, conv=4, dt_rank=2).double(), torch.randn(2, 6, 5).double()
named = {
    "in": theirs.w_in.weight, "conv": theirs.conv.weight[:, 0], "conv_bias": theirs.conv.bias,
    "select": theirs.w_select.weight, "step": theirs.w_step.weight, "offset": theirs.dt_offset,
    "a_log": theirs.a_log, "skip": theirs.skip, "out": theirs.w_out.weight,
}
want = theirs(x, torch.arange(6).expand(2, -1))
torch.testing.assert_close(block(x, named, None)[0], want, rtol=1e-12, atol=1e-12)
first, cache = block(x[:, :2], named, None)
pieces = torch.cat([first, block(x[:, 2:], named, cache)[0]], 1)
torch.testing.assert_close(pieces, want, rtol=1e-12, atol=1e-12)
""",
    "wkv": """
from course_lib.layers.recurrent.wkv4 import wkv4_recurrent
k, v = torch.randn(2, 2, 9, 3).double()
decay, bonus = -torch.rand(3).double(), torch.randn(3).double()
theirs, _ = wkv4_recurrent(100 * k, v, decay, bonus)
torch.testing.assert_close(wkv(100 * k, v, decay, bonus, None)[0], theirs, rtol=1e-12, atol=1e-12)
""",
    "delta rule": """
from course_lib.layers.recurrent.delta_rule import delta_rule_chunked
q, k, v = torch.randn(2, 7, 3).double(), torch.randn(2, 7, 3).double(), torch.randn(2, 7, 4).double()
k, beta, decay = k / k.norm(dim=-1, keepdim=True), torch.rand(2, 7).double(), -torch.rand(2, 7).double()
state = torch.randn(2, 3, 4).double()
heads = (x[:, :, None] for x in (q, k, v, beta, decay[..., None]))
y, last = delta_rule_chunked(*heads, state=state[:, None], chunk=3)
for ours in (delta(q, k, v, beta, decay, state), delta_chunked(q, k, v, beta, decay, state, 2)):
    torch.testing.assert_close(ours[0], y[:, :, 0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours[1], last[:, 0], rtol=1e-12, atol=1e-12)
""",
    "parallel scan": """
decay, x = torch.rand(2, 11, 3).double(), torch.randn(2, 11, 3).double()
want = scan(decay, x, torch.zeros(2, 3).double())
torch.testing.assert_close(parallel_scan(decay, x), want, rtol=1e-12, atol=1e-12)
""",
}
