"""Expressions of the library's Python as JavaScript: the part of the language that
parsers are written in.

What JavaScript does otherwise than Python (truth of empty things, `+` and `*` of
sequences, `==` of records, `//`, keyword arguments) is a function of
`calculator-python.js`, called `py` here. A construct that is not listed is refused by
its name, so a parser that needs one says so when the pages are built.
"""

import ast
import json
import sys

from course_lib.course.calculators.vocabulary import (
    COMPARED,
    COMPUTED,
    LARGEST,
    METHODS,
    name,
    refused,
    refused_as,
    text,
)

FORMATS = {"f'g'": "general", "f'.4g'": "general", "f','": "grouped"}
DIGITS = {"f'.4g'": ", 4"}
"""The formats of an f-string, what the page does each by, and its digits where they are
not six.
"""


def expression(node: ast.expr) -> str:
    """Return a Python expression as JavaScript.

    Raises:
        ValueError: if it holds a construct that is not translated (the message names
        it).

    >>> expression(ast.parse("width // heads + 1", mode="eval").body)
    'py.add(py.floordiv(width, heads), 1)'
    """
    handler = _EXPRESSIONS.get(type(node))
    if handler is None:
        raise refused(node)
    return handler(node)


def arguments(node: ast.Call) -> str:
    """Return the arguments of a call; keywords come last, as one `py.kw`."""
    if any(isinstance(argument, ast.Starred) for argument in node.args):
        raise refused(node)
    parts = [expression(argument) for argument in node.args]
    pairs = [
        f"...{expression(keyword.value)}"
        if keyword.arg is None
        else f"[{text(keyword.arg)}, {expression(keyword.value)}]"
        for keyword in node.keywords
    ]
    return ", ".join([*parts, f"py.kw({', '.join(pairs)})"] if pairs else parts)


def _constant(node: ast.Constant) -> str:
    value = node.value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float) and not abs(value) <= sys.float_info.max:
        raise refused_as(f"The number {value}", node)
    if isinstance(value, float):
        return f"py.float({value!r})" if value == int(value) else repr(value)
    if isinstance(value, int):
        if value >= LARGEST:
            raise refused_as(f"The number {value}", node)
        return repr(value)
    if isinstance(value, str):
        return text(value)
    raise refused(node)


def _call(node: ast.Call) -> str:
    match node.func:
        case ast.Attribute(
            value=ast.Call(func=ast.Name(id="super")), attr="__post_init__"
        ):
            return "Sized.checked(self)"
        case ast.Attribute(value=value, attr=method) if method in METHODS:
            inner = ", ".join(
                part
                for part in (expression(value), text(method), arguments(node))
                if part
            )
            return f"py.method({inner})"
    return f"{expression(node.func)}({arguments(node)})"


def _compare(node: ast.Compare) -> str:
    """Return a comparison. The middle of a chain is written twice, so it may only be a
    name, a field or a constant; identity is asked of None, True, False and names.
    """
    if not all(map(is_plain, node.comparators[:-1])):
        raise refused_as("A chain of comparisons over a call", node)
    for operator, side in zip(node.ops, node.comparators, strict=True):
        if isinstance(operator, ast.Is | ast.IsNot) and not (
            isinstance(side, ast.Name)
            or (isinstance(side, ast.Constant) and side.value in (None, True, False))
        ):
            raise refused_as("Identity with a value", node)
    sides = [expression(side) for side in (node.left, *node.comparators)]
    parts = [
        COMPARED[type(operator)].format(left, right)
        for operator, left, right in zip(node.ops, sides, sides[1:], strict=False)
    ]
    return parts[0] if len(parts) == 1 else f"({' && '.join(parts)})"


def is_plain(node: ast.expr) -> bool:
    """Whether an expression may be worked out twice: a name, a field of one, a
    constant.
    """
    if isinstance(node, ast.Attribute):
        return is_plain(node.value)
    return isinstance(node, ast.Name | ast.Constant)


def _bool(node: ast.BoolOp) -> str:
    joined = "or" if isinstance(node.op, ast.Or) else "and"
    first, *others = map(expression, node.values)
    for other in others:
        first = f"py.{joined}({first}, () => {other})"
    return first


def _binary(node: ast.BinOp) -> str:
    if type(node.op) not in COMPUTED:
        raise refused_as(type(node.op).__name__, node)
    sides = f"{expression(node.left)}, {expression(node.right)}"
    return f"py.{COMPUTED[type(node.op)]}({sides})"


def _unary(node: ast.UnaryOp) -> str:
    inner = expression(node.operand)
    if isinstance(node.op, ast.Not):
        return f"!py.truth({inner})"
    if isinstance(node.op, ast.USub):
        return f"py.neg({inner})"
    raise refused_as(type(node.op).__name__, node)


def _fstring(node: ast.JoinedStr) -> str:
    parts = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(text(part.value))
            continue
        how = {-1: "text", ord("s"): "text", ord("r"): "repr"}.get(part.conversion)
        digits = ""
        if part.format_spec is not None:
            asked = ast.unparse(part.format_spec)
            how, digits = FORMATS.get(asked), DIGITS.get(asked, "")
            if part.conversion != -1:
                how = None
        if how is None:
            raise refused(part)
        parts.append(f"py.{how}({expression(part.value)}{digits})")
    return f"({' + '.join(parts)})"


def _dict(node: ast.Dict) -> str:
    pairs = [
        f"...{expression(value)}"
        if key is None
        else f"[{expression(key)}, {expression(value)}]"
        for key, value in zip(node.keys, node.values, strict=True)
    ]
    return f"py.dict([{', '.join(pairs)}])"


def _list(node: ast.List) -> str:
    return f"[{', '.join(map(expression, node.elts))}]"


def _tuple(node: ast.Tuple) -> str:
    parts = f"[{', '.join(map(expression, node.elts))}]"
    return parts if isinstance(node.ctx, ast.Store) else f"py.tuple({parts})"


def shape(target: ast.expr) -> str:
    """Return the targets of an assignment as `py.unpack` takes them: 0 for a name, a
    list for more.

    >>> shape(ast.parse("for i, (a, b) in rows: pass").body[0].target)
    '[0, [0, 0]]'
    """
    if isinstance(target, ast.Tuple | ast.List):
        return f"[{', '.join(map(shape, target.elts))}]"
    if isinstance(target, ast.Name):
        return "0"
    raise refused(target)


def _subscript(node: ast.Subscript) -> str:
    """Return an item, or a stretch of a sequence without a step."""
    if not isinstance(node.slice, ast.Slice):
        return f"py.item({expression(node.value)}, {expression(node.slice)})"
    if node.slice.step is not None:
        raise refused_as("The step of a slice", node)
    ends = node.slice.lower, node.slice.upper
    first, last = ("null" if end is None else expression(end) for end in ends)
    return f"py.slice({expression(node.value)}, {first}, {last})"


def _loop(node: ast.GeneratorExp | ast.ListComp | ast.DictComp, body: str) -> str:
    """Return a comprehension as `py.each`, a generator which like Python's runs as it
    is asked.
    """
    if len(node.generators) != 1:
        raise refused(node)
    loop = node.generators[0]
    target, items = expression(loop.target), expression(loop.iter)
    tests = (
        " && ".join(f"py.truth({expression(condition)})" for condition in loop.ifs)
        or "true"
    )
    return (
        f"py.each({items}, ({target}) => {tests}, ({target}) => {body}, "
        f"{shape(loop.target)})"
    )


def _dict_loop(node: ast.DictComp) -> str:
    pair = f"[{expression(node.key)}, {expression(node.value)}]"
    return f"py.dict({_loop(node, pair)})"


def _lambda(node: ast.Lambda) -> str:
    given = node.args
    parts = (given.posonlyargs, given.kwonlyargs, given.defaults)
    if any(parts) or given.vararg or given.kwarg:
        raise refused(node)
    names = [arg.arg for arg in given.args]
    return (
        f'py.def("lambda", {json.dumps(names)}, [], new Map(), [false, false], '
        f"({', '.join(map(name, names))}) => {expression(node.body)})"
    )


_EXPRESSIONS = {
    ast.Attribute: lambda node: f"{expression(node.value)}.{node.attr}",
    ast.BinOp: _binary,
    ast.BoolOp: _bool,
    ast.Call: _call,
    ast.Compare: _compare,
    ast.Constant: _constant,
    ast.Dict: _dict,
    ast.DictComp: _dict_loop,
    ast.GeneratorExp: lambda node: _loop(node, expression(node.elt)),
    ast.IfExp: lambda node: (
        f"(py.truth({expression(node.test)}) ? {expression(node.body)} : "
        f"{expression(node.orelse)})"
    ),
    ast.JoinedStr: _fstring,
    ast.Lambda: _lambda,
    ast.List: _list,
    ast.ListComp: lambda node: f"py.list({_loop(node, expression(node.elt))})",
    ast.Name: lambda node: name(node.id),
    ast.Subscript: _subscript,
    ast.Tuple: _tuple,
    ast.UnaryOp: _unary,
}
