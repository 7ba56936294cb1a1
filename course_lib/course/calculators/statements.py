"""Statements, functions and classes of the library's Python as JavaScript.

A function becomes a call of `py.def`, which does Python's calls; a record is made from
its dataclass: fields, defaults, kinds. What would do otherwise than in Python (a
decorator, a base class, a guard, two targets of one value) is refused by name.
"""

import ast
import json
from collections.abc import Iterator
from dataclasses import MISSING, fields

from course_lib.course.calculators.expressions import expression, is_plain, shape
from course_lib.course.calculators.vocabulary import (
    COMPUTED,
    name,
    refused,
    refused_as,
    text,
)

DECORATORS = ("cache", "cached_property", "lru_cache", "property")
BASES = ("Sized",)
SPECIAL = ("__init__", "__post_init__", "__add__")
RECORD = ("frozen", "kw_only", "slots")
"""What is understood of decorators, base classes, methods with a meaning of their own,
and arguments of `dataclass`.
"""


def function(node: ast.FunctionDef) -> str:
    """Return a function as a call of `py.def`: its parameters, their defaults, its
    body.
    """
    if node.args.posonlyargs:
        raise refused(node)
    for one in node.decorator_list:
        if _called(one) not in DECORATORS:
            raise refused_as(f"The decorator {_called(one)}", node)
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
    body = f"{declared}{_block(node.body)} return null;"
    if any(isinstance(one, ast.Yield | ast.YieldFrom) for one in _own(node.body)):
        body = f"return (function* () {{ {body} }})();"
    return (
        f"py.def({text(node.name)}, {json.dumps([arg.arg for arg in plain])}, "
        f"{json.dumps([arg.arg for arg in named])},"
        f" new Map([{given}]), [{_flag(node.args.vararg)}, {_flag(node.args.kwarg)}],"
        f" ({', '.join(map(name, parameters))}) => {{ {body} }})"
    )


def _called(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(called).rpartition(".")[2]


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
            return f"yield* py.list({expression(value)});"
        case ast.Expr(value=ast.Yield(value=value)) if value is not None:
            return f"yield {expression(value)};"
        case ast.Expr(value=value):
            return f"{expression(value)};"
        case ast.Return(value=value):
            return f"return {'null' if value is None else expression(value)};"
        case ast.Raise(exc=ast.Call() as error):
            return f"throw {expression(error)};"
        case ast.Assign(targets=[*targets], value=value):
            if len(targets) > 1 and not isinstance(value, ast.Constant):
                raise refused_as("One value with several targets", node)
            return " ".join(_assign(target, expression(value)) for target in targets)
        case ast.AnnAssign(target=target, value=value) if value is not None:
            return _assign(target, expression(value))
        case ast.AugAssign(target=target, op=op, value=value) if type(op) in COMPUTED:
            if isinstance(target, ast.Subscript) and not (
                is_plain(target.value) and is_plain(target.slice)
            ):
                raise refused_as("A target that is worked out twice", node)
            changed = (
                f"py.inplace({text(COMPUTED[type(op)])}, {expression(target)}, "
                f"{expression(value)})"
            )
            return _assign(target, changed)
        case ast.If(test=test, body=body, orelse=orelse):
            other = f" else {{ {_block(orelse)} }}" if orelse else ""
            return f"if (py.truth({expression(test)})) {{ {_block(body)} }}{other}"
        case ast.For(target=target, iter=items, body=body, orelse=[]):
            return (
                f"for ({expression(target)} of py.over({expression(items)}, "
                f"{shape(target)})) {{ {_block(body)} }}"
            )
        case ast.Match(subject=subject, cases=cases) if is_plain(subject):
            return " else ".join(_case(expression(subject), case) for case in cases)
        case ast.Continue():
            return "continue;"
    raise refused(node)


def _assign(target: ast.expr, value: str) -> str:
    if isinstance(target, ast.Subscript):
        return (
            f"py.set({expression(target.value)}, {expression(target.slice)}, {value});"
        )
    if isinstance(target, ast.Tuple | ast.List):
        return f"{expression(target)} = py.unpack({value}, {shape(target)});"
    return f"{expression(target)} = {value};"


def _case(subject: str, case: ast.match_case) -> str:
    if case.guard:
        raise refused_as("A guard of a case", case.guard)
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


def class_(node: ast.ClassDef, cls: type) -> str:
    """Return a class: its methods, its properties, and the table of its fields where it
    is a record.
    """
    _check_class(node, cls)
    methods, getters = [], []
    for one in (one for one in node.body if isinstance(one, ast.FunctionDef)):
        pair = f"[{text(one.name)}, {function(one)}]"
        (getters if one.decorator_list else methods).append(pair)
    table = "null"
    if node.decorator_list:
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


def _check_class(node: ast.ClassDef, cls: type) -> None:
    """Refuse what a class has and the page's would not."""
    for base in map(ast.unparse, node.bases):
        if base not in BASES:
            raise refused_as(f"The base class {base}", node)
    for one in node.body:
        match one:
            case ast.FunctionDef(name=found):
                if found.startswith("__") and found not in SPECIAL:
                    raise refused_as(f"The method {found}", one)
            case ast.AnnAssign() | ast.Pass() | ast.Expr(value=ast.Constant()):
                pass
            case _:
                raise refused_as(f"{type(one).__name__} in a class", one)
    for decorator in node.decorator_list:
        keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
        others = [one.arg for one in keywords if one.arg not in RECORD]
        if _called(decorator) != "dataclass" or others:
            raise refused_as(f"The decorator {ast.unparse(decorator)}", node)
        for field in fields(cls):
            plain = field.init and field.compare and field.repr
            if not plain or field.default_factory is not MISSING:
                raise refused_as(f"The options of the field {field.name}", node)


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
        return "py.tuple([])"
    if value is None or isinstance(value, str | int | float):
        return expression(ast.Constant(value))
    if all(getattr(value, f.name) == f.default for f in fields(value)):
        return f"{type(value).__name__}()"
    raise ValueError(
        f"default={value!r}: a number, a string, None or a "
        "record of defaults is allowed"
    )
