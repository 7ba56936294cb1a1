"""Properties of SSD: loop = chunks = masked attention, with gradients; and = the selective scan."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.layers.recurrent.scan import selective_scan_recurrent
from course_lib.layers.recurrent.ssd import log_decays, ssd_chunked, ssd_parallel, ssd_recurrent

CLOSE = {"rtol": 1e-10, "atol": 1e-12}
FORMS = (ssd_recurrent, ssd_parallel, ssd_chunked)


def inputs(batch, t, groups, in_group, v, n, seed=0, dtype=torch.float64):
    """x, dt, a, b, c and a state."""
    torch.manual_seed(seed)
    h = groups * in_group
    shapes = (
        (batch, t, h, v),
        (batch, t, h),
        (h,),
        (batch, t, groups, n),
        (batch, t, groups, n),
        (batch, h, v, n),
    )
    x, dt, a, b, c, state = (torch.randn(shape, dtype=dtype) for shape in shapes)
    return x, torch.nn.functional.softplus(dt), -a.exp(), b, c, state


def with_gradients(form, parts, **options):
    parts = [one.clone().requires_grad_() for one in parts]
    y, state = form(*parts, **options)
    weights = torch.arange(1.0, y.numel() + 1, dtype=y.dtype).view_as(y).cos()
    loss = (y * weights).sum() + state.square().sum()
    return y, state, *torch.autograd.grad(loss, parts)


@given(
    t=st.integers(1, 19),
    chunk=st.integers(1, 21),
    batch=st.integers(1, 2),
    groups=st.integers(1, 3),
    in_group=st.integers(1, 3),
    v=st.integers(1, 3),
    n=st.integers(1, 3),
    seed=st.integers(0, 99),
)
@settings(max_examples=20)
def test_every_form_is_the_loop_with_gradients(t, chunk, batch, groups, in_group, v, n, seed):
    parts = inputs(batch, t, groups, in_group, v, n, seed)
    plain = with_gradients(ssd_recurrent, parts)
    chunked = with_gradients(ssd_chunked, parts, chunk=chunk)
    parallel = with_gradients(ssd_parallel, parts)
    for one, *others in zip(plain, chunked, parallel, strict=True):
        for other in others:
            torch.testing.assert_close(other, one, **CLOSE)


@pytest.mark.parametrize("form", FORMS)
def test_it_is_the_selective_scan_with_one_decay_a_head(form):
    x, dt, a, b, c, state = inputs(2, 11, 1, 3, 4, 2)
    wide = selective_scan_recurrent(
        x.flatten(2),
        dt.repeat_interleave(4, dim=2),
        a.repeat_interleave(4)[:, None].expand(-1, 2),
        b[:, :, 0],
        c[:, :, 0],
        state.flatten(1, 2),
    )
    y, last = form(x, dt, a, b, c, state)
    torch.testing.assert_close(y.flatten(2), wide[0], **CLOSE)
    torch.testing.assert_close(last.flatten(1, 2), wide[1], **CLOSE)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cuts", [(0, 1, 13), (0, 5, 6, 13), (0, 0, 13)])
def test_a_state_handed_on_is_one_pass(form, cuts):
    x, dt, a, b, c, state = inputs(2, 13, 2, 2, 3, 2)
    whole, last = form(x, dt, a, b, c, state)
    pieces = []
    for start, end in itertools.pairwise(cuts):
        now = slice(start, end)
        y, state = form(x[:, now], dt[:, now], a, b[:, now], c[:, now], state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, **CLOSE)
    torch.testing.assert_close(state, last, **CLOSE)


@pytest.mark.parametrize("form", FORMS)
def test_a_step_of_zero_leaves_the_state_and_later_tokens_change_nothing_earlier(form):
    x, dt, a, b, c, state = inputs(2, 9, 1, 2, 3, 2)
    torch.testing.assert_close(form(x, 0 * dt, a, b, c, state)[1], state, rtol=0, atol=0)
    y, changed = form(x, dt, a, b, c, state)[0], x.clone()
    changed[:, 5] += 1
    moved = form(changed, dt, a, b, c, state)[0] - y
    assert moved[:, :5].abs().max() == 0 and moved[:, 5:].abs().flatten(2).amax(-1).min() > 0


def test_without_decay_it_is_linear_attention():
    x, _, _, b, c, _ = inputs(2, 9, 1, 1, 3, 2)
    ones, none = torch.ones(2, 9, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    attention = (c[:, :, 0] @ b[:, :, 0].transpose(1, 2)).tril() @ x[:, :, 0]
    for form in FORMS:
        torch.testing.assert_close(form(x, ones, none, b, c)[0][:, :, 0], attention, **CLOSE)


@pytest.mark.parametrize("chunk", [7, 64, 1000])
def test_strong_decay_over_many_tokens_stays_finite_in_float32(chunk):
    """Where two running sums overflow from step 176 on."""
    parts = [one.requires_grad_() for one in inputs(1, 700, 1, 2, 2, 2, dtype=torch.float32)[:5]]
    strong = [parts[0], 0 * parts[1] + 1, 0 * parts[2] - 0.5, *parts[3:]]
    y, _ = ssd_chunked(*strong, chunk=chunk)
    assert all(grad.isfinite().all() for grad in torch.autograd.grad(y.sum(), parts))
    exact, _ = ssd_recurrent(*(one.double() for one in strong))
    torch.testing.assert_close(y.double(), exact, rtol=1e-3, atol=1e-4)


def test_log_decays_are_sums_between_two_tokens():
    logs = -torch.rand(7, dtype=torch.float64)
    found = log_decays(logs.cumsum(-1))
    for t, s in itertools.product(range(7), range(7)):
        want = logs[s + 1 : t + 1].sum().item() if s <= t else -torch.inf
        assert found[t, s].item() == pytest.approx(want, abs=1e-12)


def test_a_chunk_below_one_is_refused():
    with pytest.raises(ValueError, match="chunk=0: allowed"):
        ssd_chunked(*inputs(1, 4, 1, 1, 1, 1), chunk=0)
