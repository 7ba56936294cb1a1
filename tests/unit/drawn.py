"""What the diagrams of the pages show, for the tests that hold them to the library."""

import re

from course_lib.course.pictures.drawn import drawing


def words(name: str) -> list[str]:
    """Every line of text in a drawing."""
    return [text.words for panel in drawing(name).panels for text in panel.pen.texts]


def cells(panel, role: str) -> int:
    """How many cells of a role stand in the panel's grids."""
    found = re.findall(rf'<path d="([^"]+)" class="{role}"', panel.pen.body())
    return sum(path.count("M") for path in found)
