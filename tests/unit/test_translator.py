"""The translator of Python to JavaScript: an expression, a function, a record gives on a page what Python
gives, down to how it is written out; what would not is refused when the page is built, by name.
"""

import ast
import math
from collections import Counter
from numbers import Integral, Real

import pytest

from course_lib.course.calculators.expressions import expression
from course_lib.course.calculators.statements import function, statement
from course_lib.course.calculators.translate import translated_sources
from course_lib.course.calculators.vocabulary import BUILTINS, Vocabulary
from course_lib.specs.frozen import FrozenMapping
from tests.javascript import READER, run, static

SCRIPTS = tuple(map(static, READER))
NAMES = {
    "Counter": Counter,
    "FrozenMapping": FrozenMapping,
    "Integral": Integral,
    "Real": Real,
    "log": math.log,
    "math": math,
}
SHOW = """const py = globalThis.calculatorPython;
    const { %s } = py.builtins;
    const { Counter, FrozenMapping, Integral, Real, log } = py;
    const shown = (work) => {
        try { return py.repr(work()); }
        catch (error) {
            if (error instanceof py.ValueError) return `ValueError: ${error.message}`;
            return error.message.split(":")[0];
        }
    };
    return [%s].map(shown);"""


def shown(work) -> str:
    """What a piece of Python gives, written out; a ValueError with its words, another error by its kind."""
    try:
        return repr(work())
    except ValueError as error:
        return f"ValueError: {error}"
    except Exception as error:
        return type(error).__name__


def on_a_page(pieces: list[str]) -> list[str]:
    """The same of pieces of JavaScript."""
    return run(
        SHOW % (", ".join(sorted(BUILTINS)), ", ".join(f"() => {piece}" for piece in pieces)), None, *SCRIPTS
    )


def check_same(sources: list[str]) -> None:
    """Hold expressions to what Python makes of them."""
    found = on_a_page([expression(ast.parse(source, mode="eval").body) for source in sources])
    expected = [shown(lambda source=source: eval(source, dict(NAMES))) for source in sources]
    assert dict(zip(sources, found, strict=True)) == dict(zip(sources, expected, strict=True))


SAME = {
    "the four of the review": [
        "sorted([10, 9, 1])",
        "{'a': None}.get('a', 5)",
        "max([1, 5])",
        "min([3, 4])",
        "'ab' * 2",
    ],
    "order": [
        "sorted(['b', 'a', 'C', '\\uffff', '\\U0001f600'])",
        "sorted([(2, 'a'), (1, 'b'), (1, 'a')])",
        "sorted([[10], [9, 1], [9]], reverse=True)",
        "sorted([3, 1, 2], key=lambda n: -n)",
        "sorted([(1, 'b'), (1, 'a')], key=lambda pair: 1, reverse=True)",
        "sorted([1, 'a'])",
        "sorted([2.5, 1, True, 0.0])",
        "max(1, 1.0), max(1.0, 1), min(2, 1.5)",
        "max([], default=7), max((3, 9, 4), key=lambda n: n % 4)",
        "min({'b': 1, 'a': 2})",
        "max(3)",
        "[10] < [9], (1, 2) < (1, 3), (1,) < (1, 0), 'a' < 'B'",
        "'\\uffff' < '\\U0001f600'",
        "1 < 'a'",
        "None < 1",
        "1 < 2 < 3, 3 > 2 > 2, 1 < 3 < 2",
    ],
    "numbers": [
        "[a % b for a, b in [(-7, 3), (7, -3), (-7, -3), (6, -3), (-1, 5)]]",
        "[a // b for a, b in [(-7, 3), (7, -3), (-7, -3), (6, -3), (-1, 5)]]",
        "-7.5 % 3, 7.5 % -3.0, -1e-20 % 3, -6.0 % 3, 0.0 % -3, 5.5 // -2, -0.5 // 1",
        "4 / 2, 7 / 2, -0 / 5, 6 // 2.0, 2 ** 3, 2 ** -1, 2.0 ** 2, (-8) ** 1, 1 ** -3",
        "3.0 - 1.0, 2 * 0.5, 1.5 + 0.5, -(1.0), -0.0, 0 * -3, 1 - 1.0, True + True, -True",
        "1 / 0",
        "1 // 0",
        "1.0 % 0",
        "0 ** -1",
        "sum([1, 2, 3]), sum([1, 2.0]), sum([0.5, 0.25]), sum([], 2), sum([[1], [2]], []), sum([True, True])",
        "sum(['a'])",
        "int(-3.7), int('  12 '), int('1_000'), int(True), int()",
        "float('1e3'), float(' -.5 '), float('2'), float()",
        "float('inf'), float('-Infinity'), -float('inf')",
        "int('1.5')",
        "int('')",
        "int(None)",
        "float('abc')",
        "float('')",
        "float([1])",
        "'a' - 1",
        "None + 1",
        "log(1), log(8, 2), log(2.5) > 0.9",
        "log(0)",
        "math.isfinite(1e300), math.isfinite(float('inf'))",
        "round(2.5), round(3.5), round(-2.5), round(-0.4), round(2.4999), round(7)",
        "round(1e15 + 0.5), round(True)",
        "round('a')",
        "round(float('nan'))",
        "1e308 * 10",
    ],
    "written out": [
        "str(1.0), str(0.1), str(1e16), str(1e-5)",
        "str(123456789012345680.0), str(1e22), str(-0.0), str(1e100)",
        "str(None), str(True), str('a'), str([1, 'a', None]), str((1,)), str(()), str({'a': (1, 2)}), str()",
        "f'{1e-5:g} {1e6:g} {123456789:g} {0.0001:g} {100000:g} {2.50:g}'",
        "f'{999999.5:g} {123456.5:g} {123455.5:g} {1234565:g}'",
        "f'{0.0:g} {-0.0:g} {-1234.5678:g} {float(\"inf\"):g} {1.5e300:g} {100:g} {1e-300:g} {True:g}'",
        'f\'{"a"!r} {1.0} {[1.0]} {"b"!s} {{}}\'',
        "f'{4.15625:.4g} {4.0:.4g} {12345.5:.4g} {0.00012345:.4g} {1234.5:.4g}'",
        "f'{8:.4g} {1.0005:.4g} {2.5e-7:.4g}'",
        "f'{0:,} {999:,} {1000:,} {-1234567:,} {100000:,} {9007199254740991:,}'",
        "FrozenMapping({'b': 1, 'a': (2, 3.0)})",
        "'it\\'s', \"a\\\"'\", '\\x00\\n\\u2028\\U0001f600'",
    ],
    "sequences": [
        "[1, 2, 3][1:], [1, 2, 3][:-1], (1, 2, 3)[1:2], (1, 2)[5:], 'abc'[1:], '\U0001f600b'[:1], [1, 2][:]",
        "[1, 2, 3][-2:], [1, 2, 3][2:1], (1, 2, 3)[-9:2]",
        "{'a': 1}[1:]",
        "[1][None:'a']",
        "(1, 2) == [1, 2], (1, 2) == (1, 2.0), [1, [2]] == [1, [2]], () == []",
        "'a' == ['a'], True == 1, None == 0",
        "(1, 2) + (3,), [1] + [2], 'a' + 'b', (0,) * 3, 2 * [1, 2], [[1]] * 2, 'ab' * 0, 'ab' * -1, 3 * 'x'",
        "[1] + (2,)",
        "'a' + 1",
        "'a' * 2.0",
        "[1, 2][-1], (1, 2)[0], 'ab\\U0001f600'[2], len('\\U0001f600'), 'a'[True - 1]",
        "[1, 2][2]",
        "[1][-2]",
        "[1][str(0)]",
        "'bc' in 'abcd', '' in 'a', 'x' in 'abc', 2 in (1, 2.0), (1,) in [[1]], (1,) in [(1,)], 3 not in [1]",
        "1 in 'abc'",
        "len(None)",
        "[bool(x) for x in ['', 'a', [], [0], (), {}, {'a': 0}, 0, 0.0, 0.5, None, range(0), Counter()]]",
        "bool(float('nan')), bool(range(1)), bool((0,))",
        "[] or 'x', {} and 1, 0 or None, 'a' and [], not [], not {'a': 1}",
        "list(zip([1, 2, 3], 'ab')), list(zip())",
        "list(zip([1], [2], [3])), list(zip([1, 2], [3, 4], strict=True))",
        "list(zip([1], [2, 3], strict=True))",
        "list(zip([1, 2], [3], strict=True))",
        "list(zip([1], [2], [], strict=True))",
        "bool(zip()), bool(map(str, [])), list(map(str, [1, 2.0])), list(map(max, [1, 5], [4, 2, 9]))",
        "list(enumerate('ab')), list(enumerate([5], 3)), list(enumerate([5], start=2))",
        "list(range(5)), list(range(2, 5)), list(range(5, 0, -2))",
        "list(range(3, 1)), len(range(7)), range(2) == [0, 1]",
        "range(1.5)",
        "range(1, 2, 0)",
        "any(x / 0 for x in [])",
        "any(x > 1 or 1 / 0 for x in [2, 0])",
        "all(x / (x - 1) > 5 for x in [3, 1])",
        "next((x for x in [1, 2] if x > 1), None), next((x for x in [1] if x > 1), 'none')",
        "next(x for x in [])",
        "next([1])",
        "list('a\\U0001f600'), tuple('ab'), tuple(x for x in [1]), list({'a': 1}), list((1, 2)), tuple()",
        "list(5)",
        "isinstance((1,), tuple), isinstance([1], tuple), isinstance((1,), list), isinstance(range(1), list)",
        "isinstance(True, int), isinstance(1.0, int), isinstance(1.0, float), isinstance(None, int | None)",
        "isinstance(1, (str, float | int)), isinstance(1, Real)",
        "isinstance(1.0, Integral), isinstance({}, dict)",
        "[type(x).__name__ for x in [None, True, 1, 1.0, 0.5, 'a', [], (), {}]]",
        "type(1) == type(2), {int: 'whole', str: 'text'}[type(3)]",
        "{int: 1}.get(type('a')), type(1.0) in {float: 1}, int.__name__",
        "isinstance(1.0 - 1.0, int), isinstance(4 / 2, float), isinstance(sum([0.5, 0.5]), float)",
        "'a/b/c'.rpartition('/'), 'abc'.rpartition('/'), ', '.join(['a', 'b']), ''.join([]), '-'.join('abc')",
        "'-'.join([1])",
        "'abc'.rpartition('')",
        "'abc'.endswith('c'), 'abc'.endswith(('b', 'c')), 'abc'.endswith(()), 'abc'.endswith('')",
        "'abc'.endswith(1)",
        "'abc'.startswith('a'), 'abc'.startswith(('b', 'ab')), 'abc'.startswith(()), 'abc'.startswith('')",
        "'abc'.startswith(None)",
        "'a\U0001f600bab'.find('b'), 'abab'.find('b', 2), 'abab'.find('b', -1)",
        "'ab'.find('x'), 'ab'.find('', 9)",
        "'ab'.find(''), 'ab'.find('', 2), '\U0001f600a\U0001f600a'.find('a', 2), 'ab'.find('a', -9)",
        "'ab'.find(1)",
        "'a*b**c'.split('*'), 'abc'.split('x'), ''.split('x'), ' a\\t b\\n'.split()",
        "''.split(), 'a\\x85b\\x1cc'.split()",
        "'abc'.split('')",
        "'abc'.split(1)",
        "'a.b.c'.replace('.', '-'), 'aaa'.replace('aa', 'b'), 'ab'.replace('', '-')",
        "'a$b'.replace('$', '$&')",
        "'ab'.replace(1, 'a')",
        "'re:re:a'.removeprefix('re:'), 'abc'.removeprefix('x'), 'abc$'.removesuffix('$')",
        "'abc'.removesuffix('')",
        "'abc'.removeprefix(1)",
        "'FP8_Per'.lower(), 'nvfp4'.upper(), '\u00df\u0130'.lower(), '\u00df'.upper()",
        "[a + b for a, b in [(1, 2)]]",
        "[a for a, b in [(1, 2, 3)]]",
        "[a for a, b in [(1,)]]",
        "[a + c for a, (b, c) in [(1, (2, 3))]]",
        "[a for a, b in ['xy', {'p': 1, 'q': 2}]]",
    ],
    "mappings": [
        "list({'10': 1, '9': 2, 'b': 3, '1': 4}), list({10: 1, 9: 2, 1: 3})",
        "{1: 'a', 1.0: 'b', True: 'c'}, {'a': 1, 'b': 2, 'a': 3}",
        "{(1, 2): 3}[(1, 2)], {(1, 2): 3}.get((1, 2)), (1, 2) in {(1, 2): 3}, 1.0 in {1: 2}, {None: 1}[None]",
        "{'a': 1}['b']",
        "{[1]: 2}",
        "{'a': 1} == {'a': 1.0}, {'a': 1, 'b': 2} == {'b': 2, 'a': 1}",
        "{'a': 1} == {'a': 1, 'b': None}, {} == []",
        "FrozenMapping({'a': [1]}) == {'a': [1]}",
        "{'a': None}.get('a', 5), {'a': 0}.get('a', 5), {}.get('a'), {}.get('toString'), {}.get('a', 5)",
        "{'a': 1}.get('a', 1, 2)",
        "{**{'a': 1, 'b': 2}, 'a': 3}, {'a': 1} | {'b': 2, 'a': 0}",
        "dict([('a', 1)]), dict({'a': 1}, b=2), dict(a=1), dict(), dict(zip('ab', [1, 2]))",
        "dict([(1, 2, 3)])",
        "list({'a': 1}.items()), list({'a': 1}.values()), {k: v for k, v in {'a': 1}.items() if v}",
        "{1: 2} + {3: 4}",
        "Counter('abca')['a'], Counter('ab')['z'], list(Counter([2, 1, 2]).items()), len(Counter('aab'))",
        "list((Counter({'a': 1, 'b': -2}) + Counter({'b': 1, 'c': 0, 'd': 4})).items())",
        "Counter({'a': 1, 'b': 0}) == Counter({'a': 1}), Counter({'a': 1, 'b': 0}) == {'a': 1, 'b': 0}",
        "Counter([(1, 2), (1, 2.0)])[(1, 2)], Counter(a=2)['a'], Counter({'a': 2}, b=1)['b']",
    ],
}


@pytest.mark.parametrize("kind", SAME)
def test_an_expression_gives_what_python_gives(kind):
    check_same(SAME[kind])


def test_what_is_the_same_error_in_every_python_has_its_words():
    found = on_a_page([expression(ast.parse(one, mode="eval").body) for one in ("max([])", "min(())")])
    assert found == [f"ValueError: {name}() iterable argument is empty" for name in ("max", "min")]


def test_a_sum_of_floats_is_pythons_but_for_the_last_digit():
    """Python 3.12 adds floats with a compensation, 3.11 does not."""
    source = "sum([0.1] * 10)"
    (found,) = on_a_page([expression(ast.parse(source, mode="eval").body)])
    assert float(found) == pytest.approx(1.0, rel=4e-16)


def test_a_whole_number_past_the_exact_ones_is_refused_where_every_digit_counts():
    exact, past = f"{2**53 - 1}", f"({2**52} * 4)"
    check_same([f"{exact} % 10", f"{exact} // 7", f"str({exact})", f"{past} > 1", f"{past} / 2"])
    sources = [f"{past} % 10", f"{past} // 7", f"str({past})", "int('9007199254740993')", "10 ** 400"]
    found = on_a_page([expression(ast.parse(source, mode="eval").body) for source in sources])
    assert found == ["OverflowError"] * len(sources)


FUNCTIONS = {
    "aliases of a list": """
        def f():
            a = [1]
            b = a
            b += (2, 3)
            return a
        """,
    "a tuple is not changed": """
        def f():
            a = (1,)
            b = a
            b += (2,)
            return a, b
        """,
    "loops that end early leave the rest": """
        def f():
            numbers = (n for n in [1, 2, 3, 4])
            for n in numbers:
                if n == 2:
                    return list(numbers)
        """,
    "a generator runs as it is asked, every part of it": """
        def f():
            def_ = g()
            return next(def_), list(def_), list(def_), bool(g())
        def g():
            yield 0
            yield from [1, 2]
            for n in (3, 4):
                yield n
        """,
    "items of a list and a mapping": """
        def f():
            rows, table = [1, 2], {1: 'a'}
            rows[-1] = 5
            rows[0] += 1
            table[1.0] = 'b'
            table |= {'c': 2}
            return rows, table
        """,
    "targets": """
        def f():
            a = b = 0
            (c, [d, e]), g = ('xy', 'zw'), 'p'
            a -= 2
            return a, b, c, d, e, g
        """,
    "too many targets": """
        def f():
            a, b = [1, 2, 3]
        """,
    "too few": """
        def f():
            a, b = {'x': 1}
        """,
    "a mapping that grows under a loop": """
        def f():
            table = {1: 1}
            for key in table:
                table[key + 1] = 1
        """,
    "what a function gathers": """
        def f():
            return g(1, 2, 3, key=4), g(1)
        def g(first, *others, **named):
            return first, others, named
        """,
    "names of JavaScript": """
        def f():
            arguments, switch, typeof, py, modules, undefined = 1, 2, 3, 4, 5, 6
            return [arguments, switch, typeof, py, modules, undefined, (lambda void: void)(7)]
        """,
    "an argument too many": """
        def f():
            return (lambda a: a)(1, 2)
        """,
    "closures see the last value": """
        def f():
            makers = [0, 0]
            for n in (0, 1):
                makers[n] = lambda: n
            return [makers[0](), makers[1]()]
        """,
    "a counter keeps what update leaves": """
        def f():
            parts = Counter({'a': 1})
            parts.update({'a': 2, 'b': 0})
            parts['c'] += 3
            before = list(parts.items())
            parts += Counter({'a': 1})
            return before, list(parts.items())
        """,
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_a_function_gives_what_python_gives(case):
    source = "\n".join(line[8:] for line in FUNCTIONS[case].splitlines())
    names = dict(NAMES)
    exec(source, names)
    tree = ast.parse(source)
    made = " ".join(f"const {node.name} = {function(node)};" for node in tree.body)
    assert on_a_page([f"(() => {{ {made} return f(); }})()"]) == [shown(names["f"])]


REFUSED = {
    "x = a if b < f() < c else 0": "A chain of comparisons over a call",
    "x = a is 5": "Identity with a value",
    "x = a is (1, 2)": "Identity with a value",
    "x = f'{a:.2f}'": "FormattedValue",
    "x = f'{a:{w}}'": "FormattedValue",
    "x = f'{a!a}'": "FormattedValue",
    "x = f'{a!r:g}'": "FormattedValue",
    "x = lambda a, b=1: a": "Lambda",
    "x = lambda *a: a": "Lambda",
    "a = b = [1]": "One value with several targets",
    "rows[f()] += 1": "A target that is worked out twice",
    "a, *b = c": "Starred",
    "x = 9007199254740993": "The number 9007199254740993",
    "x = 1e999": "The number inf",
    "x = a[1:2:3]": "The step of a slice",
    "a[1:2] = b": "Slice",
    "x = f'{a:,.0f}'": "FormattedValue",
    "for a in b:\n  pass\nelse:\n  c = 1": "For",
    "for a.b in c:\n  pass": "Attribute",
    "match f():\n  case _:\n    pass": "Match",
    "match a:\n  case A() if b:\n    pass": "A guard of a case",
    "def g(a, /):\n  pass": "FunctionDef",
    "def g():\n  global a": "FunctionDef",
    "x = (yield)": "Yield",
    "x = ~a": "Invert",
    "x = a & b": "BitAnd",
    "x = (b := 1)": "NamedExpr",
    "x = {a for a in b}": "SetComp",
    "x = [a for a in b for c in d]": "ListComp",
    "x = b'a'": "Constant",
    "del a": "Delete",
    "assert a": "Assert",
    "with a:\n  pass": "With",
    "try:\n  pass\nexcept A:\n  pass": "Try",
}


@pytest.mark.parametrize("source", REFUSED)
def test_a_construct_that_would_do_otherwise_is_refused_by_name(source):
    with pytest.raises(ValueError, match=f"^{REFUSED[source]} on line [12]"):
        statement(ast.parse(source).body[0])


UNKNOWN = {
    "parts.append(1)": "The method append",
    "parts.setdefault('a', 1)": "The method setdefault",
    "'a'.swapcase()": "The method swapcase",
    "'a b'.splitlines()": "The method splitlines",
    "f(parts.size)": "The attribute size",
    "math.floor(1.5)": "The method floor",
    "round(2.5, ndigits=1)": "The keyword ndigits of round",
    "f(abs)": "The name abs",
    "reversed(parts)": "The name reversed",
    "print(1)": "The name print",
    "len(obj=parts)": "The keyword obj of len",
    "map(f, parts, strict=True)": "The keyword strict of map",
    "super().get('a')": "The name super",
}


@pytest.mark.parametrize("source", UNKNOWN)
def test_a_name_that_nothing_on_the_page_answers_to_is_refused(source):
    with pytest.raises(ValueError, match=f"^{UNKNOWN[source]} on line 1: not among what is translated"):
        Vocabulary().check(ast.parse(source).body[0], {"parts", "f"})


def test_what_a_module_defines_may_be_called():
    source = "MOST = 3\nclass Row:\n    width: int\n    def area(self, by):\n        return self.width * by\n"
    words = Vocabulary()
    words.learn(ast.parse(source).body)
    words.check(ast.parse("[row.area(by=a.MOST) + row.width for row in rows]").body[0], {"rows", "a"})
    words.check(ast.parse("def g(row: list[Any]) -> Any:\n    return max(row, key=len)").body[0], ())


CLASSES = {
    "class A(Mapping):\n  pass": "The base class Mapping",
    "class A:\n  x = 3": "Assign in a class",
    "class A:\n  def __len__(self):\n    return 1": "The method __len__",
    "class A:\n  @staticmethod\n  def g():\n    return 1": "The decorator staticmethod",
    "@dataclass(order=True)\nclass A:\n  x: int": r"The decorator dataclass\(order=True\)",
    "@dataclass\nclass A:\n  x: list = field(default_factory=list)": "The options of the field x",
    "@total\ndef g():\n  return 1": "The decorator total",
    "from math import log as ln": "The other name ln of log",
    "x = abs(2.5)": "The name abs",
}


@pytest.mark.parametrize("source", CLASSES)
def test_a_module_is_refused_for_what_its_records_would_lose(source, monkeypatch):
    import sys
    from dataclasses import dataclass, field
    from types import ModuleType

    module = ModuleType("made_up")
    module.__dict__.update(dataclass=dataclass, field=field, Mapping=dict, total=lambda made: made)
    exec(source, module.__dict__)
    monkeypatch.setitem(sys.modules, "made_up", module)
    with pytest.raises(ValueError, match=f"^{CLASSES[source]} on line"):
        translated_sources({"made_up": source})
