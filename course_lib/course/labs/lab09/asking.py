"""Lab 9: how the checks explain a wrong value: by the first slip that gives it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from course_lib.course.labs.checking import Checker
from course_lib.course.labs.values import right_digits, told

Truth = Callable[[str], Any]


def near(a: Any, b: float) -> bool:
    """Whether `a` is a plain number that agrees with `b` to nine digits."""
    return type(a) in (int, float) and abs(a - b) <= 1e-9 * max(1e-3, abs(b))


def counted(
    check: Checker,
    got: Any,
    truth: Truth,
    slips: Sequence[str],
    names: Mapping[str, str],
    what: str,
    form: str,
) -> None:
    """Fail unless `got` is the dict of whole numbers that `truth("")` is.

    `names` maps its keys to the hint of a value that no slip explains; `form` is the
    hint of a dict with other keys.
    """
    right = truth("")
    formed = type(got) is dict and set(got) == set(right)
    seen = sorted(got) if type(got) is dict else type(got).__name__
    check.true(formed, form, what, sorted(right), seen)
    for name, hint in names.items():
        wrong = {slip: truth(slip)[name] for slip in slips}
        wrong = {slip: one for slip, one in wrong.items() if one != right[name]}
        check.equal(got[name], right[name], hint, f"{name} of {what}", wrong)


def real(
    check: Checker,
    got: Any,
    right: float,
    slips: Sequence[tuple[str, float]],
    default: str,
    what: str,
    form: str,
) -> None:
    """Fail unless `got` is a plain number that agrees with `right` to nine digits;
    `slips` are hints with the number that their mistake gives. Where `check` has a hint
    "rounded", it is given for the right number with fewer digits.
    """
    if near(got, right):
        return
    if type(got) not in (int, float):
        check.fail(form, what, f"{right:.6g}", f"a {type(got).__name__}")
    found = (name for name, one in slips if near(got, one))
    digits = right_digits(got, right)
    cut = any(got == round(right, places) for places in range(1, 7))
    default = "rounded" if cut and "rounded" in check.hints else default
    hint = next(found, "digits" if digits >= 5 and default != "rounded" else default)
    check.fail(hint, what, *told(right, got), digits=digits)
