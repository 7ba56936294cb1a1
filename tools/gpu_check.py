"""What to run on a GPU when one comes along: right results first, then times, in under
8 minutes.

    python tools/gpu_check.py                        on a GPU
    COURSE_PROFILE=smoke python tools/gpu_check.py   the rehearsal, on the CPU, small
    python tools/gpu_check.py --only kernel decode   some steps

Results go to benchmarks/results/gpu_check.json, a rehearsal's below _build. It needs
the checkout and what is installed: torch 2.11 or later, NumPy and PyYAML; Triton,
`transformers` and what runs notebooks (nbclient, matplotlib) where they are there. Each
step of `gpu_steps.py` runs in a process of its own within its time, so that a step that
fails, hangs or loses the device ends no other. The file is written after every step:
machine, versions, and for each step its seconds, its results or its problem. Ends with
1 if a check of correctness failed.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from gpu_steps import NOTEBOOKS, STEPS, Step  # noqa: E402

WHOLE_S = 480
REHEARSAL = ROOT / "_build" / "gpu_check_rehearsal.json"
RESULTS = ROOT / "benchmarks" / "results" / "gpu_check.json"
PACKAGES = ("torch", "triton", "transformers", "numpy", "jaxtyping", "nbclient")


def machine(smoke: bool) -> dict:
    """Return what a time depends on: date, device, cores, versions."""
    import torch

    gpu = torch.cuda.is_available() and not smoke
    facts = torch.cuda.get_device_properties(0) if gpu else None
    return {
        "date": time.strftime("%Y-%m-%d"),
        "device": facts.name if facts else f"cpu ({platform.machine()})",
        "memory_bytes": facts.total_memory if facts else None,
        "processors": facts.multi_processor_count if facts else None,
        "capability": f"{facts.major}.{facts.minor}" if facts else None,
        "cuda": torch.version.cuda,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def has_gpu() -> bool:
    """Whether PyTorch finds a CUDA device."""
    import torch

    return torch.cuda.is_available()


def version(package: str) -> str | None:
    """Return a package's version, None where it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def run(step: Step, smoke: bool, limit_s: float) -> dict:
    """Run one step in a process of its own, and return its row."""
    row = {"step": step.name, "checks": step.checks, "ok": False, "limit_s": limit_s}
    if limit_s < 5:
        return row | {"seconds": 0.0, "problem": "no time was left"}
    environment = os.environ | {
        "COURSE_PROFILE": "smoke" if smoke else "gpu",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
    }
    if smoke:
        environment["TRITON_INTERPRET"] = "1"
    command = [sys.executable, str(ROOT / "tools" / "gpu_steps.py"), step.name]
    start = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return row | {"seconds": limit_s, "problem": f"took more than {limit_s:g} s"}
    row["seconds"] = round(time.perf_counter() - start, 1)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        return row | {"problem": "\n".join(lines[-6:])[-2000:]}
    return row | json.loads(done.stdout.strip().splitlines()[-1])


def steps(only: list[str], smoke: bool) -> list[Step]:
    """Return the steps to run, in order; a rehearsal runs one of the notebooks."""
    left_out = {f"notebook:{name}" for name in NOTEBOOKS[1:]} if smoke else set()
    return [
        step
        for step in STEPS
        if (step.name in only if only else step.name not in left_out)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="where results go")
    parser.add_argument("--only", nargs="+", default=[], help="names of steps")
    parser.add_argument("--whole-s", type=float, default=WHOLE_S)
    given = parser.parse_args()
    if unknown := set(given.only) - {step.name for step in STEPS}:
        parser.error(
            f"--only {' '.join(sorted(unknown))}: allowed are "
            f"{', '.join(step.name for step in STEPS)}"
        )
    smoke = os.environ.get("COURSE_PROFILE", "") == "smoke"
    if not smoke and not has_gpu():
        raise SystemExit(
            "PyTorch finds no CUDA device; COURSE_PROFILE=smoke rehearses on the CPU"
        )
    into = given.json or (REHEARSAL if smoke else RESULTS)
    into.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "profile": "smoke" if smoke else "gpu",
        "machine": machine(smoke),
        "steps": [],
    }
    start = time.perf_counter()
    for step in steps(given.only, smoke):
        left = given.whole_s - (time.perf_counter() - start)
        row = run(step, smoke, min(step.limit_s, round(left, 1)))
        report["steps"].append(row)
        report["seconds"] = round(time.perf_counter() - start, 1)
        into.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        problem = row.get("problem", "").splitlines()[-1:]
        said = "ok" if row["ok"] else "FAILED" if row["checks"] else "no result"
        print(f"{row['seconds']:6.1f} s  {said:9s}  {step.name}", *problem, flush=True)
    wrong = [row["step"] for row in report["steps"] if row["checks"] and not row["ok"]]
    print(f"{into}: {len(report['steps'])} steps, wrong: {', '.join(wrong) or 'none'}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
