"""Write the student version of every lab from its source: `python
tools/generate_labs.py`.

--check writes nothing and fails if a committed student version differs from its source.
--execute first runs the sources and stores their outputs, as the notebook tests expect
them.
"""

import argparse
import subprocess
import sys

import nbformat
from nbclient import NotebookClient

from course_lib.course.labs.generate import LABS, lab_names, read_source, student_text

METADATA = {  # the same whoever ran it
    "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
    "language_info": {"name": "python"},
}


def execute(name: str) -> None:
    """Run the source of lab `name` from top to bottom and store its outputs."""
    notebook = read_source(name)
    folder = LABS / "source"
    options = {"timeout": 120, "record_timing": False, "coalesce_streams": True}
    client = NotebookClient(
        notebook, resources={"metadata": {"path": folder}}, **options
    )
    client.execute(
        stderr=subprocess.DEVNULL
    )  # the kernel's own log, not the cells' output
    notebook.metadata = METADATA
    nbformat.write(notebook, folder / f"{name}.ipynb")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="only compare; exit 1 if a file is out of step",
    )
    parser.add_argument(
        "--execute",
        action="store_true",
        help="run the sources and store their outputs first",
    )
    options = parser.parse_args()
    stale = []
    for name in lab_names():
        if options.execute:
            execute(name)
        target, text = LABS / f"{name}.ipynb", student_text(name)
        if options.check:
            current = target.read_text(encoding="utf-8") if target.exists() else ""
            stale += [name] if current != text else []
        else:
            target.write_text(text, encoding="utf-8")
    if stale:
        sys.stderr.write(
            f"out of step with labs/source: {', '.join(stale)}; run "
            "tools/generate_labs.py\n"
        )
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
