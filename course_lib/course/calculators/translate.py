"""Modules of the library as JavaScript: a page reads a config by the very code that the
library reads it by.

A parser of `specs.families` is plain Python: fields read through `reader.Config`,
arithmetic, records. This module translates such modules one after the other:
`statements` does their functions and records, `expressions` what stands inside one, and
`vocabulary` refuses the names that nothing on the page answers to. No family is written
a second time.
"""

import ast
import importlib
import importlib.util
import inspect
from collections.abc import Iterable, Iterator, Mapping

from course_lib.course.calculators.expressions import expression
from course_lib.course.calculators.statements import class_, function
from course_lib.course.calculators.vocabulary import (
    Vocabulary,
    name,
    refused,
    refused_as,
    text,
)

STANDARD = {
    "course_lib.costs.arithmetic": ("is_symbol", "smaller"),
    "course_lib.specs.frozen": ("FrozenMapping",),
    "collections": ("Counter",),
    "collections.abc": ("Mapping",),
    "dataclasses": ("fields", "replace"),
    "math": ("log",),
    "numbers": ("Real", "Integral"),
}
"""What `py` has in its own way; other names of the standard library stand in
annotations alone.
"""
FROM_DISK = ("course_lib.specs.files",)
"""Modules that read files, which no page does, with all that they alone import."""
DATA = {"course_lib.specs.defaults": ("TABLE",)}
"""Names that hold what a file of data says: it goes to the page with them."""


def imported(roots: Iterable[str]) -> tuple[str, ...]:
    """Return modules of the library with all that they import, each after what it
    imports.

    >>> imported(["course_lib.specs.rotary"])[-2:]
    ('course_lib.specs.records.attention', 'course_lib.specs.rotary')
    """
    found: dict[str, None] = {}
    for root in roots:
        tree = ast.parse(inspect.getsource(importlib.import_module(root)))
        for node in (node for node in tree.body if isinstance(node, ast.ImportFrom)):
            homes = [_home(node.module, one.name) for one in node.names]
            homes = [home for home in homes if home not in FROM_DISK]
            found |= dict.fromkeys(imported(dict.fromkeys(filter(_is_module, homes))))
        found[root] = None
    return tuple(found)


def _home(source: str, name_: str) -> str:
    """Return the module that `from source import name_` leads to.

    That is `source.name_` where it is a module, the module that defines the name where
    `source` is a package that passes it on, and `source` otherwise.

    >>> _home("course_lib.specs.records", "NormSpec")
    'course_lib.specs.records.norm'
    """
    if _is_module(f"{source}.{name_}"):
        return f"{source}.{name_}"
    if not source.startswith("course_lib.") or _is_module(source):
        return source
    return getattr(
        getattr(importlib.import_module(source), name_), "__module__", source
    )


def _is_module(name_: str) -> bool:
    """Whether a name is a module of the library, and not a package of them or a part of
    one.
    """
    if not name_.startswith("course_lib."):
        return False
    package = importlib.import_module(name_.rpartition(".")[0])
    spec = importlib.util.find_spec(name_) if hasattr(package, "__path__") else None
    return spec is not None and spec.submodule_search_locations is None


def translated(modules: Iterable[str], leave_out: Iterable[str] = ()) -> str:
    """Return modules as JavaScript that fills an object `modules`, each under its name.

    Args: `modules` in an order in which each imports only earlier ones; `leave_out`
        names of functions and classes that the pages do not need.
    Raises: ValueError if one holds a construct that is not translated (the message
        names it).
    """
    sources = {
        module: inspect.getsource(importlib.import_module(module)) for module in modules
    }
    return translated_sources(sources, leave_out)


def translated_sources(
    sources: Mapping[str, str], leave_out: Iterable[str] = ()
) -> str:
    """Return the JavaScript of modules given as name -> source, which can be imported.

    Args and Raises: as in `translated`.
    """
    left, vocabulary, known = frozenset(leave_out), Vocabulary(), set()
    trees = {
        module: _kept(ast.parse(source), left) for module, source in sources.items()
    }
    for nodes in trees.values():
        vocabulary.learn(nodes)
    parts = []
    for module, nodes in trees.items():
        parts.append(_module(module, nodes, known, vocabulary))
        known.add(module)
    return "".join(parts)


def _kept(tree: ast.Module, left: frozenset[str]) -> list[ast.stmt]:
    """Return what of a module a page needs: not its imports of modules, its docstring,
    the names left out, and the aliases that annotations use.
    """
    nodes = []
    for node in tree.body:
        match node:
            case ast.Import() | ast.Expr(value=ast.Constant()):
                continue
            case ast.FunctionDef(name=found) | ast.ClassDef(name=found):
                kept = found not in left
            case ast.Assign(targets=[ast.Name(id=found)], value=value):
                kept = found not in left and not _only_annotates(value)
            case ast.ImportFrom():
                kept = True
            case _:
                raise refused(node)
        nodes += [node] if kept else []
    return nodes


def _module(
    module: str, nodes: list[ast.stmt], known: set[str], vocabulary: Vocabulary
) -> str:
    loaded, lines, exported = importlib.import_module(module), [], []
    names = set()
    for node in nodes:
        match node:
            case ast.ImportFrom(module=source, names=aliases):
                taken = dict(_imports(source, aliases, known))
                lines += [f"const {name(one)} = {home};" for one, home in taken.items()]
                names |= set(taken)
            case ast.FunctionDef(name=found):
                lines.append(f"const {name(found)} = {function(node)};")
                exported.append(found)
            case ast.ClassDef(name=found):
                lines.append(class_(node, getattr(loaded, found)))
                exported.append(found)
            case ast.Assign(targets=[ast.Name(id=found)], value=value):
                if _is_data(module, node):
                    value = ast.parse(repr(getattr(loaded, found)), mode="eval").body
                lines.append(f"const {name(found)} = {expression(value)};")
                exported.append(found)
    for node in nodes:
        if not isinstance(node, ast.ImportFrom) and not _is_data(module, node):
            vocabulary.check(node, {*names, *exported})
    lines.append(f"return {{{', '.join(map(name, exported))}}};")
    body = "\n".join(f"  {line}" for line in lines)
    return f"modules[{text(module)}] = (() => {{\n{body}\n}})();\n"


def _is_data(module: str, node: ast.stmt) -> bool:
    """Whether a statement reads a file of data into a name."""
    match node:
        case ast.Assign(targets=[ast.Name(id=found)]):
            return found in DATA.get(module, ())
    return False


def _only_annotates(value: ast.expr) -> bool:
    """Whether an alias is a union of types (`Mixer = A | B`), which annotations use."""
    return isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr)


def _imports(
    source: str, aliases: list[ast.alias], known: set[str]
) -> Iterator[tuple[str, str]]:
    """Walk names that an import brings, each with what it is on the page; a name that
    annotations alone use is on no page.
    """
    for alias in aliases:
        one, home = alias.name, _home(source, alias.name)
        if alias.asname:
            raise refused_as(f"The other name {alias.asname} of {one}", alias)
        if one in STANDARD.get(source, ()):
            yield one, f"py.{one}"
        elif home == f"{source}.{one}":
            yield one, f"modules[{text(home)}]"
        elif home in known:
            yield one, f"modules[{text(home)}].{name(one)}"
