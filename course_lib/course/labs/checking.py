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
        self.exercise, self.hints = exercise, hints

    def fail(self, hint: str, what: str, expected: Any, got: Any) -> None:
        """Raise `CheckFailed` with hint `hint` about `what`."""
        lines = [
            f"{self.exercise}: {what}",
            f"  expected: {expected}",
            f"  got:      {got}",
        ]
        raise CheckFailed(
            "\n".join([*lines, f"  hint ({hint}): {self.hints[hint]}"]), hint
        )

    def equal(
        self,
        got: Any,
        expected: Any,
        hint: str,
        what: str,
        mistakes: Mapping[str, Any] | None = None,
    ) -> None:
        """Fail unless `got == expected`; `mistakes` maps hints to what their mistake
        would give.
        """
        if got != expected or isinstance(got, bool) != isinstance(expected, bool):
            self.fail(
                _fitting(got, mistakes or {}, hint, lambda a, b: a == b),
                what,
                expected,
                got,
            )

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
        if not isinstance(got, Tensor):
            self.fail(
                shape or hint,
                what,
                f"a tensor of shape {tuple(expected.shape)}",
                f"{type(got).__name__}",
            )
        if _same(got, expected):
            return
        formed = got.shape == expected.shape and got.dtype == expected.dtype
        fitting = _fitting(
            got, mistakes or {}, hint if formed else shape or hint, _same
        )
        if not formed:
            self.fail(fitting, what, _describe(expected), _describe(got))
        where = int((got - expected).abs().nan_to_num(torch.inf).argmax())
        index = tuple(
            int(i) for i in torch.unravel_index(torch.tensor(where), expected.shape)
        )
        self.fail(
            fitting,
            f"{what}, entry {index}",
            f"{expected[index].item():.6g}",
            f"{got[index].item():.6g}",
        )

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


def _same(a: Tensor, b: Tensor) -> bool:
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and torch.allclose(a, b, rtol=1e-9, atol=1e-9)
    )


def _describe(x: Tensor) -> str:
    return f"shape {tuple(x.shape)}, {str(x.dtype).removeprefix('torch.')}"


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
