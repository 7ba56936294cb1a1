"""A model as a thumbnail to scale: its length is its depth, its height its width."""

from course_lib.course.gallery.rows import View
from course_lib.course.gallery.strip import columns, strip
from course_lib.kit.diagrams.pen import Pen, number

DEEPEST, WIDEST = 126, 18432  # layers of Llama 3.1 405B, width of PaLM 540B
LONG, TALL = 154, 54
LEAST = 1.2  # of a row of cells, so that a narrow model is seen


def thumbnail(view: View) -> str:
    """An SVG without words, for a place where the words stand beside it. All layers of
    all stacks follow one another.

    Raises: ValueError if a model is deeper or wider than the scale.
    """
    layers = [cells for stack in view.stacks for cells in columns(stack)]
    width = max(stack.width for stack in view.stacks)
    if len(layers) > DEEPEST or width > WIDEST:
        raise ValueError(
            f"{view.name}: {len(layers)} layers of width {width}; allowed are at most "
            f"{DEEPEST} of {WIDEST}"
        )
    pen, half = Pen(LONG), max(TALL / 2 * width / WIDEST, LEAST)
    strip(pen, 0, TALL / 2 - half, layers, LONG / DEEPEST, half)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dgm" aria-hidden="true" '
        f'viewBox="0 0 {LONG} {TALL}" width="{LONG}" height="{number(TALL)}">'
        f"{pen.body()}</svg>"
    )
