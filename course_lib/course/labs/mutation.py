"""Mutants of a lab's solutions: each is the solution with one small thing changed.

A check that lets a mutant pass would let a student's slip pass. `mutants` yields them
all; `tools/mutants.py` runs them; those that mean the same as the solution stand in
`labs/equivalent`, each with its reason.

Only what stands between the solution's markers is changed. Kinds: an operator for
another, a comparison moved by one or turned round, a number by one, a statement
dropped, a condition settled, a slice's end moved or dropped, two letters of an einsum
or two arguments or two tuple entries swapped, a transposition dropped, a function for
its sibling.
"""

import ast
import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass

from nbformat import NotebookNode

OPERATORS = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mod, ast.Mult),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
}
COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
SIBLINGS = {
    "amax": "amin",
    "max": "min",
    "maximum": "minimum",
    "minimum": "maximum",
    "cos": "sin",
    "sin": "cos",
    "sum": "mean",
    "mean": "sum",
    "any": "all",
    "softmax": "log_softmax",
    "log_softmax": "softmax",
    "silu": "sigmoid",
    "abs": "neg",
    "tril": "triu",
    "exp": "log",
    "log": "exp",
    "round": "floor",
    "repeat_interleave": "tile",
    "inf": "pi",
}
DROPPED = ("transpose", "clone", "contiguous", "where", "masked_fill")
MARKED = re.compile(r"### (BEGIN|END) SOLUTION")


@dataclass(frozen=True)
class Mutant:
    """One changed solution: the exercise, what was changed, and the cell's code."""

    exercise: str
    name: str
    code: str


def mutants(notebook: NotebookNode) -> Iterator[Mutant]:
    """Yield all mutants of a source notebook's solution cells, in order."""
    for cell in notebook.cells:
        meta = cell.metadata.get("nbgrader", {})
        if cell.cell_type == "code" and meta.get("solution"):
            yield from cell_mutants(meta["grade_id"], cell.source)


def cell_mutants(exercise: str, code: str) -> Iterator[Mutant]:
    """Yield the mutants of one solution cell; none has the solution's own code.

    >>> marked = "### BEGIN SOLUTION\\n    return x < 1\\n    ### END SOLUTION"
    >>> code = f"def f(x):\\n    {marked}"
    >>> for mutant in cell_mutants("exercise-1", code):
    ...     print(mutant.name)
    f: return x < 1 => pass
    f: x < 1 => x <= 1
    f: x < 1 => x > 1
    f: 1 => 2
    f: 1 => 0
    """
    inside = _marked_lines(code)
    tree = ast.parse(code)
    seen, counts = {ast.unparse(tree)}, {}
    for path, node in _nodes(tree):
        if getattr(node, "lineno", 0) not in inside:
            continue
        for new in _changes(node):
            changed = copy.deepcopy(tree)
            _put(changed, path, new)
            text = ast.unparse(ast.fix_missing_locations(changed))
            if text in seen:
                continue
            seen.add(text)
            what = f"{_owner(tree, path)}: {_short(node)} => {_short(new)}"
            counts[what] = counts.get(what, 0) + 1
            again = f" ({counts[what]})" if counts[what] > 1 else ""
            yield Mutant(exercise, what + again, text)


def _marked_lines(code: str) -> set[int]:
    lines, inside = set(), False
    for number, line in enumerate(code.splitlines(), 1):
        if mark := MARKED.search(line):
            inside = mark[1] == "BEGIN"
        elif inside:
            lines.add(number)
    return lines


Path = tuple[tuple[str, int | None], ...]


def _nodes(node: ast.AST, path: Path = ()) -> Iterator[tuple[Path, ast.AST]]:
    """Walk the tree from the top, each node with the way to it."""
    if path:
        yield path, node
    for field, value in ast.iter_fields(node):
        parts = value if isinstance(value, list) else [value]
        for index, part in enumerate(parts):
            if isinstance(part, ast.AST):
                place = index if isinstance(value, list) else None
                yield from _nodes(part, (*path, (field, place)))


def _at(tree: ast.AST, path: Path) -> ast.AST:
    for field, index in path:
        tree = getattr(tree, field)
        tree = tree if index is None else tree[index]
    return tree


def _put(tree: ast.AST, path: Path, new: ast.AST) -> None:
    parent, (field, index) = _at(tree, path[:-1]), path[-1]
    if index is None:
        setattr(parent, field, copy.deepcopy(new))
    else:
        getattr(parent, field)[index] = copy.deepcopy(new)


def _owner(tree: ast.AST, path: Path) -> str:
    """The function or method that a node stands in."""
    nodes = (_at(tree, path[:end]) for end in range(1, len(path)))
    kinds = ast.FunctionDef | ast.ClassDef
    return ".".join(node.name for node in nodes if isinstance(node, kinds))


def _short(node: ast.AST) -> str:
    """The node's code on one line, cut to what tells it from others."""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 90 else text[:87] + "..."


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in the place of one node."""
    if isinstance(node, ast.stmt):
        yield from _statements(node)
    elif isinstance(node, ast.BinOp):
        for kind in OPERATORS.get(type(node.op), ()):
            yield _with(node, op=kind())
        if isinstance(node.op, ast.MatMult):
            yield _with(node, left=node.right, right=node.left)
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for kind in COMPARISONS.get(type(node.ops[0]), ()):
            yield _with(node, ops=[kind()])
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse
    elif isinstance(node, ast.BoolOp):
        yield from node.values
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.Slice):
        yield from _slices(node)
    else:
        yield from _calls_and_names(node)


def _with(node: ast.AST, **fields: object) -> ast.AST:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _statements(node: ast.stmt) -> Iterator[ast.AST]:
    if isinstance(node, ast.If | ast.While):
        yield _with(node, test=ast.Constant(True))
        yield _with(node, test=ast.Constant(False))
    elif isinstance(node, ast.AugAssign):
        yield ast.Pass()
        yield ast.Assign([node.target], node.value, lineno=node.lineno)
        for kind in OPERATORS.get(type(node.op), ()):
            yield _with(node, op=kind())
    elif isinstance(node, ast.For):
        yield ast.Pass()
        yield _with(node, body=[*node.body, ast.Break()])
    elif isinstance(node, ast.Assign | ast.Expr | ast.Return | ast.Delete):
        yield ast.Pass()


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, str) and "->" in value:
        for place in range(len(value) - 1):
            a, b = value[place : place + 2]
            if a.isalpha() and b.isalpha():
                yield ast.Constant(value[:place] + b + a + value[place + 2 :])
    elif isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
        yield ast.Constant(value - 1)
    elif isinstance(value, float):
        yield ast.Constant(value * 1.25 if value else 1.0)


def _slices(node: ast.Slice) -> Iterator[ast.AST]:
    for end in ("lower", "upper"):
        bound = getattr(node, end)
        if bound is not None and not isinstance(bound, ast.Constant):
            yield _with(node, **{end: None})
            for kind in (ast.Add, ast.Sub):
                moved = ast.BinOp(bound, kind(), ast.Constant(1))
                yield _with(node, **{end: moved})


def _symmetric(call: ast.Call) -> bool:
    """Whether the order of a call's arguments says nothing."""
    name = ast.unparse(call.func).split(".")[-1]
    return name in ("min", "max", "minimum", "maximum")


def _calls_and_names(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Attribute) and node.attr in ("T", "mT"):
        yield node.value
    elif isinstance(node, ast.Attribute) and node.attr in SIBLINGS:
        yield _with(node, attr=SIBLINGS[node.attr])
    elif isinstance(node, ast.Name) and node.id in SIBLINGS:
        yield ast.Name(SIBLINGS[node.id], node.ctx)
    elif isinstance(node, ast.Call) and len(node.args) >= 2 and not _symmetric(node):
        first, second, *rest = node.args
        yield _with(node, args=[second, first, *rest])
    elif isinstance(node, ast.Tuple) and len(node.elts) >= 2:
        first, second, *rest = node.elts
        yield _with(node, elts=[second, first, *rest])
    called = node.func if isinstance(node, ast.Call) else None
    if isinstance(called, ast.Attribute) and called.attr in DROPPED:
        yield called.value
