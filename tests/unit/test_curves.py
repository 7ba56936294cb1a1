"""Loss curves say what the histories say, in the course's style; the bar moves and only where it is told."""

import io

import matplotlib.pyplot as plt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from rich.console import Console

from course_lib.kit.plotting import COLOURS, show
from course_lib.train.curves import loss_figure, loss_summary, trailing_mean
from course_lib.train.loop import History
from course_lib.train.progress import progress_bar

RUNS = {
    "causal": History([5.0, 4.0, 3.0, 2.0], {0: 5.1, 4: 2.2}),
    "masked": History([5.0, 4.5, 4.0, 3.5]),
}


@given(st.lists(st.floats(-100, 100), max_size=30), st.integers(1, 40))
def test_the_trailing_mean_is_a_mean_of_the_last(values, window):
    expected = [sum(p) / len(p) for i in range(len(values)) if (p := values[max(0, i + 1 - window) : i + 1])]
    assert trailing_mean(values, window) == pytest.approx(expected, abs=1e-9)


def test_the_figure_has_every_loss_and_fits_the_page():
    fig = loss_figure(RUNS, window=2)
    assert isinstance(fig, Figure)
    (ax,) = fig.axes
    curves = {line.get_label(): line for line in ax.lines}
    assert list(curves["causal"].get_xdata()) == [1, 2, 3, 4]
    assert list(curves["causal"].get_ydata()) == [5.0, 4.5, 3.5, 2.5]
    assert list(curves["masked"].get_ydata()) == [5.0, 4.75, 4.25, 3.75]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [(list(d.get_xdata()), list(d.get_ydata())) for d in dots] == [([0, 4], [5.1, 2.2])]
    assert dots[0].get_linestyle() == "None" and dots[0].get_color() == curves["causal"].get_color()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("updates", "loss, nats a token")
    assert curves["causal"].get_linestyle() != curves["masked"].get_linestyle()
    assert show(fig, alt=loss_summary(RUNS), name="losses").wide.startswith("<svg ")


def test_the_summary_says_where_runs_start_and_end():
    said = loss_summary(RUNS, window=1, unit="nats a byte")
    assert said.startswith("Loss in nats a byte against updates.")
    assert "causal: from 5.00 to 2.00 in 4 updates, validation 2.20 at the end" in said
    assert "masked: from 5.00 to 3.50 in 4 updates." in said


def test_the_bar_shows_steps_and_loss_and_keeps_quiet_elsewhere(capsys):
    picture = io.StringIO()
    with progress_bar(10, label="byte model", console=Console(file=picture, width=90)) as progress:
        progress(7, 1.23456)
    assert all(part in picture.getvalue() for part in ("byte model", "7/10", "loss 1.235"))
    assert capsys.readouterr() == ("", "")


def test_a_run_that_stops_closes_the_bar():
    picture = io.StringIO()
    with pytest.raises(RuntimeError), progress_bar(3, console=Console(file=picture, width=90)) as progress:
        progress(1, 2.0)
        raise RuntimeError
    with progress_bar(3, console=Console(file=picture, width=90)) as progress:  # a live one would refuse
        progress(3, 1.0)
    assert "3/3" in picture.getvalue()


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: trailing_mean([1.0], 0), "window=0"),
        (lambda: loss_figure({}), "runs has 0"),
        (lambda: loss_summary({str(i): History([1.0]) for i in range(len(COLOURS) + 1)}), "runs has 8"),
        (lambda: loss_figure({"a": History()}), "no update of a"),
        (lambda: progress_bar(0).__enter__(), "steps=0"),
    ],
)
def test_bad_input_is_named(call, names):
    with pytest.raises(ValueError, match=names):
        call()


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")
