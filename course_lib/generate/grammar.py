"""Grammar of compact JSON as a pushdown automaton: which byte may come next.

A state is a stack: the symbols that still have to come, the nearest first. A byte
either matches the nearest symbol, and then other symbols take its place, or it is not
allowed:

    value                          {  ->  members             opens an object
    members                        "  ->  chars : value more  a first key, or } to close
    chars : value more             "  ->  : value more        the key ends
    : value more                   :  ->  value more
    value more                     7  ->  digits fraction exponent more
    digits fraction exponent more  }  ->  (nothing)           number and object are done

Three symbols may come to nothing: more digits, a fraction, an exponent. If the nearest
symbol is one, the next byte may also match the symbol after it. Every other
symbol can be done with in one byte, so the shortest ending of a state is as long as the
number of its symbols that must come.

The language: what `json.dumps(value, separators=(",", ":"))` writes, and any other
escapes, exponents and keys that JSON allows; no white space; strings in ASCII; at most
20 digits on either side of a point and 3 in an exponent; brackets nested as deep as the
start state says.

Source: RFC 8259 for JSON; predictive parsing with a stack, Aho, Lam, Sethi and Ullman
2006, section 4.4; masking the vocabulary by an automaton, Willard and Louf 2023,
arXiv:2307.09702.

Terms:
    grammar, pushdown automaton: which byte may come next in compact JSON; the state is
        a stack of symbols -> allowed, advance
"""

from functools import lru_cache

Symbol = tuple[str, int]  # a name and its number: levels left below it, or digits left
State = tuple[Symbol, ...]

ROOTS = ("value", "object")
MOST_DIGITS, MOST_EXPONENT_DIGITS = 20, 3
_OPTIONAL = ("digits", "fraction", "exponent")
_DIGITS = b"0123456789"
_PLAIN = bytes(
    b for b in range(0x20, 0x7F) if b not in b'"\\'
)  # what a string may hold as it is
_WORDS = (b"true", b"false", b"null")


def start(root: str = "value", *, depth: int = 8) -> State:
    """Return the state before the first byte.

    Args:
        root: "value" for any JSON value, "object" for an object, such as the arguments
            of a tool.
        depth: how deep brackets may be nested.

    Raises:
        ValueError: `root` is unknown, or `depth` is below 0, or below 1 for an object.

    >>> sorted(map(chr, allowed(start("object"))))
    ['{']
    """
    if root not in ROOTS or depth < (root == "object"):
        raise ValueError(
            f"root={root!r}, depth={depth}: allowed are {ROOTS}, "
            "depth from 0, for an object 1"
        )
    return ((root, depth),)


def allowed(state: State) -> frozenset[int]:
    """Return the bytes that may come next; none where the value is complete and cannot
    go on.

    >>> "".join(sorted(map(chr, allowed(read(start(), b'{"a":1')))))
    ',.0123456789Ee}'
    """
    return frozenset(_moves(state))


def advance(state: State, byte: int) -> State:
    """Return the state after one more byte.

    Raises:
        ValueError: the byte is not allowed.

    >>> advance(start(), ord("["))
    (('elements', 7),)
    """
    moves = _moves(state)
    if byte not in moves:
        raise ValueError(
            f"byte={bytes([byte])!r}: allowed are {bytes(sorted(moves))!r}"
        )
    return moves[byte]


def read(state: State, text: bytes) -> State:
    """Return the state after all of `text`.

    Raises:
        ValueError: a byte of it is not allowed.
    """
    for byte in text:
        state = advance(state, byte)
    return state


def complete(state: State) -> bool:
    """Say whether what was read is a whole value already.

    >>> complete(read(start(), b"12")), complete(read(start(), b"12."))
    (True, False)
    """
    return shortest_ending(state) == 0


def shortest_ending(state: State) -> int:
    """Return how many bytes are needed at least to complete the value.

    >>> shortest_ending(read(start(), b'{"a":[1,'))  # a value, ] and }
    3
    """
    return sum(name not in _OPTIONAL for name, _ in state)


def accepts(text: bytes, root: str = "value", *, depth: int = 8) -> bool:
    """Say whether `text` is a whole value of the language.

    >>> accepts(b'{"a":[1,2.5e-3,null]}'), accepts(b'{"a": 1}'), accepts(b"[1,]")
    (True, False, False)
    """
    state = start(root, depth=depth)
    for byte in text:
        if byte not in allowed(state):
            return False
        state = advance(state, byte)
    return complete(state)


@lru_cache(maxsize=100_000)
def _moves(state: State) -> dict[int, State]:
    """Byte -> the state after it, from the nearest symbol and, past those that may be
    nothing, the next.
    """
    moves: dict[int, State] = {}
    for i, symbol in enumerate(state):
        for byte, symbols in _rules(symbol).items():
            moves.setdefault(byte, symbols + state[i + 1 :])
        if symbol[0] not in _OPTIONAL:
            break
    return moves


@lru_cache(maxsize=10_000)
def _rules(symbol: Symbol) -> dict[int, State]:
    """Byte -> what still has to come of the symbol after it."""
    name, number = symbol
    match name:
        case "byte":
            return {number: ()}
        case "value":
            return _value(number)
        case "object":
            return {ord("{"): (("members", number - 1),)}
        case "members":
            return {ord("}"): (), ord('"'): _member(number)}
        case "more members":
            return {ord("}"): (), ord(","): (("byte", ord('"')), *_member(number))}
        case "elements":
            first = {
                byte: (*rest, ("more elements", number))
                for byte, rest in _value(number).items()
            }
            return {ord("]"): (), **first}
        case "more elements":
            return {
                ord("]"): (),
                ord(","): (("value", number), ("more elements", number)),
            }
        case "chars":
            return {
                ord('"'): (),
                ord("\\"): (("escape", 0), symbol),
                **dict.fromkeys(_PLAIN, (symbol,)),
            }
        case "escape":
            return {**dict.fromkeys(b'"\\/bfnrt', ()), ord("u"): (("hex", 0),) * 4}
        case "hex":
            return dict.fromkeys(b"0123456789abcdefABCDEF", ())
        case "integer":
            return _integer()
        case "digits":
            return dict.fromkeys(_DIGITS, (("digits", number - 1),)) if number else {}
        case "fraction":
            return {ord("."): (("digit", MOST_DIGITS),)}
        case "exponent":
            return dict.fromkeys(b"eE", (("sign", 0),))
        case "sign":
            digit = ("digit", MOST_EXPONENT_DIGITS)
            return {**dict.fromkeys(b"+-", (digit,)), **_rules(digit)}
        case "digit":
            return dict.fromkeys(_DIGITS, (("digits", number - 1),))
    raise ValueError(f"symbol={symbol!r}: no rule has this name")


def _value(depth: int) -> dict[int, State]:
    rules: dict[int, State] = {
        ord('"'): (("chars", 0),),
        ord("-"): (("integer", 0),),
        **_integer(),
    }
    rules |= {word[0]: tuple(("byte", byte) for byte in word[1:]) for word in _WORDS}
    if depth > 0:
        rules |= {
            ord("{"): (("members", depth - 1),),
            ord("["): (("elements", depth - 1),),
        }
    return rules


def _integer() -> dict[int, State]:
    """A 0 alone, or digits that do not start with 0."""
    tail: State = (("fraction", 0), ("exponent", 0))
    return {
        ord("0"): tail,
        **dict.fromkeys(b"123456789", (("digits", MOST_DIGITS - 1), *tail)),
    }


def _member(depth: int) -> State:
    """A key whose opening quote was read, its value, and what follows."""
    return (("chars", 0), ("byte", ord(":")), ("value", depth), ("more members", depth))
