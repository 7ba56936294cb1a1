"""Two models side by side, with every fact that differs marked, and lined up where they
agree.
"""

from collections.abc import Iterable

from course_lib.course.gallery.describe import describe
from course_lib.course.gallery.differences import Difference, differences
from course_lib.course.gallery.draw import draw_model
from course_lib.course.gallery.lining import lined_up
from course_lib.course.gallery.matching import counterparts, stacks_in_pairs
from course_lib.kit.diagrams.figure import Figure
from course_lib.specs.records import ModelSpec


def marks_of(found: Iterable[Difference]) -> tuple[dict[str, str], dict[str, str]]:
    """The marks of either side: "changed" where both have the row, else "only".

    >>> one = Difference("a", "b", "c", (), (("model/A/mixer/mask", ""),))
    >>> marks_of([one])
    ({'model/A/mixer/mask': 'only'}, {})
    """
    left: dict[str, str] = {}
    right: dict[str, str] = {}
    for one in found:
        for mine, other in one.keys:
            mark = "changed" if mine and other else "only"
            left |= {mine: mark} if mine else {}
            right |= {other: mark} if other else {}
    return left, right


def draw_pair(
    left: ModelSpec, right: ModelSpec, names: tuple[str, str] = ("", "")
) -> Figure:
    """Draw two models with their differences marked: causes, and not what follows.

    Args: `left` and `right` specs; `names` to show, their own where they are "".
    Returns: a figure of the panels of both.
    Raises: ValueError naming a record or a word that is not described.
    """
    views = describe(left), describe(right)
    marks = marks_of(differences(*views))
    mine, other = (
        list(draw_model(spec, name, marked).panels)
        for spec, name, marked in zip((left, right), names, marks, strict=True)
    )
    of = counterparts(*views)
    places = [{one.key: i for i, one in enumerate(view.stacks)} for view in views]
    for one, its in stacks_in_pairs(*views):
        i, j = places[0][one.key], places[1][its.key]
        mine[i], other[j] = lined_up(mine[i], other[j], of)
    return Figure(*mine, *other)
