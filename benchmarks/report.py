"""What every benchmark shares: the facts of the machine, and a file of results.

Each starts with the same two lines, which put the repository on the path, so that
`python benchmarks/NAME.py` and `python -m benchmarks.NAME` both run.
"""

import argparse
import importlib.metadata
import json
import os
import platform
from pathlib import Path

import torch


def parser(description: str, *, rounds: int) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    found = argparse.ArgumentParser(description=description.splitlines()[0])
    found.add_argument("--rounds", type=int, default=rounds)
    found.add_argument("--threads", type=int, default=2)
    found.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the results there"
    )
    return found


def machine(threads: int, device: str = "cpu", *packages: str) -> dict:
    """What a reader needs to know of the machine, and versions of other packages."""
    on_gpu = torch.device(device).type == "cuda"
    facts = {
        "processor": torch.cuda.get_device_name(device)
        if on_gpu
        else platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    return facts | {name: importlib.metadata.version(name) for name in packages}


def write(file: Path | None, facts: dict, settings: dict, rows: list[dict]) -> None:
    """Put the rows so far into the file, if one was named; called after every row, so
    that a run cut short leaves what it measured.
    """
    if file is not None:
        report = {"machine": facts, "settings": settings, "rows": rows}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(report, indent=2) + "\n")
