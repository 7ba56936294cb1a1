"""Where the evidence for a claim lies, and whether it is there. One function for each kind.

Each returns what is wrong, or an empty string:

    {notebook: 03_kv_cache/02_budget, tag: claim-kv-formula}    a cell with that tag and an assert
    {test: tests/parity/test_llama.py::test_decode}             a test function of that name
    {call: course_lib.costs.cache.kv_cache_bytes, arguments: {batch: 1, ...}, expected: 10737418240}
    {citation: shazeer2019mqa}                                  a key of book/references.bib
    {experiment: feed_forward}                                  a record, under other seeds too
    {page: book/03_kv_cache, anchor: the-budget}                a heading or label of a page
    {lab: 03_kv_cache, exercise: ring-buffer}                   a graded cell of a lab's source
"""

import ast
import re
from pathlib import Path

from course_lib.course.ledger.evidence import call, recorded

from .repository import ROOT, code_cells, notebook, source, tags, text


def in_notebook(item: dict, *, must_assert: bool) -> str:
    """Check that the notebook has a cell with the tag, and that it asserts where it has to."""
    path = Path("notebooks", f"{item['notebook'].removeprefix('notebooks/').removesuffix('.ipynb')}.ipynb")
    if not (ROOT / path).is_file():
        return f"{path} is not there"
    tagged = [cell for cell in notebook(path)["cells"] if item["tag"] in tags(cell)]
    if not tagged:
        return f"{path} has no cell tagged {item['tag']}"
    if must_assert and not any(asserts(source(cell)) for cell in code_cells(path) if cell in tagged):
        return f"{path}: no cell tagged {item['tag']} has an assert"
    return ""


def asserts(code: str) -> bool:
    """Say whether the code has an assert statement; the word in a comment or a string is none."""
    return any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(code)))


def in_tests(item: dict) -> str:
    """Check that pytest would collect the test: file, class and function by name."""
    name, *within = item["test"].split("[")[0].split("::")
    if not re.fullmatch(r"tests/.*test_\w+\.py", name) or not (ROOT / name).is_file():
        return f"{name} is not a test file"
    body = ast.parse(text(name)).body
    for step in within:
        found = [node for node in body if getattr(node, "name", None) == step]
        if not found:
            return f"{name} has no {step}"
        body = found[0].body
    return "" if within and within[-1].startswith("test_") else f"{item['test']} names no test function"


def by_call(item: dict) -> str:
    """Call the function with its arguments and compare with what is expected, as the ledger's page does."""
    try:
        call(item)
    except ValueError as error:
        return str(error)
    return ""


def in_references(item: dict) -> str:
    """Check that the bibliography has the key."""
    keys = re.findall(r"^@\w+\{([^,\s]+),", text("book/references.bib"), flags=re.M)
    return "" if item["citation"] in keys else f"book/references.bib has no {item['citation']}"


def in_records(item: dict) -> str:
    """Check that the experiment was recorded, and under other seeds as well."""
    try:
        recorded(item)
    except ValueError as error:
        return str(error)
    return ""


def on_page(item: dict) -> str:
    """Check that the page has the heading or label."""
    name = f"{item['page'].removesuffix('.md')}.md"
    if not (ROOT / name).is_file():
        return f"{name} is not there"
    return "" if item["anchor"] in anchors(text(name)) else f"{name} has no heading or label {item['anchor']}"


def in_lab(item: dict) -> str:
    """Check that the lab's source has a cell of that name (nbgrader's grade_id)."""
    path = Path("labs", "source", f"{item['lab']}.ipynb")
    if not (ROOT / path).is_file():
        return f"{path} is not there"
    named = {cell["metadata"].get("nbgrader", {}).get("grade_id") for cell in notebook(path)["cells"]}
    return "" if item["exercise"] in named else f"{path} has no cell {item['exercise']}"


def anchors(markdown: str) -> set[str]:
    """Return the labels of a page and its headings as they appear in links.

    >>> sorted(anchors("(budget)=\\n## What fits on a GPU?\\n:::{math}\\n:label: eq-bytes"))
    ['budget', 'eq-bytes', 'what-fits-on-a-gpu']
    """
    labels = re.findall(r"^\((.+)\)=\s*$|^:(?:label|name): *(\S+)", markdown, flags=re.M)
    headings = re.findall(r"^#{1,6} +(.+?)\s*$", markdown, flags=re.M)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return slugs | {label for pair in labels for label in pair if label}


KINDS = {
    "notebook": in_notebook,
    "test": in_tests,
    "call": by_call,
    "citation": in_references,
    "experiment": in_records,
    "page": on_page,
    "lab": in_lab,
}


def problem(item: dict, *, allowed: set[str], must_assert: bool = True) -> str:
    """Return what is wrong with one piece of evidence, or an empty string."""
    kind = next((kind for kind in KINDS if kind in item), None)
    if kind not in allowed:
        return f"{item}: allowed is one of {sorted(allowed)}"
    if kind == "notebook":
        return in_notebook(item, must_assert=must_assert)
    return KINDS[kind](item)
