"""A traced expression as LaTeX and as JavaScript.

Factors and terms of a formula stand in the order that they are given in, not in the
alphabet's. JavaScript calls functions of `calculator-maths.js` where the language has
none of its own: `floorDivide`, which rounds as Python's `//` does; `roundUp`;
`sumOfSteps`, which sums the larger of two times over an answer's contexts;
`leastWithin`, the least of several values among those that keep a limit; and those
functions of `costs` that are more than a formula, by their names (`CALLED`).
"""

from collections.abc import Mapping, Sequence

import sympy
from sympy.printing.jscode import JavascriptCodePrinter
from sympy.printing.latex import LatexPrinter

CALLED = {
    "expected_excess": "expectedExcess",
    "expected_largest": "expectedLargest",
    "zipf_hottest": "zipfHottest",
    "zipf_replicas": "zipfReplicas",
}
"""Functions of `costs` that a trace leaves as calls, and their JavaScript."""


class LeastWithin(sympy.Function):
    """(limit, value, kept, value, kept, ...): the least value whose `kept` is at most
    the limit.
    """


def shortest(expression: sympy.Expr) -> sympy.Expr:
    """Return the form of an expression with the fewest operations: as it stands, or
    factored.

    >>> x, y, z = sympy.symbols("x y z")
    >>> shortest(x * y + x * z)
    x*(y + z)
    """
    if expression.has(
        sympy.Sum, sympy.floor, sympy.ceiling
    ):  # the order of their operations is kept
        return expression
    forms = [expression, sympy.factor_terms(expression)]
    if not any(power.exp.free_symbols for power in expression.atoms(sympy.Pow)):
        forms.append(sympy.factor(expression))
    return min(forms, key=lambda form: (form.count_ops(), forms.index(form)))


class _LaTeX(LatexPrinter):
    def _as_ordered_terms(self, expr, order=None):
        terms = super()._as_ordered_terms(expr, order=order)  # 1 - x, and not -x + 1
        return sorted(terms, key=lambda term: term.could_extract_minus_sign())

    def _print_Integer(self, expression):
        digits = str(int(expression))
        zeros = len(digits) - len(digits.rstrip("0"))
        if zeros < 6:
            return digits
        power = f"10^{{{zeros}}}"
        first = digits[:-zeros]
        return power if first == "1" else rf"{first} \cdot {power}"

    def _print_floor(self, expression, exp=None):
        return rf"\left\lfloor {self._print(expression.args[0])} \right\rfloor"

    def _print_Max(self, expression, exp=None):
        # A bare 0 comes first: max(0, x).
        arguments = sorted(
            expression.args,
            key=lambda argument: (not argument.is_number, argument.sort_key()),
        )
        return rf"\max\left({', '.join(map(self._print, arguments))}\right)"

    def _print_Min(self, expression, exp=None):
        arguments = sorted(expression.args, key=lambda argument: argument.sort_key())
        return rf"\min\left({', '.join(map(self._print, arguments))}\right)"

    def _print_AppliedUndef(self, expression, exp=None):
        return getattr(self, f"_{expression.func.__name__}")(expression)

    def _expected_excess(self, expression):
        trials, chance, limit = map(self._print, expression.args)
        law = rf"X \sim \mathrm{{Bin}}\left({trials}, {chance}\right)"
        return rf"\mathbb{{E}}_{{{law}}} \max\left(0, X - {limit}\right)"

    def _expected_largest(self, expression):
        (count,) = map(self._print, expression.args)
        largest = rf"\max\left(z_1, \ldots, z_{{{count}}}\right)"
        return rf"\mathbb{{E}}_{{z \sim \mathcal{{N}}(0, 1)}} {largest}"

    def _zipf_hottest(self, expression):
        experts, skew = map(self._print, expression.args)
        return rf"\frac{{{experts}}}{{\sum_{{i=1}}^{{{experts}}} i^{{-{skew}}}}}"

    def _zipf_replicas(self, expression):
        experts, skew, target = map(self._print, expression.args)
        share = rf"\frac{{h}}{{{target} \, i^{{{skew}}}}}"  # h: the line before it
        copies = rf"\left\lceil {share} \right\rceil"
        return rf"\sum_{{i=1}}^{{{experts}}} \left({copies} - 1\right)"


def latex(expression: sympy.Expr, letters: Mapping[str, str]) -> str:
    r"""Return an expression as LaTeX.

    Args: `letters` the LaTeX of each symbol by its name, in the order in which factors
        are to stand.

    >>> n, g = sympy.symbols("tokens kv_heads", positive=True)
    >>> latex(2 * g * n, {"tokens": "n", "kv_heads": "G"})
    '2 \\, n \\, G'
    """
    names = list(letters)
    ranked = {
        symbol: sympy.Symbol(f"s{names.index(symbol.name):03d}", **symbol.assumptions0)
        for symbol in _all_symbols(expression)
    }
    names = {new: letters[old.name] for old, new in ranked.items()}
    printer = _LaTeX({"symbol_names": names, "mul_symbol": r" \, "})
    return printer.doprint(expression.xreplace(ranked))


def _all_symbols(expression: sympy.Expr) -> set[sympy.Symbol]:
    """Return the symbols, those that a sum runs over among them."""
    return expression.atoms(sympy.Symbol)


class _JavaScript(JavascriptCodePrinter):
    def _print_Pow(self, expression):
        base, power = expression.as_base_exp()
        if power == 2:
            inner = self.parenthesize(base, sympy.printing.precedence.PRECEDENCE["Mul"])
            return f"({inner} * {inner})"
        return super()._print_Pow(expression)

    def _print_floor(self, expression):
        over, under = expression.args[0].as_numer_denom()
        return f"floorDivide({self._print(over)}, {self._print(under)})"

    def _print_ceiling(self, expression):
        return f"roundUp({self._print(expression.args[0])})"

    def _print_AppliedUndef(self, expression):
        arguments = ", ".join(map(self._print, expression.args))
        return f"{CALLED[expression.func.__name__]}({arguments})"

    def _print_LeastWithin(self, expression):
        limit, *rest = map(self._print, expression.args)
        pairs = ", ".join(
            f"[{value}, {kept}]"
            for value, kept in zip(rest[::2], rest[1::2], strict=True)
        )
        return f"leastWithin({limit}, [{pairs}])"

    def _print_Sum(self, expression):
        body, (index, first, last) = expression.function, expression.limits[0]
        if not isinstance(body, sympy.Max) or len(body.args) != 2:
            raise ValueError(
                f"expression={expression}: only a sum of the larger of two is allowed"
            )
        one, other = (f"({index}) => {self._print(part)}" for part in body.args)
        windows = {
            bound
            for reach in body.atoms(sympy.Min)
            if index in reach.args
            for bound in reach.args
            if bound != index
        }
        ends = ", ".join(sorted(map(self._print, windows)))
        return (
            f"sumOfSteps({one}, {other}, {self._print(first)}, "
            f"{self._print(last)}, [{ends}])"
        )


def javascript(expression: sympy.Expr) -> str:
    """Return an expression as JavaScript over variables of its symbols' names.

    >>> x, y = sympy.symbols("x y", positive=True)
    >>> javascript(sympy.Min(x, y) * x**2)
    '(x * x)*Math.min(x, y)'
    """
    return _JavaScript().doprint(expression)


def function_body(
    lines: Sequence[tuple[str, sympy.Expr]], inputs: Sequence[str]
) -> str:
    """Return the JavaScript of a function that computes lines one after another from
    its argument `v`.

    Args: `lines` names and expressions, over inputs and earlier lines; `inputs` the
        names read from `v`.
    Returns: the text of an arrow function which gives an object with a number for each
        line.

    >>> x = sympy.Symbol("x")
    >>> function_body([("double", 2 * x)], ["x"])
    '({x}) => {const double_ = 2*x; return {double: double_};}'
    """
    local = {name: f"{name}_" for name, _ in lines}
    rename = {sympy.Symbol(name): sympy.Symbol(new) for name, new in local.items()}
    steps = []
    for name, expression in lines:
        named = expression.xreplace(
            {
                s: rename[sympy.Symbol(s.name)]
                for s in expression.atoms(sympy.Symbol)
                if s.name in local
            }
        )
        steps.append(f"const {local[name]} = {javascript(named)};")
    results = ", ".join(f"{name}: {new}" for name, new in local.items())
    return f"({{{', '.join(inputs)}}}) => {{{' '.join(steps)} return {{{results}}};}}"
