"""What a lab's checks are made of: a failure that names what was expected, what came,
and the hint that fits.

A `Checker` belongs to one exercise and holds its hints by name. A check that fails
picks the hint: by what it probed, or by comparing the wrong result with the results of
known mistakes (`mistakes`).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from course_lib.course.labs.lending import copied, shares, unchanged
from course_lib.course.labs.values import (
    alike,
    described,
    index_of_largest,
    right_digits,
    same,
    told,
)

COMMON = {  # hints that every exercise shares
    "unchanged": "Do not write into what you are given: it belongs to the caller. "
    "Work on a copy.",
    "fresh": "Return a new one: what is returned here is what was given, and who "
    "writes into one writes into both.",
    "digits": "Right to {digits} digits: float32 somewhere, or an epsilon.",
    "view": "The numbers need not lie in memory in the order of the axes: `view` "
    "refuses that, `reshape`, `flatten` and `unflatten` do not.",
    "own_state": "Two of these live at once: what one holds belongs on `self`, not on "
    "the class or in a global name.",
    "kept_copy": "What is given belongs to the caller, who may write over it later: "
    "keep a copy of what you need, not the tensor itself.",
    "whole_number": "This is a count: return an int, not a float and not a tensor.",
    "crash": "The error came out of your code: its traceback stands above. Look at "
    "the shapes in the line that raised it.",
    "compare": "No mistake that is known gives this. Work the smallest case by hand, "
    "and compare line by line.",
}


class CheckFailed(AssertionError):
    """A check of a lab failed. `hint` is the name of the hint that its message ends
    with.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Checker:
    """The checks of one exercise.

    Args:
        exercise: how messages call it, such as "Exercise 1".
        hints: texts by name; every failure names one of them.

    >>> check = Checker("Exercise 0", {"sign": "Look at the sign."})
    >>> check.equal(-2, 2, "sign", "the square root of 4")
    Traceback (most recent call last):
    ...
    course_lib.course.labs.checking.CheckFailed: Exercise 0: the square root of 4
      expected: 2
      got:      -2
      hint (sign): Look at the sign.
    """

    def __init__(self, exercise: str, hints: Mapping[str, str]) -> None:
        self.exercise, self.hints = exercise, COMMON | dict(hints)

    def fail(
        self, hint: str, what: str, expected: Any, got: Any, digits: int = 0
    ) -> None:
        """Raise `CheckFailed` with hint `hint` about `what`; `digits` agree."""
        lines = [
            f"{self.exercise}: {what}",
            f"  expected: {expected}",
            f"  got:      {got}",
        ]
        text = self.hints[hint]
        text = text.format(digits=digits) if hint == "digits" else text
        raise CheckFailed("\n".join([*lines, f"  hint ({hint}): {text}"]), hint)

    def call(
        self,
        function: Callable,
        *given: Any,
        what: str,
        crash: str = "crash",
        fresh: bool = False,
        **named: Any,
    ) -> Any:
        """Return what `function` makes of copies of the arguments.

        The caller's own stay out of reach, so that a truth may be computed from them
        before or after; a copy that was written into fails with `unchanged`, and an
        error with the hint `crash`. With `fresh`, what comes back is new in memory.
        """
        lent_given, lent_named = copied(given), copied(named)
        with self.doing(crash, what):
            got = function(*lent_given, **lent_named)
        for lent, own in ((lent_given, given), (lent_named, named)):
            self.true(
                unchanged(lent, own),
                "unchanged",
                f"what was given to {what}, after the call",
                "as it was",
                "changed",
            )
        if fresh:
            given_back = shares(got, lent_given)
            self.true(not given_back, "fresh", what, "a new one", "what was given")
        return got

    def equal(
        self,
        got: Any,
        expected: Any,
        hint: str,
        what: str,
        mistakes: Mapping[str, Any] | None = None,
    ) -> None:
        """Fail unless `got` is `expected` in value and type; `mistakes` maps hints to
        what their mistake would give.
        """
        if alike(got, expected):
            return
        default = hint
        if isinstance(expected, int) and not isinstance(got, int):
            default = "whole_number"
        fitting = _fitting(got, mistakes or {}, default, alike)
        self.fail(fitting, what, expected, got)

    def near(
        self,
        got: Any,
        expected: float,
        hint: str,
        what: str,
        mistakes: Mapping[str, float] | None = None,
        unit: str = "",
    ) -> None:
        """Fail unless `got` is a number equal to `expected` to nine digits."""

        def equal(a: Any, b: float) -> bool:
            return type(a) in (int, float) and abs(a - b) <= 1e-9 * abs(b)

        if equal(got, expected):
            return
        if type(got) not in (int, float):
            self.fail(hint, what, f"{expected:.6g}{unit}", f"{type(got).__name__}")
        digits = right_digits(got, expected)
        default = "digits" if digits >= 5 else hint
        fitting = _fitting(got, mistakes or {}, default, equal)
        shown = (f"{number}{unit}" for number in told(expected, got))
        self.fail(fitting, what, *shown, digits=digits)

    def close(
        self,
        got: Any,
        expected: Tensor,
        hint: str,
        what: str,
        mistakes: Mapping[str, Tensor] | None = None,
        shape: str | None = None,
    ) -> None:
        """Fail unless `got` is a tensor of the shape, dtype and values of `expected`
        (to 1e-9).

        `shape` is the hint where shape or dtype differ and no known mistake gives that;
        without it, `hint`.
        """
        if type(got) not in (Tensor, torch.nn.Parameter):
            self.fail(
                shape or hint,
                what,
                f"a tensor of shape {tuple(expected.shape)}",
                f"{type(got).__name__}",
            )
        if same(got, expected):
            return
        formed = got.shape == expected.shape and got.dtype == expected.dtype
        digits = right_digits(got, expected) if formed else 0
        default = hint if formed else shape or hint
        fitting = _fitting(
            got, mistakes or {}, "digits" if digits >= 5 else default, same
        )
        if not formed:
            self.fail(fitting, what, described(expected), described(got))
        index = index_of_largest(got, expected)
        numbers = told(expected[index].item(), got[index].item())
        self.fail(fitting, f"{what}, entry {index}", *numbers, digits=digits)

    def true(
        self, condition: bool, hint: str, what: str, expected: Any, got: Any
    ) -> None:
        """Fail unless `condition`."""
        if not condition:
            self.fail(hint, what, expected, got)

    def refuses(self, call: Callable[[], Any], hint: str, what: str) -> None:
        """Fail unless `call()` raises ValueError."""
        try:
            got = call()
        except NotImplementedError:
            raise
        except ValueError:
            return
        except Exception as error:  # the student's code may raise anything
            self.fail(hint, what, "ValueError", f"{type(error).__name__}: {error}")
        self.fail(hint, what, "ValueError", f"no error, but {type(got).__name__}")

    @contextmanager
    def doing(self, hint: str, what: str) -> Iterator[None]:
        """Turn an error of shapes, indices or values into a failed check with `hint`.

        Slips of the pen (a wrong name or type) and unwritten stubs stay the errors they
        are.
        """
        try:
            yield
        except (CheckFailed, NotImplementedError, NameError, AttributeError, TypeError):
            raise
        except Exception as error:  # the student's code may raise anything
            message = f"{type(error).__name__}: {error}".splitlines()[0]
            hint = "view" if "view size is not compatible" in message else hint
            try:
                self.fail(hint, what, "no error", message)
            except CheckFailed as failed:
                raise failed from error


def _fitting(
    got: Any,
    mistakes: Mapping[str, Any],
    default: str,
    same: Callable[[Any, Any], bool],
) -> str:
    """Name the hint whose mistake gives just what came, or the default."""
    return next(
        (hint for hint, result in mistakes.items() if same(got, result)), default
    )


def random_sizes(
    seed: int, **limits: tuple[int, int]
) -> tuple[torch.Generator, dict[str, int]]:
    """Return a generator seeded with `seed`, and one random size within each pair of
    limits, ends included.

    >>> random_sizes(0, batch=(2, 2))[1]
    {'batch': 2}
    """
    rng = torch.Generator().manual_seed(seed)
    draw = {
        name: int(torch.randint(low, high + 1, (1,), generator=rng))
        for name, (low, high) in limits.items()
    }
    return rng, draw
