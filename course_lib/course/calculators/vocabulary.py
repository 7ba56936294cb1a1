"""What the pages answer to of Python's words: builtins, methods, operators. A name, a
method or a keyword that is not listed here, and that no translated module defines, is
refused when the pages are built, by its name.
"""

import ast
import json
from collections.abc import Iterable, Iterator

BUILTINS = frozenset(
    """
    ValueError all any bool dict enumerate float getattr int is_symbol
    isinstance len list map math max min next object range round sorted str sum
    tuple type zip
    """.split()  # noqa: SIM905
)
KEYWORDS = {
    "dict": None,
    "enumerate": {"start"},
    "max": {"default", "key"},
    "min": {"default", "key"},
    "sorted": {"key", "reverse"},
    "sum": {"start"},
    "zip": {"strict"},
}
"""The keywords that a builtin takes (None: any); one that is not here takes none."""
ATTRIBUTES = frozenset(("__name__", "default", "isfinite", "name", "type"))
"""Attributes of types, of what `fields` gives, and of `math`."""
RESERVED = frozenset(
    """
    arguments await case catch const debugger default delete do enum eval export
    extends function implements in instanceof interface let modules new null
    package private protected public py static super switch this throw typeof
    undefined var void Infinity NaN
    """.split()  # noqa: SIM905
)
METHODS = frozenset(
    """
    endswith find get items join lower removeprefix removesuffix replace rpartition
    split startswith update upper values
    """.split()  # noqa: SIM905
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
    ast.Lt: "py.lt({}, {})",
    ast.LtE: "py.le({}, {})",
    ast.Gt: "py.gt({}, {})",
    ast.GtE: "py.ge({}, {})",
}
COMPUTED = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.BitOr: "union",
}
LARGEST = 2**53


def refused(node: ast.AST) -> ValueError:
    """Return the error for a construct that is not translated."""
    return refused_as(type(node).__name__, node)


def refused_as(what: str, node: ast.AST) -> ValueError:
    """Return the error for a construct under a name of its own."""
    where = f"line {node.lineno}" if hasattr(node, "lineno") else "somewhere"
    return ValueError(f"{what} on {where}: not among what is translated to JavaScript")


def name(python: str) -> str:
    """Return a name that JavaScript allows.

    >>> name("width"), name("default")
    ('width', 'default_')
    """
    return f"{python}_" if python in RESERVED else python


def text(value: str) -> str:
    """Return a string literal."""
    return json.dumps(value)


class Vocabulary:
    """The names that translated modules define: what may stand after a dot, so far."""

    def __init__(self):
        self.attributes = ATTRIBUTES | METHODS

    def learn(self, nodes: Iterable[ast.stmt]) -> None:
        """Take in a module: its names, the fields and methods of its classes."""
        for node in nodes:
            if isinstance(node, ast.Assign):
                self.attributes |= {one.id for one in node.targets}
            for one in ast.walk(node):
                match one:
                    case ast.FunctionDef(name=found) | ast.ClassDef(name=found):
                        self.attributes |= {found}
                    case ast.AnnAssign(target=ast.Name(id=found)):
                        self.attributes |= {found}
                    case ast.Attribute(attr=found, ctx=ast.Store()):
                        self.attributes |= {found}

    def check(self, node: ast.stmt, known: Iterable[str]) -> None:
        """Refuse a statement of a module that names what is not there.

        Raises:
            ValueError: naming the first name, attribute, method or keyword that
                nothing on the page answers to.

        >>> Vocabulary().check(ast.parse("parts.append(3)").body[0], {"parts"})
        Traceback (most recent call last):
        ...
        ValueError: The method append on line 1: not among what is translated ...
        """
        parts = list(_walk(node))
        allowed = {*known, *BUILTINS, *_bound(parts)}
        called = {id(one.func) for one in parts if isinstance(one, ast.Call)}
        for one in parts:
            match one:
                case ast.Name(id=found) if found not in allowed:
                    raise refused_as(f"The name {found}", one)
                case ast.Attribute(attr=found) if found not in self.attributes:
                    what = "method" if id(one) in called else "attribute"
                    raise refused_as(f"The {what} {found}", one)
                case ast.Call(func=ast.Name(id=found)) if found in BUILTINS - {*known}:
                    _check_keywords(found, one)


def _check_keywords(called: str, node: ast.Call) -> None:
    takes = KEYWORDS.get(called, set())
    for keyword in node.keywords:
        if takes is not None and keyword.arg not in takes:
            raise refused_as(f"The keyword {keyword.arg} of {called}", node)


def _walk(node: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs on a page: no annotation, no decorator, no base class."""
    match node:
        case ast.Call(
            func=ast.Attribute(
                value=ast.Call(func=ast.Name(id="super")), attr="__post_init__"
            )
        ):
            return
    yield node
    left_out = ("annotation", "returns", "decorator_list", "bases", "type_params")
    for field, value in ast.iter_fields(node):
        if field not in left_out:
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, ast.AST):
                    yield from _walk(one)


def _bound(parts: list[ast.AST]) -> Iterator[str]:
    """Names that these nodes bind: parameters, targets, captures."""
    for one in parts:
        match one:
            case ast.arg(arg=found) | ast.Name(id=found, ctx=ast.Store()):
                yield found
            case ast.MatchAs(name=str() as found):
                yield found
