"""Modules of the library as JavaScript: a page reads a config by the very code that the
library reads it by.

A parser of `specs.families` is plain Python: fields read through `reader.Config`,
arithmetic, records. This module translates such modules statement by statement
(`expressions` does what stands inside one), and makes the table of every record from
its dataclass: fields, defaults, kinds. No family is written a second time.
"""

import ast
import importlib
import importlib.util
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields

from course_lib.course.calculators.expressions import expression, name, refused, text

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
    parts, known, left = [], set(), frozenset(leave_out)
    for module in modules:
        parts.append(_module(module, known, left))
        known.add(module)
    return "".join(parts)


def _module(module: str, known: set[str], left: frozenset[str]) -> str:
    loaded = importlib.import_module(module)
    tree, lines, exported = ast.parse(inspect.getsource(loaded)), [], []
    for node in tree.body:
        match node:
            case ast.ImportFrom(module=source, names=names):
                lines += _imports(source, [one.name for one in names], known)
            case ast.FunctionDef() if node.name not in left:
                lines.append(f"const {name(node.name)} = {function(node)};")
                exported.append(node.name)
            case ast.ClassDef() if node.name not in left:
                lines.append(_class(node, getattr(loaded, node.name)))
                exported.append(node.name)
            case ast.Assign(targets=[ast.Name(id=found)], value=value) if (
                found not in left
            ):
                if not _only_annotates(value):
                    lines.append(f"const {name(found)} = {expression(value)};")
                    exported.append(found)
            case (
                ast.Import()
                | ast.Expr()
                | ast.FunctionDef()
                | ast.ClassDef()
                | ast.Assign()
            ):
                pass
            case _:
                raise refused(node)
    lines.append(f"return {{{', '.join(map(name, exported))}}};")
    body = "\n".join(f"  {line}" for line in lines)
    return f"modules[{text(module)}] = (() => {{\n{body}\n}})();\n"


def _only_annotates(value: ast.expr) -> bool:
    """Whether an alias is a union of types (`Mixer = A | B`), which annotations use."""
    return isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr)


def _imports(source: str, names: list[str], known: set[str]) -> Iterator[str]:
    for one in names:
        if one in STANDARD.get(source, ()):
            yield f"const {name(one)} = py.{one};"
        elif (home := _home(source, one)) == f"{source}.{one}":
            yield f"const {name(one)} = modules[{text(home)}];"
        elif home in known:
            yield f"const {name(one)} = modules[{text(home)}].{name(one)};"


def function(node: ast.FunctionDef) -> str:
    """Return a function as a call of `py.def`: its parameters, their defaults, its
    body.
    """
    if node.args.posonlyargs:
        raise refused(node)
    plain, named = node.args.args, node.args.kwonlyargs
    defaults = dict(
        zip([arg.arg for arg in plain[::-1]], node.args.defaults[::-1], strict=False)
    )
    defaults |= {
        arg.arg: value
        for arg, value in zip(named, node.args.kw_defaults, strict=True)
        if value
    }
    gathered = [arg.arg for arg in (node.args.vararg, node.args.kwarg) if arg]
    parameters = [arg.arg for arg in (*plain, *named)] + gathered
    given = ", ".join(
        f"[{text(arg)}, {expression(value)}]" for arg, value in defaults.items()
    )
    stored = {
        one.id
        for one in _own(node.body)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }
    stored |= {
        one.name for one in _own(node.body) if isinstance(one, ast.MatchAs) and one.name
    }
    local = sorted(stored - set(parameters))
    declared = f"let {', '.join(map(name, local))}; " if local else ""
    return (
        f"py.def({text(node.name)}, {[arg.arg for arg in plain]}, "
        f"{[arg.arg for arg in named]},"
        f" new Map([{given}]), [{_flag(node.args.vararg)}, {_flag(node.args.kwarg)}],"
        f" ({', '.join(map(name, parameters))}) => {{ {declared}{_block(node.body)} "
        f"return null; }})"
    )


def _flag(gathers: ast.arg | None) -> str:
    return "false" if gathers is None else "true"


def _own(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Walk statements, but for what has names of its own: comprehensions and
    lambdas.
    """
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(
            node, ast.GeneratorExp | ast.ListComp | ast.DictComp | ast.Lambda
        ):
            waiting.extend(ast.iter_child_nodes(node))


def _block(body: list[ast.stmt]) -> str:
    return " ".join(map(statement, body))


def statement(node: ast.stmt) -> str:
    """Return one statement as JavaScript.

    Raises:
        ValueError: if it is one that is not translated.
    """
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Pass():
            return ""
        case ast.Expr(value=ast.YieldFrom(value=value)):
            return f"return py.list({expression(value)});"
        case ast.Expr(value=value):
            return f"{expression(value)};"
        case ast.Return(value=value):
            return f"return {'null' if value is None else expression(value)};"
        case ast.Raise(exc=ast.Call() as error):
            return f"throw {expression(error)};"
        case ast.Assign(targets=targets, value=value):
            return " ".join(_assign(target, expression(value)) for target in targets)
        case ast.AnnAssign(target=target, value=value) if value is not None:
            return _assign(target, expression(value))
        case ast.AugAssign(target=target, op=op, value=value):
            return _assign(
                target, expression(ast.BinOp(left=target, op=op, right=value))
            )
        case ast.If(test=test, body=body, orelse=orelse):
            other = f" else {{ {_block(orelse)} }}" if orelse else ""
            return f"if (py.truth({expression(test)})) {{ {_block(body)} }}{other}"
        case ast.For(target=target, iter=items, body=body, orelse=[]):
            return (
                f"for ({expression(target)} of py.list({expression(items)})) {{ "
                f"{_block(body)} }}"
            )
        case ast.Match(subject=subject, cases=cases):
            return " else ".join(_case(expression(subject), case) for case in cases)
        case ast.Continue():
            return "continue;"
    raise refused(node)


def _assign(target: ast.expr, value: str) -> str:
    if isinstance(target, ast.Subscript):
        return (
            f"py.set({expression(target.value)}, {expression(target.slice)}, {value});"
        )
    return f"{expression(target)} = {value};"


def _case(subject: str, case: ast.match_case) -> str:
    match case.pattern:
        case ast.MatchAs(pattern=None, name=None):
            return f"{{ {_block(case.body)} }}"
        case ast.MatchClass(
            cls=cls, patterns=[], kwd_attrs=attributes, kwd_patterns=patterns
        ):
            tests, captured = [f"py.isinstance({subject}, {expression(cls)})"], ""
            for attribute, pattern in zip(attributes, patterns, strict=True):
                match pattern:
                    case ast.MatchAs(pattern=None, name=str() as found):
                        captured += f"{name(found)} = {subject}.{attribute}; "
                    case ast.MatchSingleton(value=value):
                        tests.append(
                            f"{subject}.{attribute} === "
                            f"{expression(ast.Constant(value))}"
                        )
                    case _:
                        raise refused(pattern)
            return f"if ({' && '.join(tests)}) {{ {captured}{_block(case.body)} }}"
    raise refused(case.pattern)


def _class(node: ast.ClassDef, cls: type) -> str:
    """Return a class: its methods, its properties, and the table of its fields where it
    is a record.
    """
    methods, getters = [], []
    for one in (one for one in node.body if isinstance(one, ast.FunctionDef)):
        pair = f"[{text(one.name)}, {function(one)}]"
        (getters if one.decorator_list else methods).append(pair)
    table = "null"
    if any(isinstance(one, ast.Call) for one in node.decorator_list):
        rows = (
            f"[{text(f.name)}, {_kind(f.type)}, {_default(f.default)}]"
            for f in fields(cls)
        )
        table = f"[{', '.join(rows)}]"
    checked = (
        "Sized" if any(base.__name__ == "Sized" for base in cls.__mro__[1:]) else "null"
    )
    return (
        f"const {node.name} = py.class({text(node.name)}, new "
        f"Map([{', '.join(methods)}]),"
        f" new Map([{', '.join(getters)}]), {table}, {checked});"
    )


def _kind(annotation: object) -> str:
    """Return the type of a record's field, as far as `Sized` tells it apart."""
    return {int: "py.int", int | None: "py.union(py.int, null)"}.get(annotation, "null")


def _default(value: object) -> str:
    """Return the default of a record's field; a record of defaults only is made
    anew.
    """
    if value is MISSING:
        return "undefined"
    if isinstance(value, tuple) and not value:
        return "[]"
    if value is None or isinstance(value, str | int | float):
        return expression(ast.Constant(value))
    if all(getattr(value, f.name) == f.default for f in fields(value)):
        return f"{type(value).__name__}()"
    raise ValueError(
        f"default={value!r}: a number, a string, None or a "
        "record of defaults is allowed"
    )
