"""Properties of S4 and S4D: recurrence = convolution, the HiPPO matrix, and the rules of discretisation."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from course_lib.layers.recurrent.discretise import RULES, discretise, discretise_diagonal
from course_lib.layers.recurrent.hippo import hippo_legs, legs_low_rank, legs_memory, legs_reconstruct
from course_lib.layers.recurrent.s4 import (
    long_convolution,
    s4_kernel,
    s4d_convolution,
    s4d_kernel,
    s4d_recurrent,
    ssm_kernel,
    ssm_recurrent,
)

CLOSE = {"rtol": 1e-9, "atol": 1e-11}


def diagonal(batch, t, i, n, seed=0):
    """u, a, b, c and a state; a inside the unit circle."""
    torch.manual_seed(seed)
    numbers = [torch.randn(i, n, dtype=torch.complex128) for _ in range(3)]
    a = torch.polar(torch.rand(i, n, dtype=torch.float64), math.pi * torch.rand(i, n, dtype=torch.float64))
    u = torch.randn(batch, t, i, dtype=torch.float64)
    return u, a, *numbers[1:], torch.randn(batch, i, n, dtype=torch.complex128)


@given(t=st.integers(1, 23), i=st.integers(1, 3), n=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_the_recurrence_is_the_convolution_with_gradients(t, i, n, seed):
    found = []
    for form in (s4d_recurrent, s4d_convolution):
        parts = [one.requires_grad_() for one in diagonal(2, t, i, n, seed)]
        y, state = form(*parts)
        loss = (y * torch.arange(1.0, y.numel() + 1).view_as(y).cos()).sum() + state.abs().square().sum()
        found.append([y, state, *torch.autograd.grad(loss, parts)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other, one, **CLOSE)


@pytest.mark.parametrize("form", [s4d_recurrent, s4d_convolution])
def test_a_state_handed_on_is_one_pass(form):
    u, a, b, c, state = diagonal(2, 13, 3, 2)
    whole, last = form(u, a, b, c, state)
    pieces = []
    for piece in (u[:, :0], u[:, :5], u[:, 5:6], u[:, 6:]):
        y, state = form(piece, a, b, c, state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, 1), whole, **CLOSE)
    torch.testing.assert_close(state, last, **CLOSE)


def test_the_kernel_is_what_one_impulse_leaves():
    u, a, b, c, _ = diagonal(1, 17, 3, 2)
    impulse = torch.zeros_like(u)
    impulse[:, 0] = 1
    y, _ = s4d_recurrent(impulse, a, b, c)
    torch.testing.assert_close(y[0].T, s4d_kernel(a, b, c, 17), **CLOSE)
    plain = sum(
        torch.nn.functional.pad(s4d_kernel(a, b, c, 17)[:, : 17 - s], (s, 0)) * u[0, s, :, None]
        for s in range(17)
    )
    torch.testing.assert_close(long_convolution(u, s4d_kernel(a, b, c, 17))[0].T, plain, **CLOSE)


@pytest.mark.parametrize("rule", RULES)
def test_a_full_matrix_runs_as_recurrence_and_as_convolution(rule):
    a, b = discretise(*hippo_legs(6), dt=0.05, rule=rule)
    c, u = torch.randn(6, dtype=torch.float64), torch.randn(2, 40, dtype=torch.float64)
    y, _ = ssm_recurrent(a, b, c, u)
    kernel = ssm_kernel(a, b, c, 40)
    torch.testing.assert_close(long_convolution(u[..., None], kernel[None])[..., 0], y, **CLOSE)


@given(n=st.integers(1, 6), t=st.integers(1, 20), seed=st.integers(0, 99), rule=st.sampled_from(RULES))
@settings(max_examples=25)
def test_it_is_the_system_of_scipy_whose_output_comes_one_step_later(n, t, seed, rule):
    torch.manual_seed(seed)
    a, b = hippo_legs(n)
    c, u, dt = (
        torch.randn(n, dtype=torch.float64),
        torch.randn(t, dtype=torch.float64),
        0.01 + torch.rand(()).item() / 5,
    )
    system = (a.numpy(), b.numpy()[:, None], c.numpy()[None], np.zeros((1, 1)))
    sampled = signal.cont2discrete(system, dt, method=rule)
    ours_a, ours_b = discretise(a, b, dt, rule)
    torch.testing.assert_close(ours_a, torch.tensor(sampled[0]), **CLOSE)
    torch.testing.assert_close(ours_b, torch.tensor(sampled[1][:, 0]), **CLOSE)
    # Their y_t reads the state before u_t is in it; and C, D of "bilinear" are changed to the rule's own.
    later = signal.dlsim((*sampled[:2], *system[2:], dt), [*u.tolist(), 0.0])[1][1:, 0]
    torch.testing.assert_close(ssm_recurrent(ours_a, ours_b, c, u[None])[0][0], torch.tensor(later), **CLOSE)


@pytest.mark.parametrize("rule", RULES)
def test_output_before_the_update_is_ours_one_step_later(rule):
    """The form x_{t+1} = A x_t + B u_t, y_t = C x_t, written out in loops: only shifted is it the same."""
    a, b = discretise(*hippo_legs(4), dt=0.1, rule=rule)
    c, u = torch.randn(4, dtype=torch.float64), torch.randn(30, dtype=torch.float64)
    x, read_before = torch.zeros(4, dtype=torch.float64), []
    for sample in [*u, torch.zeros(())]:
        read_before.append(c @ x)
        x = a @ x + b * sample
    ours, _ = ssm_recurrent(a, b, c, u[None])
    torch.testing.assert_close(ours[0], torch.stack(read_before)[1:], **CLOSE)
    assert (ours[0] - torch.stack(read_before)[:-1]).abs().max() > 0.1


@pytest.mark.parametrize("rule", RULES)
def test_a_diagonal_matrix_is_discretised_number_by_number(rule):
    numbers = -torch.rand(5, dtype=torch.float64) - 0.1
    b = torch.randn(5, dtype=torch.float64)
    full = discretise(torch.diag(numbers), b, 0.3, rule)
    alone = discretise_diagonal(numbers, b, torch.tensor(0.3, dtype=torch.float64), rule)
    torch.testing.assert_close(full[0].diagonal(), alone[0], **CLOSE)
    torch.testing.assert_close(full[1], alone[1], **CLOSE)


def test_zero_order_hold_is_exact_where_the_input_is_held_and_the_others_come_near_in_their_order():
    """Against small steps of Runge's and Kutta's method; errors shrink 2 and 4 times a halving."""
    a, b = hippo_legs(3)
    x, small, held = torch.zeros(3, dtype=torch.float64), 1 / 2000, 1.0
    for _ in range(2000):
        slopes = [a @ x + b * held]
        for share in (0.5, 0.5, 1.0):
            slopes.append(a @ (x + share * small * slopes[-1]) + b * held)
        x = x + small / 6 * (slopes[0] + 2 * slopes[1] + 2 * slopes[2] + slopes[3])
    errors = {rule: [] for rule in RULES}
    for rule in RULES:
        for steps in (16, 32):
            a_bar, b_bar = discretise(a, b, 1 / steps, rule)
            _, found = ssm_recurrent(a_bar, b_bar, b, torch.full((1, steps), held, dtype=torch.float64))
            errors[rule].append((found[0] - x).abs().max().item())
    assert max(errors["zoh"]) < 1e-9
    assert 1.8 < errors["euler"][0] / errors["euler"][1] < 2.6
    assert 3.6 < errors["bilinear"][0] / errors["bilinear"][1] < 4.4


def test_euler_grows_where_the_bilinear_rule_and_zero_order_hold_decay():
    a, b = hippo_legs(8)
    largest = {
        rule: torch.linalg.eigvals(discretise(a, b, 0.5, rule)[0]).abs().max().item() for rule in RULES
    }
    assert largest["euler"] == pytest.approx(3.0, rel=1e-6)  # |1 - 0.5 * 8|
    assert max(largest["zoh"], largest["bilinear"]) < 1


@pytest.mark.parametrize("n", [1, 5, 16])
def test_hippo_has_the_eigenvalues_minus_one_to_minus_n_and_is_normal_but_for_rank_one(n):
    a, b = hippo_legs(n)
    found = torch.linalg.eigvals(a)
    torch.testing.assert_close(found.real.sort().values, -torch.arange(n, 0, -1.0).double(), **CLOSE)
    spectrum, p, b_turned, v = legs_low_rank(n)
    one = torch.eye(n, dtype=v.dtype)
    torch.testing.assert_close(v @ v.conj().T, one, **CLOSE)
    torch.testing.assert_close(
        v @ (torch.diag(spectrum) - p[:, None] * p.conj()) @ v.conj().T, a.to(v), **CLOSE
    )
    torch.testing.assert_close(v @ b_turned, b.to(v), **CLOSE)
    torch.testing.assert_close(spectrum.real, torch.full((n,), -0.5, dtype=torch.float64), **CLOSE)


@pytest.mark.parametrize("length", [1, 7, 32, 33])
@pytest.mark.parametrize("n", [1, 4, 9])
def test_the_kernel_of_s4_is_that_of_the_full_matrix(n, length):
    dt, c = 0.07, torch.randn(n, dtype=torch.float64)
    a, b = discretise(*hippo_legs(n), dt, "bilinear")
    spectrum, p, b_turned, v = legs_low_rank(n)
    found = s4_kernel(spectrum, p, b_turned, c.to(v) @ v, dt, length)
    torch.testing.assert_close(found, ssm_kernel(a, b, c, length), rtol=1e-8, atol=1e-9)


def test_thirty_two_numbers_hold_a_smooth_past():
    t = torch.linspace(0, 1, 2000, dtype=torch.float64)
    signal = torch.sin(9 * t) + 0.5 * torch.cos(25 * t * t)
    errors = []
    for n in (4, 16, 32):
        back = legs_reconstruct(legs_memory(signal, n)[-1], t)
        errors.append((back - signal)[20:].square().mean().sqrt().item())
    assert errors[0] > 0.4 and errors[1] < 0.12 and errors[2] < 0.01


def test_another_rule_is_refused():
    with pytest.raises(ValueError, match="rule='tustin': allowed are zoh, bilinear, euler"):
        discretise(*hippo_legs(2), 0.1, "tustin")
    with pytest.raises(ValueError, match="rule='tustin'"):
        discretise_diagonal(torch.ones(1), torch.ones(1), torch.ones(1), "tustin")
