"""The gallery's files: a picture of every published model, as an SVG file for a page
without JavaScript, and as a script that hands the same picture over.

A page that is opened from a folder can fetch nothing, but it can load a script. So each
model has one, of its own size, which the page asks for when the model is looked at.
"""

import json
from pathlib import Path

from course_lib.course.gallery.catalogue import Entry, entries
from course_lib.course.gallery.draw import draw_model
from course_lib.course.gallery.script import script
from course_lib.kit.diagrams.figure import Figure

DESCRIBING = "describe.js"


def picture(one: Entry) -> Figure:
    """The picture of a model under its authors' name."""
    return draw_model(one.spec, one.release.name)


def handed_over(one: Entry, figure: Figure) -> str:
    """The script of one model: `courseGalleryPut(name, svg)`."""
    name, html = (json.dumps(text) for text in (one.name, figure.inline(prefix(one))))
    return f"courseGalleryPut({name}, {html});\n"


def prefix(one: Entry) -> str:
    """The beginning of the ids in a picture, which a page may replace.

    >>> from course_lib.course.gallery.catalogue import entry
    >>> prefix(entry("llama-3.1-8b"))
    'g-llama-3_1-8b'
    """
    return f"g-{one.name.replace('.', '_')}"


def write_gallery(folder: Path) -> int:
    """Write all files into a folder. Returns their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {DESCRIBING: script()}
    for one in entries():
        figure = picture(one)
        texts[f"{one.name}.svg"] = figure.as_file(one.release.name)
        texts[f"{one.name}.js"] = handed_over(one, figure)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return sum(len(text.encode()) for text in texts.values())
