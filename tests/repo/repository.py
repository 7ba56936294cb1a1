"""What the repository holds: its files, its notebooks, its pages. Every check here reads through this."""

import json
import re
import subprocess
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
BUILT = {".git", ".venv", "_build", "node_modules", "vendor", "shots", ".work", "__pycache__", ".hypothesis"}


@cache
def files() -> tuple[Path, ...]:
    """Return the files of the repository: what git holds or would take, relative to the root.

    Outside a git checkout (an archive) every file counts that no build made.
    """
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if run.returncode == 0:
        named = (Path(name) for name in run.stdout.split("\0") if name)
    else:
        named = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return tuple(sorted(path for path in named if not BUILT & {*path.parts} and (ROOT / path).is_file()))


@cache
def commit() -> str:
    """Return the commit's hash, by which a sample is chosen; "" outside a git checkout."""
    command = ["git", "rev-parse", "HEAD"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


@cache
def before(path: str) -> str | None:
    """Return a file as the last commit but one has it, or None where there is none."""
    command = ["git", "show", f"HEAD~1:{path}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return run.stdout if run.returncode == 0 else None


def matching(pattern: str) -> list[Path]:
    """Return the files whose whole path matches a regular expression."""
    return [path for path in files() if re.fullmatch(pattern, path.as_posix())]


def notebooks() -> list[Path]:
    """Return the course's notebooks (not the labs)."""
    return matching(r"notebooks/.*\.ipynb")


@cache
def notebook(path: Path) -> dict:
    """Return one notebook as JSON."""
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def code_cells(path: Path) -> list[dict]:
    """Return a notebook's code cells that hold code."""
    cells = notebook(path)["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code" and source(cell).strip()]


def source(cell: dict) -> str:
    """Return a cell's text."""
    return "".join(cell["source"])


def tags(cell: dict) -> set[str]:
    """Return a cell's tags."""
    return set(cell["metadata"].get("tags", []))


@cache
def data(path: str):
    """Return a YAML file of the repository."""
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


@cache
def text(path: str) -> str:
    """Return a text file of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def ids(paths) -> list[str]:
    """Return paths as test ids."""
    return [path.as_posix() for path in paths]
