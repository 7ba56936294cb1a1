"""The `{config-reader}` directive: paste a config.json, and read what the model costs.

    ```{config-reader}
    ```

The page's script runs the parsers and costs of `course_lib`, translated
(`course_lib.course.calculators.config`). The page itself holds one family's formula and
what published configs cost, for a reader without JavaScript.
"""

from pathlib import Path

from calculators import SCRIPTS as CALCULATOR
from docutils import nodes
from elements import html, needs, table
from sphinx.util.docutils import SphinxDirective

from course_lib.costs.summary import Summary, summary
from course_lib.course.calculators.config import formula, script
from course_lib.kit.units import bytes_text, count_text, share_text
from course_lib.specs.from_hf import PARSERS
from course_lib.specs.loader import load_spec

SCRIPTS = tuple(
    f"calculator-{part}.js"
    for part in ("values", "repr", "python", "config-data", "json", "reader", "config")
)
SHOWN = (
    "gpt2",
    "llama-3.1-8b",
    "gemma-2-9b",
    "mixtral-8x7b",
    "deepseek-v3",
    "bert-base",
    "t5-base",
)
TOKENS = 8192
ALSO_READ = (
    "A model of several parts is read where its text_config is one of these, and a "
    "params.json of Meta's or Mistral's. The class that architectures names is counted."
)
FORMULA_OF = "llama-3.1-8b"


def row(name: str) -> list[str]:
    """Return what a published config costs, as a row."""
    found: Summary = summary(load_spec(name), TOKENS)
    cache = (
        "none"
        if found.cache_bytes_per_token is None
        else bytes_text(found.cache_bytes_per_token)
    )
    counts = [count_text(found.total), count_text(found.active)]
    return [
        name,
        *counts,
        share_text(found.embedding_share),
        "yes" if found.tied else "no",
        cache,
    ]


class ConfigReader(SphinxDirective):
    """The reader of a config.json."""

    def run(self):
        maths = formula(FORMULA_OF)
        block = nodes.math_block(
            maths,
            maths,
            nowrap=False,
            number=None,
            label=None,
            docname=self.env.docname,
        )
        head = [
            "Model",
            "Parameters",
            "Active",
            "Share of the embedding",
            "Tied",
            "Cache a token",
        ]
        reader = html(
            "course-config",
            html("p", "A config.json, counted", class_="calculator-title"),
            html(
                "p",
                "How many parameters, FLOPs and bytes does this config make?",
                class_="calculator-question",
            ),
            html("p", f"The formula of {FORMULA_OF}, n tokens in the context:"),
            html(
                "div",
                block,
                class_="calculator-formula",
                role="group",
                aria_label="Formula",
                tabindex="0",
            ),
            html(
                "details",
                html("summary", "Worked values"),
                html("p", "Two bytes a cached number."),
                table(head, map(row, SHOWN)),
                class_="calculator-worked",
            ),
            html(
                "details",
                html("summary", f"{len(PARSERS)} model types are read"),
                html("p", f"{', '.join(sorted(PARSERS))}. {ALSO_READ}"),
                class_="calculator-worked",
            ),
            id="config",
        )
        return [reader]


def write_script(app, config):
    """Write the translated library where Sphinx takes static files from."""
    folder = Path(app.doctreedir) / "calculators"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "calculator-config-data.js").write_text(script(), encoding="utf-8")


def setup(app):
    """Register the directive, and what its page loads."""
    app.setup_extension("calculators")
    app.add_directive("config-reader", ConfigReader)
    app.connect("config-inited", write_script)
    load = needs("course-config", ["calculator.css"], (*CALCULATOR, *SCRIPTS), 600)
    app.connect("html-page-context", load)
    return {"version": "1", "parallel_read_safe": True}
