"""Write constraints.txt: one pinned version of every package, for every platform and
Python we support.

    make lock              keep every pin, add what pyproject.toml asks for without one
    make lock UPGRADE=1    resolve everything anew

Runs `uv pip compile --universal` over all extras of pyproject.toml. The file
constrains; it installs nothing. Left out are the packages that torch itself pins to its
build (CUDA libraries and triton): a CPU build of torch has none of them, and a GPU
build brings its own.
"""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "constraints.txt"
TORCH_BRINGS = ("nvidia-", "cuda-", "triton")
HEADER = (
    "# Made by `make lock` (tools/lock.py) with uv. Do not edit: change "
    "pyproject.toml and run it again.\n"
)


def resolve(upgrade: bool) -> str:
    """Return uv's resolution of all extras for Python 3.11 and later on every
    platform.
    """
    command = [
        "-m",
        "uv",
        "pip",
        "compile",
        "--universal",
        "--python-version",
        "3.11",
        "--all-extras",
    ]
    command += ["--upgrade"] if upgrade else ["--constraint", PINS.name]
    command += [
        "--no-header",
        "--no-annotate",
        "--no-emit-index-url",
        "--no-emit-find-links",
    ]
    run = subprocess.run(
        [sys.executable, *command, "--quiet", "pyproject.toml"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    if run.returncode:
        raise SystemExit(run.stderr)
    return run.stdout


def constraints(resolution: str) -> str:
    """Keep the pins that are ours: drop what torch brings, and the course itself."""
    pins = [
        line
        for line in resolution.splitlines()
        if line and not line.startswith(("#", "-e", "."))
    ]
    return (
        HEADER
        + "\n".join(pin for pin in pins if not pin.startswith(TORCH_BRINGS))
        + "\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--upgrade", action="store_true", help="take the newest of everything"
    )
    PINS.write_text(constraints(resolve(parser.parse_args().upgrade)))
