"""All that the grammar can say is JSON, and all compact JSON of its subset can be said."""

import itertools
import json
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib.generate import grammar
from course_lib.generate.constrained import GrammarSampler
from course_lib.generate.decode import generate
from course_lib.generate.sampling import Sampler, greedy
from course_lib.tasks.tokenizer import END, EOS, Tokenizer, train_bpe

BYTES = Tokenizer()
BPE = train_bpe(['{"name":"f","arguments":{"a":1,"b":[true,false,null]}}' * 3, 'x","y":"z'], merges=60)

keys = st.text(max_size=6)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20) + 1, 10**20 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | keys,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def depth(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def strict(text):
    """Parse, without the words NaN and Infinity that Python's parser adds to JSON."""

    def refuse(word):
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


@given(values)
def test_every_compact_value_is_accepted(value):
    text = json.dumps(value, separators=(",", ":")).encode()
    assert grammar.accepts(text, depth=max(depth(value), 1))
    assert grammar.accepts(text, "object", depth=max(depth(value), 1)) == isinstance(value, dict)
    if depth(value) > 0:
        assert not grammar.accepts(text, depth=depth(value) - 1)


def test_an_object_counts_its_own_brackets():
    assert grammar.accepts(b'{"a":1}', "object", depth=1)
    assert not grammar.accepts(b'{"a":[]}', "object", depth=1)


def test_a_string_holds_every_printable_sign():
    assert grammar.accepts(json.dumps(bytes(range(0x20, 0x7F)).decode()).encode())


@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(0, 6))
def test_all_it_can_say_parses_and_ends_in_time(seed, budget, depth):
    """Walk at random, taking only bytes after which the value can still be completed."""
    rng, state, said = random.Random(seed), grammar.start(depth=depth), b""
    while len(said) < budget and not (grammar.complete(state) and rng.random() < 0.2):
        left = budget - len(said) - 1
        choices = sorted(
            b for b in grammar.allowed(state) if grammar.shortest_ending(grammar.advance(state, b)) <= left
        )
        if not choices:
            break
        byte = rng.choice(choices)
        state, said = grammar.advance(state, byte), said + bytes([byte])
    assert grammar.complete(state) and grammar.accepts(said, depth=depth)
    strict(said)


@pytest.mark.parametrize(
    "alphabet", [b'{}[]",:1', b"0123456789"[:2] + b"-+.eE,[]", b'"\\u0aFn/', b"truefalsn", b'{"a":[]}']
)
def test_it_equals_the_parser_on_every_short_text(alphabet):
    """All texts of up to 5 of these bytes: valid here if and only if Python's parser takes them."""
    for length in range(1, 6):
        for text in itertools.product(sorted(set(alphabet)), repeat=length):
            text = bytes(text)
            try:
                strict(text)
                valid = True
            except ValueError:
                valid = False
            assert grammar.accepts(text) == valid, text


def test_what_lies_outside_the_subset():
    for text in (
        b" 1",
        b"[1, 2]",
        '"é"'.encode(),
        b'"\x7f"',
        b'"\\u00e"',
        b"1" * 21,
        b"1e1234",
        b"0." + b"1" * 21,
        b"NaN",
        b"",
    ):
        assert not grammar.accepts(text), text
    for text in (
        b"1" * 20,
        b"1e123",
        b"0." + b"1" * 20,
        b'"\\u00e9\\u00E9"',
        b'{"a":1,"a":2}',
        b"-0",
        b"1E+05",
    ):
        assert grammar.accepts(text), text
        strict(text)


@given(values)
def test_the_shortest_ending_is_reached_and_is_shortest(value):
    """From every place in a text, breadth first over the bytes that matter."""
    text, state = json.dumps(value, separators=(",", ":")).encode()[:30], grammar.start()
    if depth(value) > 8:
        return
    for byte in text:
        state = grammar.advance(state, byte)
        need, walk = grammar.shortest_ending(state), state
        for _ in range(need):
            after = [grammar.advance(walk, b) for b in grammar.allowed(walk)]
            walk = min(after, key=grammar.shortest_ending)
            assert all(grammar.shortest_ending(s) >= grammar.shortest_ending(walk) for s in after)
        assert grammar.complete(walk)
        assert all(
            grammar.shortest_ending(grammar.advance(state, b)) >= need - 1 for b in grammar.allowed(state)
        )


def noise(tokenizer, seed):
    """A model that knows nothing: random logits, for any text."""
    generator = torch.Generator().manual_seed(seed)

    def step(tokens, positions):
        return 3 * torch.randn(len(tokens), 1, tokenizer.vocab, generator=generator)

    return step


@settings(max_examples=30)
@given(
    st.sampled_from([BYTES, BPE]), st.integers(0, 2**31), st.integers(2, 40), st.sampled_from(grammar.ROOTS)
)
def test_a_model_that_knows_nothing_writes_json(tokenizer, seed, budget, root):
    sampler = GrammarSampler(
        Sampler(generator=torch.Generator().manual_seed(seed)), tokenizer, max_new_tokens=budget, root=root
    )
    prompt = torch.zeros(3, 1, dtype=torch.int64)
    rows = generate(noise(tokenizer, seed), prompt, max_new_tokens=budget, sampler=sampler, eos=EOS)
    for row in rows:
        ends = (row == EOS).nonzero().flatten().tolist()
        said = row[: ends[0]] if ends else row
        value = strict(tokenizer.decode(said))
        assert root == "value" or isinstance(value, dict)
        assert (row[len(said) :] == EOS).all()


def test_without_the_mask_it_does_not():
    rows = generate(
        noise(BYTES, 0), torch.zeros(50, 1, dtype=torch.int64), max_new_tokens=8, sampler=greedy, eos=EOS
    )
    valid = sum(grammar.accepts(BYTES.decode(row).encode()) for row in rows)
    assert valid < 5


def test_the_mask_leaves_what_is_valid_as_it_was():
    """A model that spells a valid text with every first choice is not changed."""
    text = '{"a":[1,2.5],"b":"x\\n"}'
    wanted = [*BPE.encode(text).tolist(), EOS]
    sampler = GrammarSampler(greedy, BPE, max_new_tokens=len(wanted))
    said = [
        int(sampler(torch.nn.functional.one_hot(torch.tensor([token]), BPE.vocab).float()))
        for token in wanted
    ]
    assert said == wanted


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: grammar.start("array"), "root='array'"),
        (lambda: grammar.start("object", depth=0), "depth=0"),
        (lambda: grammar.advance(grammar.start(), ord("}")), "byte=b'}'"),
        (lambda: GrammarSampler(greedy, BYTES, max_new_tokens=1, root="object"), "max_new_tokens=1"),
        (lambda: GrammarSampler(greedy, BYTES, max_new_tokens=2)(torch.zeros(1, 256)), "256 tokens"),
    ],
)
def test_bad_input_is_named(call, names):
    with pytest.raises(ValueError, match=names):
        call()


def test_after_its_last_token_a_row_says_only_that():
    sampler = GrammarSampler(greedy, BYTES, max_new_tokens=4, eos=END)
    wishes = torch.nn.functional.one_hot(torch.tensor([ord("1"), END, ord("2"), EOS]), BYTES.vocab).float()
    assert [int(sampler(wish[None])) for wish in wishes] == [ord("1"), END, END, END]


def test_a_sampler_keeps_to_its_depth():
    likes_a_bracket = torch.zeros(1, BYTES.vocab).index_fill(1, torch.tensor([ord("[")]), 1.0)
    for depth in (0, 1, 2):
        sampler = GrammarSampler(greedy, BYTES, max_new_tokens=9, depth=depth)
        said = bytes(int(sampler(likes_a_bracket)) for _ in range(3))
        assert len(said) - len(said.lstrip(b"[")) == depth


def test_a_sampler_is_for_one_text():
    sampler = GrammarSampler(greedy, BYTES, max_new_tokens=2)
    sampler(torch.zeros(2, 368))
    with pytest.raises(ValueError, match="3 rows"):
        sampler(torch.zeros(3, 368))
    sampler(torch.zeros(2, 368))
    with pytest.raises(ValueError, match="spent"):
        sampler(torch.zeros(2, 368))
