"""The `{pysource}` directive: a function, method or class as it stands in the library,
without its docstring and without the checks of its arguments.

    ```{pysource} course_lib/layers/attention/forms.py attend
    ```

The code is the code that runs; the page says what the docstring says, and the caption
that checks are left out where there are some. A missing name stops the build.
"""

import ast
import textwrap
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


def source_of(text: str, name: str) -> tuple[str, bool]:
    """Return the source of `name` ("attend", "RingCache.append") without docstrings and
    checks, dedented, and whether checks were left out.

    Raises:
        ValueError: if the text defines no such name.
    """
    node: ast.AST = ast.parse(text)
    for part in name.split("."):
        node = next(
            (
                child
                for child in ast.iter_child_nodes(node)
                if getattr(child, "name", None) == part
            ),
            None,
        )
        if node is None:
            raise ValueError(f"name={name!r}: {part!r} is not defined there")
    documented = [
        inner.body[0]
        for inner in ast.walk(node)
        if isinstance(inner, ast.FunctionDef | ast.ClassDef)
        and ast.get_docstring(inner) is not None
    ]
    checks = [
        statement
        for inner in ast.walk(node)
        if isinstance(inner, ast.FunctionDef)
        for statement in inner.body[:-1]
        if is_check(statement)
    ]
    hidden = {
        line
        for statement in documented + checks
        for line in range(statement.lineno, statement.end_lineno + 1)
    }
    lines = text.splitlines()
    kept = [
        lines[i - 1] for i in range(node.lineno, node.end_lineno + 1) if i not in hidden
    ]
    return textwrap.dedent("\n".join(kept)).strip(), bool(checks)


def is_check(statement: ast.stmt) -> bool:
    """Whether a statement does nothing but refuse an argument: an `if` or a loop that
    only raises, or a call of a function whose name begins with "check".

    >>> is_check(ast.parse("if n < 1:\\n    raise ValueError(n)").body[0])
    True
    """
    match statement:
        case ast.If(body=body, orelse=[]) | ast.For(body=body, orelse=[]):
            return all(isinstance(s, ast.Raise) or is_check(s) for s in body)
        case ast.Expr(
            value=ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name))
        ):
            return name.lstrip("_").startswith("check")
    return False


class PySource(SphinxDirective):
    """Show one definition from a file of the repository."""

    required_arguments = 2

    def run(self):
        file, name = self.arguments
        path = Path(self.env.srcdir) / file
        self.env.note_dependency(str(path))
        try:
            code, checked = source_of(path.read_text(encoding="utf-8"), name)
        except (OSError, ValueError) as error:
            return [
                self.state.document.reporter.error(
                    f"pysource {file} {name}: {error}", line=self.lineno
                )
            ]
        block = nodes.literal_block(code, code, language="python")
        caption = nodes.caption(
            "",
            "",
            nodes.literal("", f"{name}"),
            nodes.Text(f" in {file}" + ", without its checks" * checked),
        )
        return [
            nodes.container(
                "",
                caption,
                block,
                literal_block=True,
                classes=["literal-block-wrapper"],
            )
        ]


def setup(app):
    """Register the directive with Sphinx."""
    app.add_directive("pysource", PySource)
    return {"version": "1", "parallel_read_safe": True}
