"""Properties of the selective scan: each form is the loop, with gradients, at any length."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib.layers.recurrent.scan import (
    selective_scan_chunked,
    selective_scan_parallel,
    selective_scan_recurrent,
    two_cumsums,
)

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
FORMS = {"chunked": selective_scan_chunked, "parallel": selective_scan_parallel}


def inputs(batch, t, i, n, seed=0, dtype=torch.float64):
    """u, dt, a, b, c and a state."""
    torch.manual_seed(seed)
    shapes = (batch, t, i), (batch, t, i), (i, n), (batch, t, n), (batch, t, n), (batch, i, n)
    u, dt, a, b, c, state = (torch.randn(shape, dtype=dtype) for shape in shapes)
    return u, torch.nn.functional.softplus(dt), -a.exp(), b, c, state


def with_gradients(form, parts, **options):
    parts = [one.clone().requires_grad_() for one in parts]
    y, state = form(*parts, **options)
    weights = torch.arange(1.0, y.numel() + 1, dtype=y.dtype).view_as(y).cos()
    loss = (y * weights).sum() + state.square().sum()
    return y, state, *torch.autograd.grad(loss, parts)


@given(
    t=st.integers(1, 23),
    chunk=st.integers(1, 25),
    batch=st.integers(1, 3),
    i=st.integers(1, 4),
    n=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=20)
def test_every_form_is_the_loop_with_gradients(t, chunk, batch, i, n, seed):
    parts = inputs(batch, t, i, n, seed)
    plain = with_gradients(selective_scan_recurrent, parts)
    chunked = with_gradients(selective_scan_chunked, parts, chunk=chunk)
    parallel = with_gradients(selective_scan_parallel, parts)
    for one, *others in zip(plain, chunked, parallel, strict=True):
        for other in others:
            torch.testing.assert_close(other, one, **CLOSE)


def test_the_backward_by_differences():
    parts = [one.requires_grad_() for one in inputs(2, 7, 3, 2)]
    assert torch.autograd.gradcheck(lambda *a: selective_scan_chunked(*a, chunk=3), parts)


@pytest.mark.parametrize("used", [0, 1])
def test_one_of_the_two_outputs_is_enough_for_a_gradient(used):
    parts = inputs(2, 7, 3, 2)
    grads = []
    for form in (selective_scan_recurrent, selective_scan_chunked):
        mine = [one.clone().requires_grad_() for one in parts]
        out = form(*mine)[used].sum()
        grads.append(torch.autograd.grad(out, mine, allow_unused=True, materialize_grads=True))
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(other, one, **CLOSE)


@pytest.mark.parametrize("form", [selective_scan_recurrent, *FORMS.values()])
@pytest.mark.parametrize("cuts", [(0, 1, 13), (0, 5, 6, 13), (0, 0, 13)])
def test_a_state_handed_on_is_one_scan(form, cuts):
    u, dt, a, b, c, state = inputs(2, 13, 3, 2)
    whole, last = form(u, dt, a, b, c, state)
    pieces = []
    for start, end in itertools.pairwise(cuts):
        y, state = form(u[:, start:end], dt[:, start:end], a, b[:, start:end], c[:, start:end], state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, **CLOSE)
    torch.testing.assert_close(state, last, **CLOSE)


@pytest.mark.parametrize("form", [selective_scan_recurrent, *FORMS.values()])
def test_a_step_of_zero_leaves_the_state_and_later_tokens_change_nothing_earlier(form):
    u, dt, a, b, c, state = inputs(2, 9, 3, 2)
    kept = [one.clone() for one in (u, dt, b, c, state)]
    assert torch.equal(form(u, 0 * dt, a, b, c, state)[1], state)
    y = form(u, dt, a, b, c, state)[0]
    changed = u.clone()
    changed[:, 5] += 1
    moved = form(changed, dt, a, b, c, state)[0] - y
    assert moved[:, :5].abs().max() == 0 and moved[:, 5:].abs().amin(-1).min() > 0
    assert all(torch.equal(one, old) for one, old in zip((u, dt, b, c, state), kept, strict=True))


def test_constant_inputs_have_a_closed_form():
    """h_t = x (1 - a^t) / (1 - a) for a constant decay a and input x."""
    one, rate, t = torch.ones(1, 50, 1, dtype=torch.float64), 0.3, torch.arange(1, 51, dtype=torch.float64)
    a = torch.full((1, 1), -rate, dtype=torch.float64)
    decay = torch.exp(torch.tensor(-rate * 0.5, dtype=torch.float64))
    for form in (selective_scan_recurrent, *FORMS.values()):
        y, _ = form(one, 0.5 * one, a, 2 * one, 3 * one)
        torch.testing.assert_close(y.flatten(), 3 * (1 - decay**t) / (1 - decay), **CLOSE)


def test_two_running_sums_fail_at_step_176_and_the_scans_do_not():
    log_decay, x = torch.full((400,), -0.5), torch.ones(400)
    sums, limit = two_cumsums(log_decay, x), 1 / (1 - torch.tensor(-0.5).exp())
    assert sums[:175].isfinite().all() and not sums[175:].isfinite().any()
    torch.testing.assert_close(sums[100:175], limit.expand(75))
    wide = two_cumsums(log_decay.double(), x.double())  # e^709 is far off
    assert wide.isfinite().all()
    u = x.view(1, -1, 1)
    for form in (selective_scan_recurrent, *FORMS.values()):
        y, _ = form(u, 0.5 * u, -torch.ones(1, 1), 2 * u, u)
        torch.testing.assert_close(y.flatten().double(), wide)


def test_a_long_scan_keeps_only_the_states_at_chunk_starts():
    parts = [one.requires_grad_() for one in inputs(1, 64, 3, 2)[:5]]
    y, _ = selective_scan_chunked(*parts, chunk=8)
    kept = y.grad_fn.saved_tensors
    assert max(one.numel() for one in kept) == max(64 * 3, 64 // 8 * 3 * 2)


class Written(TorchDispatchMode):
    """Counts the numbers that operations put out: work that no clock and no load disturbs."""

    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.numbers += sum(
                one.numel()
                for one in (out if isinstance(out, tuple | list) else [out])
                if isinstance(one, torch.Tensor)
            )
        return out


def slice_loop(u, dt, a, b, c):
    """What trains slowly: each token is a slice of a [b t i n] tensor."""
    decay, x = torch.exp(dt[..., None] * a), (dt * u)[..., None] * b[:, :, None]
    h, outputs = torch.zeros_like(x[:, 0]), []
    for t in range(u.shape[1]):
        h = decay[:, t] * h + x[:, t]
        outputs.append((h * c[:, t, None]).sum(-1))
    return torch.stack(outputs, 1), h


@pytest.mark.parametrize(
    ("form", "least", "most"),
    [(selective_scan_recurrent, 1.9, 2.1), (selective_scan_chunked, 1.9, 2.1), (slice_loop, 3.2, 4.1)],
)
def test_the_work_of_a_backward_grows_with_the_tokens_and_that_of_a_slice_loop_with_their_square(
    form, least, most
):
    counts = []
    for t in (128, 256):
        y, _ = form(*(one.requires_grad_() for one in inputs(1, t, 3, 2)[:5]))
        with Written() as written:
            y.sum().backward()
        counts.append(written.numbers)
    assert least < counts[1] / counts[0] < most


def test_a_chunk_below_one_is_refused():
    with pytest.raises(ValueError, match="chunk=0: allowed"):
        selective_scan_chunked(*inputs(1, 4, 1, 1), chunk=0)
