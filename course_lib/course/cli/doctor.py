"""`course doctor`: is this machine ready for the course, and what will the notebooks
find on it?
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from course_lib.course.cli import machine
from course_lib.course.cli.console import ERR, JSON, answer, say, table
from course_lib.kit.units import bytes_text

NEEDED_FOR = {
    "node": "building the book (make book fetches one where there is none)",
    "npm": "building the book (make book fetches one where there is none)",
    "make": "make book, make test",
    "git": "getting the course",
    "chromium": "testing the book (make test), not for reading it",
}


def doctor(
    measure: Annotated[
        bool, typer.Option(help="Measure the bandwidth of memory (256 MiB, a second).")
    ] = True,
    as_json: JSON = False,
) -> None:
    """What this machine has, and what notebooks will use of it.

    Exit code 1 if they would not run as they were stored.
    """
    facts = doctor_facts(measure)
    answer(facts, as_json, show)
    if facts["problems"]:
        raise typer.Exit(1)


def doctor_facts(measure: bool) -> dict[str, Any]:
    """Ask the machine."""
    packages, pinned = machine.versions(), machine.pinned_torch()
    facts = machine.python_facts() | machine.processors() | machine.profile_facts()
    facts |= {
        "packages": packages,
        "torch_pinned_version": pinned,
        "torch_is_pinned": machine.same_release(packages["torch"], pinned),
        "gpus": machine.gpus(),
        "programs": machine.programs(),
        "models": machine.models(),
        "bandwidth": [],
    }
    if measure:
        with ERR.status("Measuring memory bandwidth"):
            devices = ["cpu", *(f"cuda:{index}" for index in range(len(facts["gpus"])))]
            facts["bandwidth"] = [machine.bandwidth(device) for device in devices]
    facts["problems"] = list(problems(facts))
    return facts


def problems(facts: Mapping[str, Any]) -> Iterator[str]:
    """What keeps the notebooks from running as they were stored."""
    if not facts["torch_is_pinned"]:
        found, pinned = facts["packages"]["torch"], facts["torch_pinned_version"]
        yield (
            f"torch is {found}, the course is pinned to {pinned}: pip install "
            f"torch=={pinned}"
        )
    if facts["profile_error"]:
        yield facts["profile_error"]
    for model in facts["models"]:
        if model["checksum_ok"] is False:
            yield (
                f"{model['name']}: the file is another than the pinned one: make models"
            )


def show(facts: Mapping[str, Any]) -> None:
    """Print the tables of `doctor`."""
    memory = facts["memory_bytes"]
    threads = facts["torch_threads"]
    rows = [
        ("course", facts["course_version"]),
        ("Python", f"{facts['python_version']} ({facts['python_path']})"),
        ("system", facts["platform"]),
        (
            "cores",
            f"{facts['cores']}, usable "
            f"{facts['usable_cores']}, torch threads {threads}",
        ),
        ("memory", bytes_text(memory) if memory else "unknown"),
    ]
    rows += [
        ("GPU", f"{gpu['name']}, {bytes_text(gpu['memory_bytes'])}")
        for gpu in facts["gpus"]
    ]
    rows += [("GPU", "none that torch sees")] * (not facts["gpus"])
    for one in facts["bandwidth"]:
        how = (
            f" ({threads} thread{'s' * (threads > 1)})"
            if one["device"] == "cpu"
            else ""
        )
        rows.append(
            (f"{one['device']} reads", f"{one['read_bytes_per_s'] / 1e9:.1f} GB/s{how}")
        )
    rows.append(("profile", facts["profile"] or "refused"))
    table(("this machine", ""), rows)
    pinned = facts["torch_pinned_version"]
    torch_note = {
        "torch": "as pinned" if facts["torch_is_pinned"] else f"pinned: {pinned}"
    }
    rows = [
        (name, found or "missing", torch_note.get(name, ""))
        for name, found in facts["packages"].items()
    ]
    table(("package", "version", ""), rows)
    rows = [
        (name, path or "missing", NEEDED_FOR[name])
        for name, path in facts["programs"].items()
    ]
    table(("program", "where", "needed for"), rows)
    rows = [
        (
            model["name"],
            model_text(model),
            bytes_text(model["weights_bytes"]) if model["present"] else "",
            model["about"],
        )
        for model in facts["models"]
    ]
    table(("trained model", "files", "#size", "what it is"), rows)
    for problem in facts["problems"]:
        say(f"Problem: {problem}")
    if not facts["problems"]:
        say("Ready.")


def model_text(model: Mapping[str, Any]) -> str:
    """What is here of a trained model."""
    if not model["present"]:
        return "absent (make models)"
    return "whole" if model["checksum_ok"] else "another file than the pinned one"
