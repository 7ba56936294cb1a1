"""Run notebooks from top to bottom and store their outputs, with nothing in them that
changes for no reason.

    python tools/run_notebooks.py                          every notebook, in place
    python tools/run_notebooks.py notebooks/03_kv_cache    one folder, or single files
    python tools/run_notebooks.py --into results           copies and run.json there

Stored: outputs, execution counts 1..n, widget state. Dropped: timestamps, tool
versions, random widget ids. Ends with 1 if a notebook fails, writes to stderr, or takes
longer than --limit seconds (60, in place).
"""

import argparse
import json
import os
import platform
import re
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 60
CELL_TIMEOUT_S = 600
MODEL_ID = re.compile(r"[0-9a-f]{32}")
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def find(places: list[str]) -> list[Path]:
    """Return the notebooks named, or those under the folders named, in order."""
    found = []
    for place in map(Path, places or [ROOT / "notebooks"]):
        found += [place] if place.suffix == ".ipynb" else sorted(place.rglob("*.ipynb"))
    return [path.resolve() for path in found if ".ipynb_checkpoints" not in path.parts]


def execute(path: Path) -> tuple[nbformat.NotebookNode, float]:
    """Run one notebook in its own folder with a fresh kernel; return it and the seconds
    it took.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata["kernelspec"] = dict(KERNEL)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT_S,
        kernel_name=KERNEL["name"],
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=True,
        extra_arguments=["--log-level=ERROR"],
    )
    start = time.perf_counter()
    client.execute()
    return notebook, time.perf_counter() - start


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop what differs from run to run without the notebook having changed."""
    kept = {"kernelspec": dict(KERNEL), "language_info": {"name": "python"}}
    kept |= {
        key: notebook.metadata[key]
        for key in ("widgets", "mystnb")
        if key in notebook.metadata
    }
    notebook.metadata = nbformat.from_dict(kept)
    for cell in notebook.cells:
        for key in ("execution", "collapsed", "scrolled", "ExecuteTime"):
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = merged(cell.outputs)
    return number_widgets(notebook)


def merged(outputs: list) -> list:
    """Join neighbouring pieces of one stream: where they were cut depends on timing."""
    joined = []
    for output in outputs:
        same = (
            output.output_type == "stream"
            and joined
            and joined[-1].get("name") == output.name
        )
        if same:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def number_widgets(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Replace the random ids of widget models by numbers, in the order the cells reach
    them.
    """
    numbers = {
        name: f"{number:032x}" for number, name in enumerate(reached(notebook), start=1)
    }
    text = MODEL_ID.sub(
        lambda match: numbers.get(match[0], match[0]), nbformat.writes(notebook)
    )
    return nbformat.reads(text, as_version=4)


def reached(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the widget models: those that cells show, then what each refers to, depth
    first.
    """
    state = notebook.metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    shown = [
        output.data[WIDGET_VIEW]["model_id"]
        for output in outputs
        if WIDGET_VIEW in output.get("data", {})
    ]
    order, waiting = {}, shown[::-1]
    while waiting:
        model = waiting.pop()
        if model in state and model not in order:
            order[model] = True
            waiting += MODEL_ID.findall(json.dumps(state[model], sort_keys=True))[::-1]
    return [
        *order,
        *sorted(
            set(state) - set(order),
            key=lambda model: json.dumps(state[model], sort_keys=True),
        ),
    ]


def stderr_of(notebook: nbformat.NotebookNode) -> str:
    """Return what the cells wrote to stderr."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return "".join(output.text for output in outputs if output.get("name") == "stderr")


def machine() -> dict:
    """Return the facts of this machine that a time depends on."""
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        "date": time.strftime("%Y-%m-%d"),
        "device": device,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "profile": os.environ.get("COURSE_PROFILE", ""),
    }


def run(path: Path, into: Path | None) -> dict:
    """Run, tidy and write one notebook; return its row of the report."""
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    try:
        notebook, seconds = execute(path)
    except CellExecutionError as error:
        return {"notebook": name, "seconds": None, "problem": str(error)}
    target = into / name if into else path
    target.parent.mkdir(parents=True, exist_ok=True)
    notebook = tidy(notebook)
    nbformat.write(notebook, target)
    return {
        "notebook": name,
        "seconds": round(seconds, 1),
        "problem": stderr_of(notebook),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "notebooks", nargs="*", help="files or folders (default: notebooks/)"
    )
    parser.add_argument(
        "--into", type=Path, help="write copies and run.json here instead of in place"
    )
    parser.add_argument(
        "--limit",
        type=float,
        default=LIMIT_S,
        help="seconds one notebook may take in place",
    )
    options = parser.parse_args()
    into = options.into.resolve() if options.into else None
    rows = []
    for path in find(options.notebooks):
        row = run(path, into)
        if not into and (row["seconds"] or 0) > options.limit:
            row["problem"] += f"took {row['seconds']} s, allowed is {options.limit:g} s"
        rows.append(row)
        shown = "failed" if row["seconds"] is None else f"{row['seconds']:6.1f} s"
        print(f"{shown}  {row['notebook']}  {row['problem']}", flush=True)
    if into:
        into.mkdir(parents=True, exist_ok=True)
        (into / "run.json").write_text(
            json.dumps({"machine": machine(), "notebooks": rows}, indent=2) + "\n"
        )
    bad = sum(bool(row["problem"]) for row in rows)
    print(f"{len(rows)} notebooks run, {bad} with problems")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
