"""Times, ratios, peaks and bandwidth are those of the work, and only of the work."""

import time

import pytest
import torch

from course_lib.kit import timing
from course_lib.kit.memory import peak_tensor_bytes


class Clock:
    """A clock that moves only when the work says so."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def work(self, *seconds):
        steps = iter(seconds)

        def step():
            self.now += next(steps)

        return step


def test_the_median_leaves_out_the_warm_up(monkeypatch):
    clock = Clock(monkeypatch)
    found = timing.measure(clock.work(100.0, 1.0, 9.0, 2.0), repeats=3, warmup=1)
    assert found == timing.Timing(2.0, (1.0, 9.0, 2.0), None)


def test_real_time_is_seconds():
    found = timing.measure(lambda: time.sleep(0.01), repeats=3, warmup=0)
    assert 0.01 <= found.median_s < 0.5  # a sleep is never short; a busy machine may make it long


def test_alternatives_take_turns_and_the_order_reverses():
    calls = []
    timing.compare({n: (lambda n=n: calls.append(n)) for n in "abc"}, repeats=2, warmup=1)
    assert "".join(calls) == "abc" + "abc" + "cba"


def test_a_machine_that_slows_down_leaves_the_ratio_alone(monkeypatch):
    clock = Clock(monkeypatch)
    slow, fast = (2.0, 4.0, 8.0), (1.0, 2.0, 4.0)
    run = timing.compare({"slow": clock.work(*slow), "fast": clock.work(*fast)}, repeats=3, warmup=0)
    assert run.speedups["fast"] == (2.0, 2.0, 2.0)
    assert run.speedup("fast") == 2.0 and run.speedup("slow") == 1.0
    assert run.timings["fast"].median_s == 2.0


def test_the_baseline_can_be_named(monkeypatch):
    clock = Clock(monkeypatch)
    run = timing.compare({"a": clock.work(1.0), "b": clock.work(4.0)}, baseline="b", repeats=1, warmup=0)
    assert run.baseline == "b" and run.speedup("a") == 4.0


def test_the_device_is_waited_for_before_both_readings(monkeypatch):
    events = []
    monkeypatch.setattr(timing.torch.cuda, "synchronize", lambda device: events.append("wait"))
    timing.measure(lambda: events.append("work"), repeats=2, warmup=0, device="cuda")
    assert events == ["wait", "work", "wait"] * 2


KILO = 1000 * 4  # bytes of a float32 tensor of 1000


def chain(length):
    def work():
        x = torch.zeros(1000)
        for _ in range(length):
            x = x + 1.0
        return x

    return work


@pytest.mark.parametrize("length", [1, 2, 7])
def test_a_chain_holds_two_tensors_at_once_whatever_its_length(length):
    assert peak_tensor_bytes(chain(length)) == 2 * KILO


def test_what_was_there_before_is_not_counted():
    held = torch.zeros(1000)
    assert peak_tensor_bytes(lambda: held.add_(1.0).view(10, 100).mul_(2.0)) == 0
    assert peak_tensor_bytes(lambda: held + 1.0) == KILO


def test_views_share_their_storage():
    assert peak_tensor_bytes(lambda: [torch.zeros(1000).view(10, 100)[i] for i in range(3)]) == KILO * 3
    base = []
    assert peak_tensor_bytes(lambda: base.append(torch.zeros(1000).view(2, 500).t())) == KILO


def test_what_autograd_saves_is_counted():
    x = torch.zeros(1000, requires_grad=True)
    assert peak_tensor_bytes(lambda: x.exp().exp().exp()) == 3 * KILO
    with torch.no_grad():
        assert peak_tensor_bytes(lambda: x.exp().exp().exp()) == 2 * KILO


def test_the_peak_is_found_only_on_request():
    assert timing.measure(chain(1)).peak_bytes is None
    assert timing.measure(chain(1), memory=True).peak_bytes == 2 * KILO


def test_bandwidth_counts_reads_once_and_copies_twice(monkeypatch):
    read = timing.measure_bandwidth(1 << 20, kind="read", repeats=3)
    copy = timing.measure_bandwidth(1 << 20, kind="copy", repeats=3)
    assert (read.moved_bytes, copy.moved_bytes) == (1 << 20, 1 << 21)
    for found in (read, copy):
        assert found.bytes_per_s == found.moved_bytes / found.timing.median_s
        assert 1e6 < found.bytes_per_s < 1e13  # between a floppy disk and tomorrow's accelerator


def test_bandwidth_touches_every_byte():
    small = timing.measure_bandwidth(1 << 20, repeats=9).timing.median_s
    large = timing.measure_bandwidth(1 << 25, repeats=9).timing.median_s
    assert large > 4 * small  # 32 times the bytes; the small tensor may sit in the processor's cache


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: timing.measure(chain(1), repeats=0), "repeats=0"),
        (lambda: timing.measure(chain(1), warmup=-1), "warmup=-1"),
        (lambda: timing.compare({"a": chain(1)}), "alternatives="),
        (lambda: timing.compare({}), "alternatives="),
        (lambda: timing.compare({"a": chain(1), "b": chain(1)}, baseline="c"), "baseline='c'"),
        (lambda: timing.measure_bandwidth(3), "size_bytes=3"),
        (lambda: timing.measure_bandwidth(100, kind="write"), "kind='write'"),
    ],
)
def test_bad_input_names_the_argument(call, names):
    with pytest.raises(ValueError, match=names):
        call()
