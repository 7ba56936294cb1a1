"""Properties of recurrences: all forms compute the same, with gradients, and the papers' equations hold."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import functional_call

from course_lib.layers.recurrent import delta_rule, linear_attention, rwkv, wkv4
from course_lib.layers.recurrent.causal_conv import CausalConv
from course_lib.layers.recurrent.delta_rule import delta_rule_recurrent, unit
from course_lib.layers.recurrent.linear_attention import linear_attention_recurrent, normalised
from course_lib.layers.recurrent.rwkv import wkv_recurrent
from course_lib.layers.recurrent.short_conv import causal_conv_recurrent

CLOSE = {"rtol": 1e-9, "atol": 1e-11}
B, H, K, V = 2, 3, 4, 5
STRONG = st.sampled_from([0.01, 1.0, 30.0])
"""How much is forgotten: after a token 1 %, or all but a third, or all but 1e-13 of it."""


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def draw(kind, t, gates, decay):
    """The tensors of a recurrence, the arguments that are not split, and a state."""
    q, k, v, state = normal(B, t, H, K), normal(B, t, H, K), normal(B, t, H, V), normal(B, H, K, V)
    g = None if gates is None else -decay * torch.rand(B, t, H, gates, dtype=torch.float64)
    if kind == "linear":
        return [q, k, v, g], {}, state
    if kind == "bonus":
        return [q, k, v, g], {"bonus": normal(H, K)}, state
    if kind == "delta":
        return [q, unit(k), v, torch.rand(B, t, H, dtype=torch.float64), g], {}, state
    removal = {"kappa": unit(normal(B, t, H, K)), "rate": torch.rand(B, t, H, K, dtype=torch.float64)}
    return [q, k, v, torch.zeros_like(k[..., :1]) if g is None else g], removal, state


FORMS = {
    "linear": (
        linear_attention_recurrent,
        linear_attention.linear_attention_parallel,
        linear_attention.linear_attention_chunked,
    ),
    "delta": (delta_rule_recurrent, delta_rule.delta_rule_parallel, delta_rule.delta_rule_chunked),
    "rwkv7": (wkv_recurrent, wkv_recurrent, rwkv.wkv_chunked),
}
FORMS["bonus"] = FORMS["linear"]


def through(form, tensors, options, state):
    """Outputs and states, and the gradients of all that goes in."""
    leaves = [x.clone().requires_grad_() for x in [*tensors, *options.values(), state] if x is not None]
    one = iter(leaves)
    again = [x if x is None else next(one) for x in tensors]
    named = {name: next(one) for name in options}
    y, after = form(*again, **named, state=next(one))
    loss = (y * torch.arange(1.0, 1 + y.shape[-1])).square().sum() + (after**3).sum()
    return [y, after, *torch.autograd.grad(loss, leaves, allow_unused=True)]


def same(one, other, **close):
    for x, y in zip(one, other, strict=True):
        assert (x is None) == (y is None)
        if x is not None:
            torch.testing.assert_close(x, y, **(close or CLOSE))


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("gates", [None, 1, K])
@given(t=st.integers(1, 19), chunk=st.integers(1, 20), decay=STRONG, seed=st.integers(0, 99))
@settings(max_examples=8)
def test_every_form_is_the_loop_with_gradients(kind, gates, t, chunk, decay, seed):
    torch.manual_seed(seed)
    recurrent, parallel, chunked = FORMS[kind]
    drawn = draw(kind, t, gates, decay)
    plain = through(recurrent, *drawn)
    same(plain, through(parallel, *drawn))
    same(plain, through(lambda *x, **options: chunked(*x, chunk=chunk, **options), *drawn))


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("form", [0, 1, 2])
@given(t=st.integers(2, 15), cut=st.integers(0, 15), seed=st.integers(0, 99))
@settings(max_examples=5)
def test_a_state_handed_on_goes_on(kind, form, t, cut, seed):
    torch.manual_seed(seed)
    tensors, options, state = draw(kind, t, K, 1.0)
    run, cut = FORMS[kind][form], min(cut, t)
    whole, parts, per_token = run(*tensors, **options, state=state), [], {"kappa", "rate"}
    for piece in (slice(0, cut), slice(cut, t)):
        cut_options = {name: x[:, piece] if name in per_token else x for name, x in options.items()}
        y, state = run(*(x[:, piece] for x in tensors), **cut_options, state=state)
        parts.append(y)
    same(whole, (torch.cat(parts, 1), state))


@pytest.mark.parametrize("kind", FORMS)
def test_no_state_is_a_state_of_zeros_and_later_tokens_change_nothing(kind):
    tensors, options, state = draw(kind, 11, 1, 1.0)
    for form in FORMS[kind]:
        y, after = form(*tensors, **options)
        same((y, after), form(*tensors, **options, state=torch.zeros_like(state)))
        changed = [torch.cat([x[:, :7], x[:, 7:] * 2], 1) for x in tensors]
        torch.testing.assert_close(form(*changed, **options)[0][:, :7], y[:, :7], **CLOSE)
        assert not torch.allclose(form(*changed, **options)[0][:, 7:], y[:, 7:])


@pytest.mark.parametrize("kind", FORMS)
def test_one_gate_a_head_is_the_same_gate_in_all_channels(kind):
    tensors, options, state = draw(kind, 11, 1, 1.0)
    for form in FORMS[kind]:
        wide = [*tensors[:-1], tensors[-1].expand(-1, -1, -1, K)]
        same(form(*tensors, **options, state=state), form(*wide, **options, state=state))


# The equations of the papers, head by head, with matrices


def heads(*tensors):
    """For each row and head, its tensors in the order of tokens."""
    for b in range(B):
        for h in range(H):
            yield (b, h), *(x[b, :, h] for x in tensors)


def test_gated_linear_attention_as_its_paper_writes_it():
    """S_t = (alpha_t^T 1) * S_{t-1} + k_t^T v_t, o_t = q_t S_t: Yang et al. 2023, arXiv:2312.06635."""
    (q, k, v, g), _, start = draw("linear", 9, K, 1.0)
    y, after = linear_attention_recurrent(q, k, v, g, state=start)
    for place, q_h, k_h, v_h, g_h in heads(q, k, v, g):
        state = start[place]
        for t in range(9):
            state = (g_h[t].exp()[:, None] @ torch.ones(1, V).double()) * state + torch.outer(k_h[t], v_h[t])
            torch.testing.assert_close(y[place[0], t, place[1]], q_h[t] @ state, **CLOSE)
        torch.testing.assert_close(after[place], state, **CLOSE)


def test_retention_as_its_paper_writes_it():
    """(Q K^T * D) V with D_nm = gamma^(n - m): Sun et al. 2023, arXiv:2307.08621."""
    (q, k, v, _), _, _ = draw("linear", 9, None, 1.0)
    decay = linear_attention.retention_log_decay(H).double()
    y, _ = linear_attention_recurrent(q, k, v, decay[:, None].expand(B, 9, H, 1))
    n = torch.arange(9)
    for (b, h), q_h, k_h, v_h in heads(q, k, v):
        gamma = 1 - 2.0 ** (-5 - h)
        mask = torch.where(n[:, None] >= n, gamma ** (n[:, None] - n).double(), 0.0)
        torch.testing.assert_close(y[b, :, h], (q_h @ k_h.T * mask) @ v_h, rtol=1e-6, atol=1e-6)


def test_linear_attention_is_a_mean_with_weights_of_feature_maps():
    """Katharopoulos et al. 2020, arXiv:2006.16236: weights phi(q) . phi(k) over their sum."""
    (q, k, v, _), _, _ = draw("linear", 9, None, 1.0)
    for name in ("elu", "taylor"):
        phi = linear_attention.FEATURE_MAPS[name]
        forms = [normalised(form, phi(q), phi(k), v) for form in FORMS["linear"]]
        for (b, h), q_h, k_h, v_h in heads(phi(q), phi(k), v):
            weights = (q_h @ k_h.T).tril()
            expected = weights / weights.sum(-1, keepdim=True) @ v_h
            for y, _ in forms:
                torch.testing.assert_close(y[b, :, h], expected, **CLOSE)
    z = torch.einsum("bthk,bthk->bth", q, k) / K**0.5
    products = torch.einsum("bthk,bthk->bth", phi(q), phi(k))
    torch.testing.assert_close(products, 1 + z + z**2 / 2, **CLOSE)


@pytest.mark.parametrize("gates", [1, K])
def test_the_gated_delta_rule_as_its_papers_write_it(gates):
    """S_t = (I - beta_t k_t k_t^T) Diag(alpha_t) S_{t-1} + beta_t k_t v_t^T, o_t = S_t^T q_t: Kimi Team 2025,
    arXiv:2510.26692; with one alpha a head, transposed, Yang et al. 2024, arXiv:2412.06464."""
    (q, k, v, beta, g), _, start = draw("delta", 9, gates, 1.0)
    y, after = delta_rule_recurrent(q, k, v, beta, g, state=start)
    for place, q_h, k_h, v_h, beta_h, g_h in heads(q, k, v, beta, g):
        state = start[place]
        for t in range(9):
            removed = torch.eye(K).double() - beta_h[t] * torch.outer(k_h[t], k_h[t])
            state = removed @ torch.diag(g_h[t].exp().expand(K)) @ state + beta_h[t] * torch.outer(
                k_h[t], v_h[t]
            )
            torch.testing.assert_close(y[place[0], t, place[1]], state.T @ q_h[t], **CLOSE)
        torch.testing.assert_close(after[place], state, **CLOSE)


def test_rwkv_5_and_6_as_their_paper_writes_them():
    """wkv_t = Diag(u) k_t^T v_t + sum over i < t of Diag(product of w_j, i < j < t) k_i^T v_i: Peng et al.
    2024, arXiv:2404.05892. The pair before t has not decayed: n - 1 factors at a distance of n."""
    (r, k, v, g), options, _ = draw("bonus", 7, K, 1.0)
    for fixed in (False, True):  # version 6, then 5
        g = g[:, :1].expand(B, 7, H, K) if fixed else g
        y, _ = wkv_recurrent(r, k, v, g, **options)
        for (b, h), r_h, k_h, v_h, g_h in heads(r, k, v, g):
            for t in range(7):
                wkv = torch.diag(options["bonus"][h]) @ torch.outer(k_h[t], v_h[t])
                for i in range(t):
                    wkv = wkv + torch.diag(g_h[i + 1 : t].exp().prod(0)) @ torch.outer(k_h[i], v_h[i])
                torch.testing.assert_close(y[b, t, h], r_h[t] @ wkv, **CLOSE)


def test_rwkv_7_as_its_paper_writes_it():
    """S_t = S_{t-1} (Diag(w_t) - kappa_t^T (a_t * kappa_t)) + v_t^T k_t, rows of S for values: Peng et al.
    2025, arXiv:2503.14456."""
    (r, k, v, g), options, start = draw("rwkv7", 9, K, 1.0)
    y, after = wkv_recurrent(r, k, v, g, **options, state=start)
    for place, r_h, k_h, v_h, g_h, kappa, a in heads(r, k, v, g, options["kappa"], options["rate"]):
        state = start[place].T
        for t in range(9):
            transition = torch.diag(g_h[t].exp()) - kappa[t][:, None] @ (a[t] * kappa[t])[None]
            state = state @ transition + v_h[t][:, None] @ k_h[t][None]
            torch.testing.assert_close(y[place[0], t, place[1]], state @ r_h[t], **CLOSE)
        torch.testing.assert_close(after[place], state.T, **CLOSE)


# One recurrence is a case of another


def test_the_delta_rule_is_rwkv_7_with_one_rate():
    (q, k, v, beta, _), _, start = draw("delta", 9, None, 1.0)
    rate = beta[..., None].expand(B, 9, H, K)
    same(
        delta_rule_recurrent(q, k, v, beta, state=start),
        wkv_recurrent(q, rate * k, v, torch.zeros_like(k), kappa=k, rate=rate, state=start),
    )


def test_with_orthogonal_keys_the_delta_rule_is_linear_attention():
    _, _, v, _ = draw("linear", K, None, 1.0)[0]
    k = torch.linalg.qr(normal(B, H, K, K)).Q.transpose(1, 2)
    q, ones = normal(B, K, H, K), torch.ones(B, K, H, dtype=torch.float64)
    same(delta_rule_recurrent(q, k, v, ones), linear_attention_recurrent(q, k, v))


def test_the_delta_rule_returns_the_last_value_of_a_key_and_linear_attention_the_sum():
    key, v = unit(normal(1, 1, 1, K), 0.0), normal(1, 2, 1, V)
    k, ones = key.expand(1, 2, 1, K), torch.ones(1, 2, 1, dtype=torch.float64)
    torch.testing.assert_close(delta_rule_recurrent(k, k, v, ones)[0][:, 1], v[:, 1], **CLOSE)
    torch.testing.assert_close(linear_attention_recurrent(k, k, v)[0][:, 1], v.sum(1), **CLOSE)


def test_rwkv_4_is_the_recurrence_with_keys_of_width_one():
    k, v, g, u = normal(B, 9, K), normal(B, 9, K), -torch.rand(K).double(), normal(K)
    y, _ = wkv_recurrent(
        torch.ones(B, 9, K, 1).double(),
        k.exp()[..., None],
        torch.stack([v, torch.ones_like(v)], -1),
        g.view(1, 1, K, 1).expand(B, 9, K, 1),
        bonus=u.exp()[:, None],
    )
    expected = y[..., 0] / y[..., 1]
    torch.testing.assert_close(wkv4.wkv4_naive(k, v, g, u), expected, **CLOSE)
    torch.testing.assert_close(wkv4.wkv4_recurrent(k, v, g, u)[0], expected, **CLOSE)


# RWKV-4 and short convolutions, with padding


@given(
    t=st.integers(1, 17),
    chunk=st.integers(1, 18),
    decay=STRONG,
    share=st.sampled_from([0.0, 0.4, 1.0]),
    fresh=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=20)
def test_both_forms_of_rwkv_4_are_the_same_with_gradients(t, chunk, decay, share, fresh, seed):
    torch.manual_seed(seed)
    kept = torch.rand(B, t) >= share
    state = [normal(B, K), normal(B, K).abs() + 0.1, normal(B, K)]
    leaves = [normal(B, t, K) * 3, normal(B, t, K), -decay * torch.rand(K).double(), normal(K), *state]
    found = []
    for form, options in ((wkv4.wkv4_recurrent, {}), (wkv4.wkv4_chunked, {"chunk": chunk})):
        k, v, g, u, *sums = (x.clone().requires_grad_() for x in leaves)
        y, after = form(k, v, g, u, state=None if fresh else tuple(sums), kept=kept, **options)
        loss = y.square().sum() + sum((x * after[1]).sum() for x in (after[0], after[1]))
        grads = torch.autograd.grad(loss, (k, v, g, u), allow_unused=True)
        found.append([y, *after, *grads])
    same(*found)


def test_rwkv_4_stays_finite_where_the_plain_form_does_not():
    k, v = torch.full((1, 5, 1), 100.0), torch.arange(5.0).view(1, 5, 1)
    g, u = torch.tensor([-0.1]), torch.tensor([0.5])
    assert wkv4.wkv4_naive(k, v, g, u).isnan().all()
    expected = wkv4.wkv4_naive(k.double() - 100, v.double(), g.double(), u.double()).float()
    for form in (wkv4.wkv4_recurrent, wkv4.wkv4_chunked):
        torch.testing.assert_close(form(k, v, g, u)[0], expected)
        torch.testing.assert_close(form(k - 1000, v, g, u)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("gates", [1, K])
def test_strong_decay_stays_finite_in_float32(kind, gates):
    """500 nats within a chunk: exp of minus the sum would be infinite. Sums of 500 are exact to 3e-5."""
    tensors, options, state = draw(kind, 40, gates, 25.0)
    plain = FORMS[kind][0](*tensors, **options, state=state)
    tensors, state = [x.float() for x in tensors], state.float()
    found = FORMS[kind][2](
        *tensors, **{name: x.float() for name, x in options.items()}, state=state, chunk=40
    )
    same(found, [x.float() for x in plain], rtol=1e-3, atol=1e-3)


@given(
    w=st.integers(1, 5),
    t=st.integers(1, 9),
    padded=st.booleans(),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_a_short_convolution_is_its_loop_with_gradients(w, t, padded, bias, seed):
    torch.manual_seed(seed)
    kept = torch.rand(B, t) < 0.6 if padded else None
    drawn = [normal(B, t, K), normal(K, 1, w), normal(B, K, w)]
    drawn += [normal(K)] if bias else []
    found = []
    for fast in (False, True):
        x, weight, inputs, *shift = leaves = [x.clone().requires_grad_() for x in drawn]
        if fast:
            conv = CausalConv(K, w, bias=bias).double()
            tensors = dict(zip(("weight", "bias"), (weight, *shift), strict=False))
            y, after = functional_call(conv, tensors, (x, inputs, kept))
        else:
            y, after = causal_conv_recurrent(x, weight, *shift, inputs=inputs, real=kept)
        loss = y.square().sum() + (after**3).sum()
        found.append([y, after, *torch.autograd.grad(loss, leaves)])
    same(*found)
