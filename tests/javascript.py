"""Run the site's scripts under node, without a browser: what the calculators compute.

node is the machine's, else the one that Playwright brings. The test extra has Playwright, so there is always
one, and a test never skips for want of it.
"""

import json
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parents[1] / "book" / "_static"


CALCULATOR = tuple(f"calculator-{part}.js" for part in ("words", "choice", "core"))
"""What a calculator needs to be worked out without its page, after its functions."""

READER = tuple(f"calculator-{part}.js" for part in ("maths", "values", "repr", "python", "json"))
"""What the translated library stands on, before it."""


@cache
def node() -> str:
    """Return the path of node."""
    if found := shutil.which("node"):
        return found
    from playwright._impl._driver import compute_driver_executable

    return str(compute_driver_executable()[0])


def static(name: str) -> str:
    """Return the text of a script of the site."""
    return (STATIC / name).read_text(encoding="utf-8")


def run(body: str, data: Any, *scripts: str) -> Any:
    """Run the body of a JavaScript function of `data` after some scripts, and return what it returns."""
    lines = [
        *scripts,
        "const data = JSON.parse(require('fs').readFileSync(0, 'utf8'));",
        f"process.stdout.write(JSON.stringify((() => {{{body}}})()));",
    ]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "test.cjs"
        file.write_text("\n".join(lines), encoding="utf-8")
        ended = subprocess.run(
            [node(), str(file)], input=json.dumps(data), capture_output=True, encoding="utf-8", check=False
        )
    if ended.returncode:
        raise AssertionError(ended.stderr[-3000:])
    return json.loads(ended.stdout)
