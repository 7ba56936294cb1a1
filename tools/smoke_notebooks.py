"""Print the notebooks that `make smoke` runs: the quickest of each chapter, and those
that the change touches, as far as the time goes.

    python tools/smoke_notebooks.py [--seconds 120]

The change is what differs from the branch's start at main (on main: from the commit
before), with what is not committed. Seconds are those of tests/durations.json; what no
longer fits is named on stderr.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNKNOWN_S = 30.0
PLACES = ("notebooks", "labs/source")


def quickest(notebooks: Iterable[str], seconds: Mapping[str, float]) -> list[str]:
    """Return the quickest notebook of each chapter's folder.

    >>> quickest(["books/1/a.ipynb", "books/1/b.ipynb"], {"books/1/a.ipynb": 90})
    ['books/1/b.ipynb']
    """
    chosen: dict[str, str] = {}
    for path in sorted(
        notebooks, key=lambda path: (seconds.get(path, UNKNOWN_S), path)
    ):
        chosen.setdefault(path.rpartition("/")[0], path)
    return sorted(chosen.values())


def within(
    paths: Iterable[str], seconds: Mapping[str, float], limit_s: float
) -> tuple[list[str], list[str]]:
    """Return what fits into a time, quickest first, and what does not.

    >>> within(["a", "b", "c"], {"a": 50, "b": 10, "c": 45}, 60)
    (['b', 'c'], ['a'])
    """
    kept, left, spent = [], [], 0.0
    for path in sorted(paths, key=lambda path: seconds.get(path, UNKNOWN_S)):
        spent += seconds.get(path, UNKNOWN_S)
        (kept if spent <= limit_s else left).append(path)
    return kept, left


def changed() -> set[str]:
    """Return the files that the change touches; outside a git checkout, none."""
    start = git("merge-base", "HEAD", "main").strip()
    if not start or start == git("rev-parse", "HEAD").strip():
        start = "HEAD~1"
    found = git("diff", "--name-only", start)
    found += git("ls-files", "--others", "--exclude-standard")
    return set(found.splitlines())


def git(*arguments: str) -> str:
    """Return what git prints, or nothing where it fails."""
    run = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return run.stdout if run.returncode == 0 else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    limit_s = parser.parse_args().seconds
    table = ROOT / "tests" / "durations.json"
    seconds = json.loads(table.read_text(encoding="utf-8")) if table.exists() else {}
    there = {
        path.relative_to(ROOT).as_posix()
        for place in PLACES
        for path in (ROOT / place).rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }
    always = quickest((path for path in there if path.startswith("notebooks")), seconds)
    more, left = within((changed() & there) - {*always}, seconds, limit_s)
    if left:
        print(f"no time for: {' '.join(sorted(left))}", file=sys.stderr)
    print(*always, *more)


if __name__ == "__main__":
    main()
