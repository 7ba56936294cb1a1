"""What code uses of the library: names imported and read, each by its home module."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

LIBRARY = "course_lib"


@cache
def passed_on(root: Path) -> dict[tuple[str, str], str]:
    """Return (package, name) -> the module that a package file takes the name from."""
    found = {}
    for path in sorted((root / LIBRARY).rglob("__init__.py")):
        package = ".".join(path.parent.relative_to(root).parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    found[package, alias.name] = node.module
    return found


def used_names(root: Path, code: str) -> Counter[tuple[str, str]]:
    """Count what code uses of the library, as (module, name).

    A name counts where it is read, not where it is imported. `masks.CAUSAL` counts for
    the module `masks`, and `cache.update` on any object counts as ("", "update"), since
    nothing says what the object is.

    Raises:
        SyntaxError: if the code is no Python.
    """
    tree, homes, found = ast.parse(code), {}, Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(LIBRARY):
            for alias in node.names:
                module = passed_on(root).get((node.module, alias.name), node.module)
                homes[alias.asname or alias.name] = (module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith(f"{LIBRARY}.") and alias.asname:
                    module, _, name = alias.name.rpartition(".")
                    homes[alias.asname] = (module, name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            if node.id in homes:
                found[homes[node.id]] += 1
        elif isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id in homes:
                found[".".join(homes[node.value.id]), node.attr] += 1
            found["", node.attr] += 1
    return found


def uses(used: Counter[tuple[str, str]], module: str, targets: tuple[str, ...]) -> int:
    """Count the uses of a module's targets; a method counts if its class is used too.

    >>> used = Counter({("m", "Ring"): 2, ("m", "attend"): 1, ("", "update"): 3})
    >>> uses(used, "m", ("attend",)), uses(used, "m", ("Ring.update",))
    (1, 2)
    >>> uses(used, "other", ("attend",))
    0
    """
    count = 0
    for target in targets:
        name, _, method = target.partition(".")
        if not method or used["", method] or used[f"{module}.{name}", method]:
            count += used[module, name]
    return count
