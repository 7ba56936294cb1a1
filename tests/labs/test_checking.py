"""A `Checker` passes what is right, and fails the rest with the right hint and a readable message."""

import pytest
import torch

from course_lib.course.labs.checking import Checker, CheckFailed, random_sizes
from course_lib.course.labs.lending import helped

CHECK = Checker("Exercise 9", {"a": "Try A.", "b": "Try B."})
X = torch.arange(6.0).reshape(2, 3)


def failure(call) -> CheckFailed:
    with pytest.raises(CheckFailed) as caught:
        call()
    return caught.value


def test_what_is_right_passes():
    assert CHECK.equal(2, 2, "a", "x") is None
    assert CHECK.close(X + 1e-12, X, "a", "x") is None
    assert CHECK.refuses(lambda: int("x"), "a", "x") is None  # int raises ValueError


def test_the_message_names_expected_got_and_hint():
    text = str(failure(lambda: CHECK.equal(3, 2, "a", "the size")))
    assert text == "Exercise 9: the size\n  expected: 2\n  got:      3\n  hint (a): Try A."


def test_the_largest_difference_is_shown():
    got = X.clone()
    got[0, 1], got[1, 2] = 1.5, 9
    error = failure(lambda: CHECK.close(got, X, "a", "x"))
    assert "entry (1, 2)" in str(error) and "expected: 5" in str(error) and "got:      9" in str(error)


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (X[0], "shape (3,)"),
        (X.double(), "float64"),
        (None, "NoneType"),
        (X * torch.nan, "nan"),
        ([1.0], "list"),
    ],
)
def test_other_shapes_types_and_nan_are_told(got, words):
    assert words in str(failure(lambda: CHECK.close(got, X, "a", "x")))


def test_a_known_mistake_chooses_the_hint():
    assert failure(lambda: CHECK.close(2 * X, X, "a", "x", {"b": 2 * X})).hint == "b"
    assert failure(lambda: CHECK.close(3 * X, X, "a", "x", {"b": 2 * X})).hint == "a"
    assert failure(lambda: CHECK.equal(4, 2, "a", "x", {"b": 4})).hint == "b"


def test_another_shape_may_have_a_hint_of_its_own():
    assert failure(lambda: CHECK.close(X[0], X, "a", "x", shape="b")).hint == "b"
    assert failure(lambda: CHECK.close(None, X, "a", "x", shape="b")).hint == "b"
    assert failure(lambda: CHECK.close(3 * X, X, "a", "x", shape="b")).hint == "a"
    assert failure(lambda: CHECK.close(X[0], X, "a", "x", {"a": X[0]}, shape="b")).hint == "a"


def test_true_is_not_one():
    assert failure(lambda: CHECK.equal(True, 1, "a", "x")).hint == "a"


def test_a_refusal_must_be_a_value_error():
    assert "IndexError" in str(failure(lambda: CHECK.refuses(lambda: [][0], "a", "x")))
    assert "no error" in str(failure(lambda: CHECK.refuses(lambda: 1, "a", "x")))


def test_errors_of_an_answer_get_a_hint_but_stubs_stay_stubs():
    def crash():
        with CHECK.doing("b", "a step"):
            raise IndexError("out of range")

    def stub():
        with CHECK.doing("b", "a step"):
            raise NotImplementedError

    error = failure(crash)
    assert error.hint == "b" and "IndexError: out of range" in str(error)
    assert isinstance(error.__cause__, IndexError)
    with pytest.raises(NotImplementedError):
        stub()
    with pytest.raises(NotImplementedError):
        CHECK.refuses(stub, "a", "x")


def test_sizes_are_random_within_their_limits_and_the_same_for_a_seed():
    draws = [random_sizes(seed, n=(2, 5))[1]["n"] for seed in range(60)]
    assert set(draws) == {2, 3, 4, 5}
    assert draws == [random_sizes(seed, n=(2, 5))[1]["n"] for seed in range(60)]


def test_a_difference_in_the_eighth_digit_is_shown_and_has_its_hint():
    right = torch.tensor([-20.8311123456], dtype=torch.float64)
    error = failure(lambda: CHECK.close(right + 1.2e-7, right, "a", "x"))
    assert error.hint == "digits" and "Right to 8 digits: float32 somewhere, or an epsilon" in str(error)
    shown = [line.split()[-1] for line in str(error).splitlines()[1:3]]
    assert shown[0] != shown[1]
    error = failure(lambda: CHECK.close(right.float().double(), right, "a", "x"))
    assert error.hint == "digits" and "Right to 7 digits" in str(error)
    assert failure(lambda: CHECK.near(1 + 1e-7, 1.0, "a", "x")).hint == "digits"
    assert failure(lambda: CHECK.near(1.5, 1.0, "a", "x", {"b": 1.5})).hint == "b"


@pytest.mark.parametrize(
    "hand", [lambda x: x, lambda x: x.T, lambda x: x[:, ::2], lambda x: x[:1].expand(4, 3)]
)
def test_an_answer_gets_copies_as_they_lay_and_may_not_write_into_them(hand):
    given = hand(X.double().clone())
    own = given.clone()
    seen = CHECK.call(lambda x: x.stride(), given, what="f")
    assert seen == given.stride()

    def writes(x):
        x[0, 0] = 7.0
        return x

    if 0 not in given.stride():
        assert failure(lambda: CHECK.call(writes, given, what="f")).hint == "unchanged"
    assert torch.equal(given, own)


def test_lists_and_dicts_are_lent_too():
    config = {"a": [1, 2], "b": None}
    assert failure(lambda: CHECK.call(lambda c: c["a"].append(3), config, what="f")).hint == "unchanged"
    assert failure(lambda: CHECK.call(lambda c: c.pop("b"), config, what="f")).hint == "unchanged"
    assert config == {"a": [1, 2], "b": None}
    assert CHECK.call(lambda *, c: len(c), c=config, what="f") == 2


class Everything:
    """Equal to whatever it is compared with."""

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False


class Tensors(torch.Tensor):
    """A tensor by name."""


@pytest.mark.parametrize("got", [2.0, True, Everything(), torch.tensor(2)])
def test_a_count_is_an_int(got):
    assert failure(lambda: CHECK.equal(got, 2, "a", "x")).hint in ("whole_number", "a")


def test_a_tensor_is_a_tensor():
    assert failure(lambda: CHECK.close(X.as_subclass(Tensors), X, "a", "x")).hint == "a"


def test_view_of_moved_axes_is_told():
    assert failure(lambda: CHECK.call(lambda x: x.view(-1), X.T, what="f")).hint == "view"


def test_a_part_is_judged_beside_the_librarys_others_or_else_the_students():
    def trial():
        return names["outer"](1)

    names = {}
    exec("def inner(x): raise NotImplementedError\ndef outer(x): return inner(x) + 1", names)
    assert helped(trial, names["outer"], inner=lambda x: 10 * x) == 11
    exec("def inner(x): return x\ndef outer(x): return inner(x, 2) if False else inner(x)", names)
    assert helped(trial, names["outer"], inner=None) == 1
    exec("def outer(x): raise NotImplementedError", names)
    with pytest.raises(NotImplementedError):
        helped(trial, names["outer"], inner=None)
