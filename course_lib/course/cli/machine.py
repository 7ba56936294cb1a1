"""What `course doctor` finds out: versions, processors, memory and its bandwidth,
profile, programs.
"""

import os
import platform
import re
import runpy
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = (
    "torch",
    "numpy",
    "typer",
    "rich",
    "jupyterlab",
    "ipykernel",
    "nbclient",
    "jupyter-book",
    "nbgrader",
)
MEASURED_BYTES = 2**28


def versions() -> dict[str, str | None]:
    """Installed versions of the packages that matter most; None where one is not
    installed.
    """
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def pinned_torch(requirements: list[str] | None = None) -> str | None:
    """The torch that the course declares.

    >>> pinned_torch(["torch==2.13.0", "numpy>=2"])
    '2.13.0'
    """
    wanted = (
        metadata.requires("course_lib") or [] if requirements is None else requirements
    )
    return next(
        (name[1] for one in wanted if (name := re.match(r"torch==([\w.]+)", one))), None
    )


def same_release(installed: str | None, pinned: str | None) -> bool:
    """Whether a build is of the pinned release, whatever it was built for.

    >>> same_release("2.13.0+cpu", "2.13.0"), same_release("2.12.1", "2.13.0")
    (True, False)
    """
    return installed is not None and installed.split("+")[0] == pinned


def processors() -> dict[str, int | None]:
    """Cores of the machine, those this process may use, threads that torch takes, and
    bytes of memory.
    """
    import torch

    usable = (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count()
    )
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        memory = None
    return {
        "cores": os.cpu_count(),
        "usable_cores": usable,
        "torch_threads": torch.get_num_threads(),
        "memory_bytes": memory,
    }


def gpus() -> list[dict[str, Any]]:
    """The CUDA devices torch sees."""
    import torch

    seen = [
        torch.cuda.get_device_properties(index)
        for index in range(torch.cuda.device_count())
    ]
    return [{"name": one.name, "memory_bytes": one.total_memory} for one in seen]


def bandwidth(device: str) -> dict[str, Any]:
    """Bytes per second at which `device` reads its memory, measured now."""
    from course_lib.kit.timing import measure_bandwidth

    found = measure_bandwidth(MEASURED_BYTES, device)
    return {
        "device": device,
        "read_bytes_per_s": found.bytes_per_s,
        "moved_bytes": found.moved_bytes,
        "median_s": found.timing.median_s,
    }


def profile_facts() -> dict[str, str | None]:
    """The profile that notebooks will use, or why none can be."""
    from course_lib.kit.runtime import VARIABLE, profile

    asked = os.environ.get(VARIABLE) or None
    try:
        return {"profile": profile(), "profile_asked": asked, "profile_error": None}
    except ValueError as error:
        return {"profile": None, "profile_asked": asked, "profile_error": str(error)}


def programs() -> dict[str, str | None]:
    """Paths of the programs that building and testing the book call; None where one is
    missing.
    """
    beside = str(Path(sys.executable).parent)
    found = {
        name: shutil.which(name) or shutil.which(name, path=beside)
        for name in ("node", "npm", "make", "git")
    }
    finder = ROOT / "tests" / "browser" / "chromium.py"
    found["chromium"] = (
        runpy.run_path(str(finder))["find"]() if finder.is_file() else None
    )
    return found


def models() -> list[dict[str, Any]]:
    """The trained models that the course knows: which are here, and whole."""
    from course_lib.models.real.assets import assets, state

    return [state(wanted) for wanted in assets().values()]


def python_facts() -> dict[str, str]:
    """The interpreter and the system."""
    return {
        "python_version": platform.python_version(),
        "python_path": sys.executable,
        "platform": platform.platform(),
        "course_version": metadata.version("course_lib"),
    }
