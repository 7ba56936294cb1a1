"""Build the pages with plain Sphinx: the way out, should Jupyter Book 1 end.

`jupyter-book config sphinx .` writes the conf.py that Jupyter Book works from. It lies
in the root while `sphinx-build` runs, for its paths count from there, and goes again.
It does not say where our own extensions are, so they are put on Python's path.
Warnings are errors, as in `make pages`; the site is at _build/sphinx/html/index.html.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONF, OUT = ROOT / "conf.py", ROOT / "_build" / "sphinx"
STRICT = ("-W", "-n", "--keep-going", "-q", "-E")


def main() -> int:
    if CONF.exists():
        raise SystemExit(f"{CONF.name} is there already; move it, this writes its own")
    python = [sys.executable, "-m"]
    # jupyter_book.cli is what the command `jupyter-book` calls.
    book = "from jupyter_book.cli.main import main; main()"
    path = os.pathsep.join(
        filter(None, (str(ROOT / "book" / "_ext"), os.environ.get("PYTHONPATH")))
    )
    try:
        subprocess.run(
            [sys.executable, "-c", book, "config", "sphinx", "."], cwd=ROOT, check=True
        )
        built = subprocess.run(
            [*python, "sphinx", *STRICT, "-d", f"{OUT}/doctrees", ".", f"{OUT}/html"],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path},
            check=False,
        )
    finally:
        CONF.unlink(missing_ok=True)
    print(f"plain Sphinx: {'built' if built.returncode == 0 else 'failed'}, {OUT}/html")
    return built.returncode


if __name__ == "__main__":
    sys.exit(main())
