"""Streaming and conversations: the tokens of `generate`, a cache that runs nothing twice."""

import pytest
import torch

from course_lib.generate import conversation as module
from course_lib.generate.conversation import Conversation
from course_lib.generate.decode import cached_step, generate, recomputing_step
from course_lib.generate.sampling import Sampler, greedy
from course_lib.generate.streaming import stream, text_pieces
from course_lib.models.real.load import load_real
from tests.unit.test_decode import model  # noqa: F401
from tests.unit.test_real_models import place

PROMPT = torch.tensor([3, 1, 4, 1, 5])


def chatty(tmp_path, monkeypatch, seed=0):
    """A tiny random model that chats, sharp enough that its choices are no ties."""
    place(tmp_path, monkeypatch, seed)
    lm = load_real("smollm2-135m", dtype=torch.float64)
    for parameter in lm.model.parameters():
        parameter.data *= 1.5
    return lm


@pytest.fixture
def lm(tmp_path, monkeypatch):
    return chatty(tmp_path, monkeypatch)


def test_a_stream_is_what_generate_says(model):  # noqa: F811
    whole = generate(recomputing_step(model), PROMPT[None], max_new_tokens=9)[0].tolist()
    step = cached_step(model, model.make_cache(1, 20))
    assert list(stream(step, PROMPT, max_new_tokens=9)) == whole
    draw = [Sampler(generator=torch.Generator().manual_seed(5)) for _ in range(2)]
    drawn = generate(recomputing_step(model), PROMPT[None], max_new_tokens=9, sampler=draw[0])[0].tolist()
    assert list(stream(recomputing_step(model), PROMPT, max_new_tokens=9, sampler=draw[1])) == drawn != whole


def test_a_stream_ends_before_eos(model):  # noqa: F811
    whole = generate(recomputing_step(model), PROMPT[None], max_new_tokens=9)[0].tolist()
    end = whole[4]
    found = list(stream(recomputing_step(model), PROMPT, max_new_tokens=9, eos=end))
    assert found == whole[: whole.index(end)]


def test_a_stream_goes_on_from_a_cache(model):  # noqa: F811
    whole = list(stream(recomputing_step(model), PROMPT, max_new_tokens=4))
    cache = model.make_cache(1, 20)
    with torch.no_grad():
        model(PROMPT[None, :3], cache=cache)
    assert list(stream(cached_step(model, cache), PROMPT[3:], max_new_tokens=4, start=3)) == whole
    assert cache.length == len(PROMPT) + 3  # the last token was given out and not run


def test_a_stream_leaves_the_reader_s_mode_alone(model):  # noqa: F811
    for _ in stream(recomputing_step(model), PROMPT, max_new_tokens=2):
        assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("number", [0, -1])
def test_a_stream_of_nothing_is_refused(model, number):  # noqa: F811
    with pytest.raises(ValueError, match=f"max_new_tokens={number}"):
        next(stream(recomputing_step(model), PROMPT, max_new_tokens=number))


def test_text_waits_for_whole_characters():
    data = "aé日🙂".encode()
    decode = lambda tokens: bytes(tokens).decode(errors="replace")  # noqa: E731
    assert list(text_pieces(data, decode)) == ["a", "é", "日", "🙂"]
    assert list(text_pieces(data[:-1], decode))[-1] == "\ufffd"  # cut in a character: shown as such


def test_a_second_turn_runs_only_what_is_new_and_says_the_same(lm):
    he = lm.tokenizer.encode("he")
    talk = Conversation(lm, sampler=lambda logits: he)
    assert "".join(talk.reply("the hen", 12)) == talk.last.text == "he" * 12
    assert talk.turns[1] == {"role": "assistant", "content": "he" * 12} and talk.last.reused_tokens == 0
    held = talk.last.prompt_tokens + 11  # the twelfth was given out and not run
    fresh = Conversation(lm)
    fresh.turns, talk.sampler = list(talk.turns), greedy
    "".join(talk.reply("and he", 12))
    "".join(fresh.reply("and he", 12))
    assert (talk.last.reused_tokens, fresh.last.reused_tokens) == (held, 0)
    assert talk.last.text == fresh.last.text and len(set(talk.last.text)) > 2
    assert talk.last.prompt_tokens == fresh.last.prompt_tokens > held


def test_the_cache_is_kept_as_long_as_the_text_begins_alike(lm, monkeypatch):
    """A model that says nothing: then the next turn always begins with what the cache holds."""
    monkeypatch.setattr(module, "stream", ended_at_once(module.stream))
    talk = Conversation(lm)
    assert list(talk.reply("the hen", 5)) == []
    held = talk.last.prompt_tokens
    list(talk.reply("and he", 5))
    assert talk.last.reused_tokens == held and talk.last.new_tokens == 0
    assert talk.last.tokens_per_s is None and talk.last.stopped == "end"
    talk.turns[0]["content"] = "another past"
    list(talk.reply("and he", 5))
    assert talk.last.reused_tokens == 0


def ended_at_once(stream_):
    """Streams whose first choice is the end of the turn."""
    return lambda *words, **options: stream_(
        *words, **options | {"sampler": lambda logits: torch.full((1,), options["eos"])}
    )


def test_cache_bytes_are_those_of_the_tokens_held(lm):
    talk = Conversation(lm)
    "".join(talk.reply("the hen", 4))
    per_token = 2 * 2 * 2 * 8 * 8  # layers, keys and values, KV heads, width, bytes of float64
    held = talk.last.prompt_tokens + talk.last.new_tokens - (talk.last.stopped == "length")
    assert talk.last.cache_bytes == per_token * held
    assert talk.last.first_token_s > 0 and talk.last.tokens_per_s > 0


def test_a_conversation_beyond_the_context_is_refused_and_goes_on(lm):
    talk = Conversation(lm, system="he")
    with pytest.raises(ValueError, match="allowed are 96 together"):
        list(talk.reply("the hen " * 20))
    assert talk.turns == [{"role": "system", "content": "he"}]
    assert list(talk.reply("he", 3)) and len(talk.turns) == 3


def test_a_cache_without_room_is_made_anew(lm, monkeypatch):
    monkeypatch.setattr(module, "SLOTS", 8)
    he = lm.tokenizer.encode("he")
    talk = Conversation(lm, sampler=lambda logits: he)
    for _ in range(2):
        assert "".join(talk.reply("the hen", 3)) == "hehehe"
    assert talk.last.reused_tokens == 0
