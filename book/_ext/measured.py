"""The `{measured}` role: a number in prose, read from the notebook that measured it.

    {measured}`03_kv_cache/02_cache_budget:kv_32k`          10 GiB, with a link
    {measured}`03_kv_cache/02_cache_budget:kv_32k|.1f`      10.0, formatted, no unit

A name that the notebook does not record is a build warning, and the build treats
warnings as errors.
"""

from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxRole

from course_lib.kit.values import read_values

NOTEBOOKS = "notebooks"


class MeasuredRole(SphinxRole):
    """Replace `chapter/notebook:name|format` by the recorded value, linked to its
    notebook.
    """

    def run(self):
        target, _, form = self.text.partition("|")
        notebook, _, name = target.partition(":")
        path = Path(self.env.srcdir) / NOTEBOOKS / f"{notebook}.ipynb"
        self.env.note_dependency(str(path))
        try:
            value = read_values(path)[name]
        except (OSError, KeyError, ValueError) as error:
            message = self.inliner.reporter.error(
                f"measured value {target!r} not found: {error!r}", line=self.lineno
            )
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [
                message
            ]
        shown = format(value.value, form) if form else value.text()
        relative = Path("/") / NOTEBOOKS / notebook
        reference = nodes.reference(
            "", shown, refuri=self._uri(relative), internal=True, classes=["measured"]
        )
        reference["reftitle"] = f"measured in {notebook}"
        return [reference], []

    def _uri(self, document: Path) -> str:
        return self.env.app.builder.get_relative_uri(
            self.env.docname, str(document).lstrip("/")
        )


def setup(app):
    """Register the role with Sphinx."""
    app.add_role("measured", MeasuredRole())
    return {"version": "1", "parallel_read_safe": True}
