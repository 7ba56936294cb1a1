"""Text goes there and back, merges are those of the plain algorithm, and nobody can type a control token."""

import os
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.tasks import tokenizer as tk
from course_lib.tasks.corpora import as_text, as_tokens, pydoc_topics, stdlib_source

SAMPLE = pydoc_topics()["assert"] + "\n\n\n    def f(x):\n        return  x  +  1234 * 'naïve → 漢字'\n"
BPE = tk.train_bpe([SAMPLE], merges=150)
BYTES = tk.Tokenizer()
text = st.text(st.characters(exclude_categories=["Cs"]))
# GPT-2's pattern for ASCII: contractions, letters, digits, other signs, spaces before a word left to it.
WORDS = re.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+", flags=re.ASCII
)


def plain_merges(text, count):
    """Algorithm 1 of Sennrich et al., recounted from nothing before each merge."""
    words = Counter(WORDS.findall(text))
    split = {word: [bytes([b]) for b in word.encode()] for word in words}
    order = {bytes([b]): i for i, b in enumerate(sorted(range(256), key=lambda b: ord(tk._CHARACTERS[b])))}
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for word, times in words.items():
            for pair in pairwise(split[word]):
                pairs[pair] += times
        if not pairs:
            break
        best = max(pairs, key=lambda p: (pairs[p], -order[p[0]], -order[p[1]]))
        merges.append(best)
        order.setdefault(best[0] + best[1], len(order))
        split = {word: joined(parts, best) for word, parts in split.items()}
    return tuple(merges)


def joined(parts, pair):
    out, i = [], 0
    while i < len(parts):
        here = tuple(parts[i : i + 2]) == pair
        out.append(b"".join(parts[i : i + 1 + here]))
        i += 1 + here
    return out


def plain_encode(text, merges):
    """Apply every merge in the order of learning, to each word."""
    tokens = []
    for word in WORDS.findall(text):
        parts = [bytes([b]) for b in word.encode()]
        for pair in merges:
            parts = joined(parts, pair)
        tokens += parts
    return tokens


ASCII = SAMPLE.encode("ascii", "ignore").decode()


def test_the_merges_are_those_of_the_plain_algorithm():
    assert tk.train_bpe([ASCII], merges=200).merges == plain_merges(ASCII, 200)


def test_the_tokens_are_those_of_the_plain_algorithm():
    tokenizer = tk.train_bpe([ASCII], merges=200)
    unseen = pydoc_topics()["with"].encode("ascii", "ignore").decode()
    assert [tokenizer.bytes_of(t) for t in tokenizer.encode(unseen).tolist()] == plain_encode(
        unseen, tokenizer.merges
    )


@given(text)
def test_nothing_is_lost(text):
    for tokenizer in (BYTES, BPE):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text)
def test_no_text_becomes_a_control_token(text):
    for tokenizer in (BYTES, BPE):
        tokens = tokenizer.encode(text)
        assert not ((tokens >= tk.PAD) & (tokens < tk.FIRST_MERGE)).any()
        assert tokens.dtype == torch.int64 and (tokens < tokenizer.vocab).all()


@pytest.mark.parametrize("name", [f"<{name}>" for name in tk.CONTROLS] + ["<0>", "<99>"])
def test_the_name_of_a_control_token_is_only_text(name):
    for tokenizer in (BYTES, BPE):
        tokens = tokenizer.encode(name)
        assert ((tokens < tk.PAD) | (tokens >= tk.FIRST_MERGE)).all() and tokenizer.decode(tokens) == name


def test_the_numbering_has_no_gap():
    names = [getattr(tk, name.upper()) for name in tk.CONTROLS]
    assert names == list(range(256, 268))
    assert [tk.sentinel(i) for i in range(tk.SENTINELS)] == list(range(268, 368))
    assert tk.FIRST_MERGE == BYTES.vocab == 368 and BPE.vocab == 368 + 150


def test_both_number_bytes_alike():
    assert torch.equal(BYTES.encode(SAMPLE), as_tokens(SAMPLE))
    assert BPE.encode("~").tolist() == [126] and as_text(BYTES.encode("é")) == "é"


def test_merges_shorten_text_and_stay_within_words():
    assert len(BPE.encode(SAMPLE)) < 0.6 * len(BYTES.encode(SAMPLE))
    learned = [left + right for left, right in tk.train_bpe([ASCII], merges=200).merges]
    assert all(WORDS.fullmatch(data.decode()) for data in learned)
    assert all(BPE.bytes_of(368 + i) == left + right for i, (left, right) in enumerate(BPE.merges))


def test_the_same_bytes_give_the_same_merges_in_every_process():
    code = (
        "from course_lib.tasks.tokenizer import stdlib_bpe;print(stdlib_bpe(300, max_bytes=200_000).merges)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "TOKENIZERS_PARALLELISM": parallel, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for parallel, seed in (("false", "1"), ("true", "2"), ("true", "3"))
    }
    assert found == {f"{tk.stdlib_bpe(300, max_bytes=200_000).merges}\n"}


def test_the_library_bpe_reads_no_validation_file(monkeypatch):
    read = []
    monkeypatch.setattr(tk, "train_bpe", lambda texts, merges: read.extend(texts) or BYTES)
    tk.stdlib_bpe(10, max_bytes=200_000, seed=3)
    corpus = stdlib_source(200_000, 3)
    assert read[0] == bytes(corpus.train.tolist()).decode(errors="ignore")
    assert read[1:] == list(pydoc_topics().values())


def test_control_tokens_are_shown_but_are_no_text():
    tokens = [tk.BOS, *BYTES.encode("é!").tolist(), tk.sentinel(7), tk.EOS]
    assert BYTES.decode(tokens) == "é!"
    assert BYTES.pieces(tokens) == ["<bos>", "\ufffd", "\ufffd", "!", "<7>", "<eos>"]
    assert BPE.pieces([tk.sentinel(0), tk.FIRST_MERGE]) == ["<0>", BPE.decode([tk.FIRST_MERGE])]
    assert BYTES.decode([65, 0xC3]) == "A\ufffd"


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: tk.sentinel(100), "index=100"),
        (lambda: tk.sentinel(-1), "index=-1"),
        (lambda: tk.train_bpe(["a"], 0), "merges=0"),
        (lambda: BYTES.decode([368]), "token=368"),
        (lambda: BPE.decode([-1]), "token=-1"),
        (lambda: tk.Tokenizer([(b"ab", b"c")]), "merges has b'ab'"),
        (lambda: tk.Tokenizer([(b"a", b"b"), (b"a", b"b")]), "merges has b'a'"),
        (lambda: BYTES.encode("\ud800"), "surrogates"),
        (lambda: BPE.encode("\ud800"), "surrogates"),
    ],
)
def test_bad_input_is_named(call, names):
    with pytest.raises(ValueError, match=names):
        call()
