"""The profile decides sizes and device; a seed decides every draw."""

import random

import numpy as np
import pytest
import torch

from course_lib.kit import runtime
from tests.shapes import unchecked


@pytest.mark.parametrize(
    ("value", "cuda", "expected"),
    [
        (None, False, "cpu"),
        (None, True, "gpu"),
        ("", True, "gpu"),
        (" smoke ", True, "smoke"),
        ("cpu", True, "cpu"),
        ("gpu", True, "gpu"),
    ],
)
def test_profile_is_the_variable_or_the_hardware(value, cuda, expected):
    environment = {} if value is None else {"COURSE_PROFILE": value}
    assert runtime.profile(environment, cuda=cuda) == expected


@pytest.mark.parametrize(("value", "cuda"), [("fast", True), ("GPU", True), ("gpu", False)])
def test_a_profile_that_cannot_be_is_refused(value, cuda):
    with pytest.raises(ValueError, match=f"COURSE_PROFILE='{value}'"):
        runtime.profile({"COURSE_PROFILE": value}, cuda=cuda)


@pytest.mark.parametrize(("chosen", "expected"), [("smoke", 1), ("cpu", (2, 3))])
def test_scale_follows_the_profile(monkeypatch, chosen, expected):
    monkeypatch.setenv("COURSE_PROFILE", chosen)
    assert runtime.by_profile(smoke=1, cpu=(2, 3), gpu="large") == expected


def test_scale_in_the_gpu_profile(monkeypatch):
    monkeypatch.setattr(runtime, "profile", lambda: "gpu")
    assert runtime.by_profile(smoke=1, cpu=2, gpu=3) == 3


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_one_seed_gives_one_stream_of_each_kind(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    runtime.setup(5)
    first = draws()
    runtime.setup(5)
    assert draws() == first
    runtime.setup(6)
    assert all(a != b for a, b in zip(first, draws(), strict=True))


def test_setup_says_what_it_chose(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    chosen = runtime.setup(2)
    assert (chosen.device.type, chosen.dtype, chosen.fast_dtype) == ("cpu", torch.float32, torch.float32)
    assert (chosen.profile, chosen.seed) == ("smoke", 2)


def test_a_generator_leaves_the_global_stream_alone(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "smoke")
    chosen = runtime.setup(1)
    expected = draws()
    chosen = runtime.setup(1)
    torch.rand(3, generator=chosen.generator())
    assert draws() == expected
    different = torch.rand(3, generator=chosen.generator(1))
    assert not torch.equal(torch.rand(3, generator=chosen.generator()), different)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, True])
def test_a_bad_seed_is_refused(seed):
    with pytest.raises(ValueError, match="seed="):
        unchecked(runtime.setup)(seed)
