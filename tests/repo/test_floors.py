"""The house: a module of course_lib imports only what stands before it in ARCHITECTURE.md's import order."""

import ast
import re
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest

from .repository import ids, matching, text

LIMIT = 300  # 250 lines of code, and the terms of the header
TERMS = re.compile(r"\n\nTerms:\n(?: {4,}\S.*\n)+")  # the entries of the index are no code
MODULES = [path for path in matching(r"course_lib/.*\.py") if path.name != "__init__.py"]
PACKAGES = [path for path in matching(r"course_lib/.*\.py") if path.name == "__init__.py"]
IMPORT_ORDER = text("ARCHITECTURE.md").split("```floors\n")[1].split("```")[0]
NO_TORCH = ("course_lib/specs/", "course_lib/costs/")


def import_order(block: str) -> list[str]:
    """Return the modules in order: each line names a floor, a package and its modules.

    >>> import_order("1 specs    frozen families/llama\\n           loader")
    ['course_lib.specs.frozen', 'course_lib.specs.families.llama', 'course_lib.specs.loader']
    """
    order, package = [], ""
    for line in block.splitlines():
        if start := re.match(r"\d (\w+) +", line):
            package, line = start[1], line[start.end() :]
        order += [f"course_lib.{package}.{name}".replace("/", ".") for name in line.split()]
    return order


ORDER = import_order(IMPORT_ORDER)
# A package that passes on the names of its modules may be imported where each of them may.
PASSED_ON = {
    "course_lib.specs.records": [name for name in ORDER if name.startswith("course_lib.specs.records.")],
}


def dotted(path: Path) -> str:
    return ".".join(path.with_suffix("").parts)


def imports(path: Path) -> set[str]:
    """Return what a file imports, as dotted names; `from a import b` gives `a.b` where that is a module."""
    found = set()
    for node in ast.walk(ast.parse(text(path.as_posix()))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: import by the full name"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & set(ORDER)) or {node.module}
    return found


def test_the_import_order_lists_every_module_once():
    assert sorted(ORDER) == sorted(dotted(path) for path in MODULES)


def test_floors_rise():
    floors = re.findall(r"^(\d) ", IMPORT_ORDER, flags=re.M)
    assert floors == sorted(floors)


@pytest.mark.parametrize("path", MODULES, ids=ids(MODULES))
def test_a_module_imports_only_what_stands_before_it(path):
    allowed = set(ORDER[: ORDER.index(dotted(path))])
    allowed |= {package for package in PASSED_ON if set(PASSED_ON[package]) <= allowed}
    ours = {name for name in imports(path) if name.split(".")[0] == "course_lib"}
    assert ours <= allowed


@pytest.mark.parametrize("path", PACKAGES, ids=ids(PACKAGES))
def test_a_package_file_only_names_what_is_in_it(path):
    package = path.parent.as_posix().replace("/", ".")
    ours = {name for name in imports(path) if name.split(".")[0] == "course_lib"}
    assert all(name.startswith(f"{package}.") for name in ours)
    assert package != "course_lib" or not ours


@pytest.mark.parametrize("path", MODULES + PACKAGES, ids=ids(MODULES + PACKAGES))
def test_a_module_is_one_idea_of_at_most_280_lines_and_says_which(path):
    without_terms = TERMS.sub("\n", text(path.as_posix()), count=1)
    assert len(without_terms.splitlines()) <= LIMIT
    assert ast.get_docstring(ast.parse(text(path.as_posix())))


@pytest.mark.parametrize("path", [p for p in MODULES if p.as_posix().startswith(NO_TORCH)], ids=str)
def test_the_ground_floor_needs_no_torch(path):
    assert not {name.split(".")[0] for name in imports(path)} & {"torch", "numpy", "transformers"}


def test_every_package_imported_is_declared():
    project = tomllib.loads(text("pyproject.toml"))["project"]
    wanted = chain(project["dependencies"], *project["optional-dependencies"].values())
    declared = {re.match(r"[\w.-]+", name)[0].lower() for name in wanted}
    as_package = {"yaml": "pyyaml", "PIL": "pillow", "IPython": "ipykernel", "myst_nb": "jupyter-book"}
    used = {name.split(".")[0] for path in MODULES + PACKAGES for name in imports(path)}
    used -= {"course_lib", *sys.stdlib_module_names}
    assert {as_package.get(name, name).replace("_", "-").lower() for name in used} - declared == set()


@pytest.mark.parametrize("path", MODULES, ids=ids(MODULES))
def test_the_library_never_prints(path):
    calls = (node for node in ast.walk(ast.parse(text(path.as_posix()))) if isinstance(node, ast.Call))
    prints = [call.lineno for call in calls if getattr(call.func, "id", "") == "print"]
    assert prints == []
