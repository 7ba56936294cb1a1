"""Expressions of the library's Python as JavaScript: the part of the language that
parsers are written in.

What JavaScript does otherwise than Python (truth of empty things, `+` and `*` of
sequences, `==` of records, `//`, keyword arguments) is a function of
`calculator-python.js`, called `py` here. A construct that is not listed is refused by
its name, so a parser that needs one says so when the pages are built.
"""

import ast
import json

RESERVED = frozenset(
    (
        "case",
        "catch",
        "const",
        "default",
        "delete",
        "export",
        "function",
        "let",
        "new",
        "this",
        "var",
    )
)
METHODS = frozenset(
    ("endswith", "get", "items", "join", "rpartition", "update", "values")
)
"""Methods of Python's strings and mappings, which `py.method` finds on what it is
given.
"""
COMPARED = {
    ast.Eq: "py.eq({}, {})",
    ast.NotEq: "!py.eq({}, {})",
    ast.Is: "({} === {})",
    ast.IsNot: "({} !== {})",
    ast.In: "py.has({1}, {0})",
    ast.NotIn: "!py.has({1}, {0})",
    ast.Lt: "({} < {})",
    ast.LtE: "({} <= {})",
    ast.Gt: "({} > {})",
    ast.GtE: "({} >= {})",
}
COMPUTED = {
    ast.Add: "py.add({}, {})",
    ast.Sub: "({} - {})",
    ast.Mult: "py.mul({}, {})",
    ast.Div: "({} / {})",
    ast.FloorDiv: "floorDivide({}, {})",
    ast.Mod: "py.mod({}, {})",
    ast.Pow: "(({}) ** {})",
    ast.BitOr: "py.union({}, {})",
}


def refused(node: ast.AST) -> ValueError:
    """Return the error for a construct that is not translated."""
    where = f"line {node.lineno}" if hasattr(node, "lineno") else "somewhere"
    return ValueError(
        f"{type(node).__name__} on {where}: not among what is translated to JavaScript"
    )


def name(python: str) -> str:
    """Return a name that JavaScript allows.

    >>> name("width"), name("default")
    ('width', 'default_')
    """
    return f"{python}_" if python in RESERVED else python


def expression(node: ast.expr) -> str:
    """Return a Python expression as JavaScript.

    Raises:
        ValueError: if it holds a construct that is not translated (the message names
        it).

    >>> expression(ast.parse("width // heads + 1", mode="eval").body)
    'py.add(floorDivide(width, heads), 1)'
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


def text(value: str) -> str:
    """Return a string literal."""
    return json.dumps(value)


def _constant(node: ast.Constant) -> str:
    value = node.value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and value == int(value):
        return f"py.float({value!r})"
    if isinstance(value, int | float):
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
    sides = [expression(side) for side in (node.left, *node.comparators)]
    parts = [
        COMPARED[type(operator)].format(left, right)
        for operator, left, right in zip(node.ops, sides, sides[1:], strict=False)
    ]
    return parts[0] if len(parts) == 1 else f"({' && '.join(parts)})"


def _bool(node: ast.BoolOp) -> str:
    joined = "or" if isinstance(node.op, ast.Or) else "and"
    first, *others = map(expression, node.values)
    for other in others:
        first = f"py.{joined}({first}, () => {other})"
    return first


def _binary(node: ast.BinOp) -> str:
    if type(node.op) not in COMPUTED:
        raise refused(node.op)
    return COMPUTED[type(node.op)].format(expression(node.left), expression(node.right))


def _unary(node: ast.UnaryOp) -> str:
    inner = expression(node.operand)
    if isinstance(node.op, ast.Not):
        return f"!py.truth({inner})"
    if isinstance(node.op, ast.USub):
        return f"(-{inner})"
    raise refused(node.op)


def _fstring(node: ast.JoinedStr) -> str:
    parts = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(text(part.value))
            continue
        how = "repr" if part.conversion == ord("r") else "text"
        if part.format_spec is not None:
            if ast.unparse(part.format_spec) != "f'g'":
                raise refused(part)
            how = "general"
        parts.append(f"py.{how}({expression(part.value)})")
    return f"({' + '.join(parts)})"


def _dict(node: ast.Dict) -> str:
    pairs = [
        f"...{expression(value)}"
        if key is None
        else f"[{expression(key)}, {expression(value)}]"
        for key, value in zip(node.keys, node.values, strict=True)
    ]
    return f"new Map([{', '.join(pairs)}])"


def _sequence(node: ast.Tuple | ast.List) -> str:
    return f"[{', '.join(map(expression, node.elts))}]"


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
    return f"py.each({items}, ({target}) => {tests}, ({target}) => {body})"


def _dict_loop(node: ast.DictComp) -> str:
    return (
        f"new Map({_loop(node, f'[{expression(node.key)}, {expression(node.value)}]')})"
    )


def _lambda(node: ast.Lambda) -> str:
    return (
        f"(({', '.join(name(arg.arg) for arg in node.args.args)}) => "
        f"{expression(node.body)})"
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
    ast.List: _sequence,
    ast.ListComp: lambda node: f"py.list({_loop(node, expression(node.elt))})",
    ast.Name: lambda node: name(node.id),
    ast.Subscript: lambda node: (
        f"py.item({expression(node.value)}, {expression(node.slice)})"
    ),
    ast.Tuple: _sequence,
    ast.UnaryOp: _unary,
}
