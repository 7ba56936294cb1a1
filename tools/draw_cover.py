"""Write book/_static/cover.svg, the picture of the README, and its words there.

    python tools/draw_cover.py

The picture is the diagram `cover` of the first page as a file, which follows the
reader's light or dark system. A test compares file and words with what is drawn.
"""

import re
from pathlib import Path

from course_lib.course.pictures.cover import draw, words

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "book" / "_static" / "cover.svg"
README = ROOT / "README.md"
IMAGE = re.compile(r"!\[[^\]]*\](?=\(book/_static/cover\.svg\))")


def drawn() -> str:
    """Return the picture as a file."""
    return draw().as_file("What five models keep in memory for one request") + "\n"


if __name__ == "__main__":
    TARGET.write_text(drawn(), encoding="utf-8")
    told = IMAGE.sub(lambda _: f"![{words()}]", README.read_text(encoding="utf-8"))
    README.write_text(told, encoding="utf-8")
