"""The `{live-model}` directive: the model of the standard run, running on the page.

    ```{live-model}
    :name: fig-live-curve
    The caption of its training curve.
    ```

The page itself holds the curve, drawn from the record, and what the library says comes
after a few texts: a reader without JavaScript has these. The weights are written into a
static file when the build begins; the page's script loads it when a reader comes near.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

from docutils import nodes
from elements import html, needs, table
from sphinx.util.docutils import SphinxDirective

from course_lib.costs.params import param_count
from course_lib.course.live_model.curve import alternative, curve_svg
from course_lib.course.live_model.emit import script
from course_lib.course.live_model.kept import next_bytes
from course_lib.course.live_model.texts import TEXTS
from course_lib.train.standard import STANDARD

SCRIPTS = tuple(
    f"live/{part}.js"
    for part in (
        "maths",
        "weights",
        "model",
        "session",
        "words",
        "parts",
        "text",
        "next",
        "heads",
        "cache",
        "page",
    )
)
LIKELIEST = 3


@cache
def weights_script() -> str:
    return script()


def worked_rows() -> list[list[nodes.Node | str]]:
    """Return each text to start from, and what the library says comes next."""
    rows = []
    for name, text in TEXTS.items():
        likeliest = [
            f"{json.dumps(chr(byte))} {share:.0%}"
            for byte, share in next_bytes(text, LIKELIEST)
        ]
        rows.append([name, html("code", repr(text[-24:])), ", ".join(likeliest)])
    return rows


class LiveModel(SphinxDirective):
    """The model, with its training curve as a numbered figure."""

    has_content = True
    option_spec = {"name": str}  # noqa: RUF012

    def run(self):
        size = len(weights_script()) / 1000
        words, messages = self.parse_inline(" ".join(self.content))
        drawing = nodes.raw("", curve_svg(), format="html")
        in_words = nodes.raw("", alternative(), format="text latex")
        figure = nodes.figure("", drawing, in_words, classes=["live-training"])
        figure += nodes.caption("", "", *words)
        self.add_name(figure)
        intro = (
            f"{param_count(STANDARD).total:,} weights, rounded to 8 bits, in a script "
            f"of {size:.0f} KB. Everything is computed by this page: type, and each "
            "view shows what the model makes of it."
        )
        worked = html(
            "details",
            html("summary", "Worked values"),
            table(["Text", "Its end", "Likeliest next bytes"], worked_rows()),
        )
        return [
            html(
                "course-live-model",
                html("p", "The model, live", class_="live-title"),
                html("p", intro, class_="live-intro"),
                figure,
                worked,
                id="live-model",
                data_texts=json.dumps(TEXTS),
                data_version=hashlib.sha256(weights_script().encode()).hexdigest()[:8],
            ),
            *messages,
        ]


def write_script(app, config):
    """Write the weights where Sphinx takes static files from."""
    folder = Path(app.doctreedir) / "live_model"
    (folder / "live").mkdir(parents=True, exist_ok=True)
    (folder / "live" / "data.js").write_text(weights_script(), encoding="utf-8")
    config.html_static_path.append(str(folder))


def setup(app):
    """Register the directive, and what its page loads."""
    app.setup_extension("elements")
    app.add_directive("live-model", LiveModel)
    app.connect("config-inited", write_script)
    load = needs("course-live-model", ["live/live.css"], SCRIPTS, 650)
    app.connect("html-page-context", load)
    return {"version": "1", "parallel_read_safe": True}
