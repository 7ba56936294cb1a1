"""Real text, split by file, cut into windows that predict the next byte."""

from pathlib import Path

import pytest
import torch

from course_lib.tasks import corpora


@pytest.fixture(scope="module")
def corpus():
    return corpora.stdlib_source(300_000, seed=4)


def test_sizes_are_exact_and_tokens_are_bytes(corpus):
    assert (len(corpus.train), len(corpus.valid)) == (270_000, 30_000)
    for part in (corpus.train, corpus.valid):
        assert part.dtype == torch.int64
        assert part.min() >= 0 and part.max() < corpora.VOCAB


def test_no_file_stands_on_both_sides(corpus):
    assert corpus.train_files and corpus.valid_files
    assert not set(corpus.train_files) & set(corpus.valid_files)


def test_the_text_is_that_of_the_named_files(corpus):
    root = Path(corpora.sysconfig.get_path("stdlib"))
    first = (root / corpus.train_files[0]).read_bytes()
    assert bytes(corpus.train[: len(first)].tolist()) == first[: len(corpus.train)]


def test_one_seed_gives_one_corpus_and_another_gives_another(corpus):
    assert torch.equal(corpora.stdlib_source(300_000, seed=4).train, corpus.train)
    assert corpora.stdlib_source(300_000, seed=5).train_files != corpus.train_files


def test_more_bytes_keep_the_validation_apart():
    small, large = corpora.stdlib_source(100_000), corpora.stdlib_source(1_000_000)
    assert large.valid_files[: len(small.valid_files)] == small.valid_files
    assert torch.equal(large.valid[: len(small.valid)], small.valid)


def test_no_machine_path_and_no_optional_part_is_read():
    root = Path(corpora.sysconfig.get_path("stdlib"))
    names = [f.relative_to(root).as_posix() for f in corpora.source_files(root)]
    assert "json/decoder.py" in names and names == sorted(names)
    unwanted = ("test/", "idlelib", "site-packages", "_sysconfigdata", "encodings")
    assert not [n for n in names if n.startswith(unwanted) or "/test/" in n or "/tests/" in n]


def test_generated_files_are_left_out_wherever_they_stand(tmp_path):
    for name in (
        "ok.py",
        "_sysconfigdata__linux.py",
        "config-3.11/x.py",
        "pkg/tests/t.py",
        "pkg/ok.py",
        "data.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_text("x")
    found = [f.relative_to(tmp_path).as_posix() for f in corpora.source_files(tmp_path)]
    assert found == ["ok.py", "pkg/ok.py"]


def test_bytes_go_there_and_back():
    text = "naïve → 漢字\n"
    assert corpora.as_text(corpora.as_tokens(text)) == text
    assert corpora.as_text(corpora.as_tokens(text)[:3]) == "na\ufffd"
    assert corpora.as_tokens("").shape == (0,)


def test_a_sample_is_windows_of_the_stream_and_their_next_tokens():
    x, y = corpora.sample(torch.arange(1000), 32, 7, torch.Generator().manual_seed(1))
    assert x.shape == y.shape == (32, 7)
    assert torch.equal(x, x[:, :1] + torch.arange(7)) and torch.equal(y, x + 1)
    assert len(set(x[:, 0].tolist())) > 16


def test_every_window_can_be_drawn_and_none_runs_over():
    x, y = corpora.sample(torch.arange(5), 200, 3, torch.Generator().manual_seed(0))
    assert set(x[:, 0].tolist()) == {0, 1} and y.max() == 4


def test_batches_are_samples_in_order():
    stream = torch.arange(500)
    drawn = corpora.batches(stream, 3, 5, torch.Generator().manual_seed(9))
    generator = torch.Generator().manual_seed(9)
    for _ in range(4):
        for found, expected in zip(next(drawn), corpora.sample(stream, 3, 5, generator), strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize(("tokens", "length"), [(100, 9), (101, 10), (11, 10)])
def test_blocks_predict_each_token_once_in_order(tokens, length):
    found = corpora.blocks(torch.arange(tokens), 4, length)
    targets = torch.cat([y.flatten() for _, y in found])
    assert torch.equal(targets, torch.arange(1, (tokens - 1) // length * length + 1))
    assert all(torch.equal(y, x + 1) and len(x) <= 4 for x, y in found)
    assert len(corpora.blocks(torch.arange(tokens), 4, length, limit=1)) == 1


def test_topics_are_english():
    topics = corpora.pydoc_topics()
    assert len(topics) > 50 and sum(map(len, topics.values())) > 200_000
    assert "assignment" in topics["assignment"].lower()


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda: corpora.stdlib_source(10**9), r"max_bytes=1000000000: allowed here is \d+ or less"),
        (lambda: corpora.stdlib_source(1), "max_bytes=1"),
        (lambda: corpora.stdlib_source(1000, valid_share=1.0), "valid_share=1.0"),
        (lambda: corpora.sample(torch.arange(5), 1, 5, torch.Generator()), "length=5"),
        (lambda: corpora.batches(torch.arange(5), 0, 2, torch.Generator()), "batch=0"),
        (lambda: corpora.blocks(torch.arange(5), 1, 0), "length=0"),
    ],
)
def test_bad_input_names_the_argument(call, names):
    with pytest.raises(ValueError, match=names):
        call()
