"""`course chat` with a tiny random model in the real one's place, and `course doctor` on trained models."""

import json
import re

import pytest

from course_lib.course.cli import asking
from course_lib.course.cli.chat import chat_facts
from course_lib.models.real import assets, load
from tests.unit.test_cli import RUN, app, course, facts, refusal
from tests.unit.test_real_models import NAME, place

KEYS = """
    model precision answer stopped prompt_tokens reused_tokens new_tokens first_token_s decode_tokens_per_s
    cache_bytes
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    return place(tmp_path, monkeypatch)


def test_one_answer_as_json(tiny):
    told = facts("chat", "-p", "the hen", "-n", 6, "--temperature", 0)
    assert list(told) == KEYS.split()
    assert told["model"] == NAME and "Q4_1" in told["precision"] and "dequantised" in told["precision"]
    assert told["new_tokens"] == 6 and told["stopped"] == "length"
    assert told["cache_bytes"] == 256 * (told["prompt_tokens"] + 5) and told["decode_tokens_per_s"] > 0
    assert facts("chat", "-p", "the hen", "-n", 6, "--temperature", 0)["answer"] == told["answer"]


def test_one_answer_in_words(tiny):
    told = facts("chat", "-p", "the hen", "-n", 6, "--temperature", 0)
    result = course("chat", "-p", "the hen", "-n", 6, "--temperature", 0)
    assert result.exit_code == 0 and result.stdout.startswith(told["answer"] + "\n[")
    assert re.search(
        r"tokens read \(0 from the cache\); .* 6 tokens at [\d.]+ a second; cache", result.stdout
    )
    assert "cut at --max-new-tokens" in result.stdout


def test_a_seed_gives_the_same_answer_and_another_another(tiny):
    draw = ("chat", "-p", "the hen", "-n", 12, "--temperature", 5, "--top-p", 1)
    found = [facts(*draw, "--seed", seed)["answer"] for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    narrow = facts(*draw[:-1], 1e-6, "--seed", 3)["answer"]
    assert narrow == facts("chat", "-p", "the hen", "-n", 12, "--temperature", 0)["answer"]


def test_a_system_turn_is_read(tiny):
    plain = facts("chat", "-p", "he", "-n", 1)["prompt_tokens"]
    assert facts("chat", "-p", "he", "-n", 1, "--system", "hen")["prompt_tokens"] > plain + 3


def test_a_talk_goes_on_until_q_or_the_end_of_the_input(tiny):
    for end in ("q\n", ""):
        result = RUN.invoke(app, ["chat", "-n", "3"], input="the hen\n\nhe\n" + end)
        assert result.exit_code == 0, result.output
        assert result.stdout.count("tokens read") == 2 and "an empty line says nothing" in result.stdout
        assert "Q4_1 (4 bits, word table 8), dequantised" in result.stdout


def test_ctrl_c_ends_with_130(tiny, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(asking.Screen, "ask", interrupted)
    assert course("chat").exit_code == 130


def test_what_is_refused(tiny, monkeypatch, tmp_path):
    assert "--json: allowed with --prompt" in refusal("chat", "--json")
    assert "--prompt is empty" in refusal("chat", "-p", " ")
    assert "top_p=0.0: allowed are" in refusal("chat", "-p", "he", "--top-p", 0)
    assert "allowed are 96 together" in refusal("chat", "-p", "he", "-n", 96)
    monkeypatch.setenv(assets.VARIABLE, str(tmp_path / "nowhere"))
    assert "make models" in refusal("chat", "-p", "he")


def test_settings_are_refused_before_the_model_is_loaded(monkeypatch):
    monkeypatch.setattr(load, "load_real", lambda _: pytest.fail("loaded"))
    assert "top_p" in refusal("chat", "-p", "he", "--top-p", 0)


def test_doctor_lists_the_models(tiny):
    found = {each["name"]: each for each in facts("doctor", "--no-measure")["models"]}
    assert (found[NAME]["present"], found[NAME]["checksum_ok"]) == (True, True)
    assert found[NAME]["weights_bytes"] == (tiny / "model.gguf").stat().st_size
    assert "4 bits" in found[NAME]["about"]
    assert (found["minilm-l6"]["present"], found["minilm-l6"]["checksum_ok"]) == (False, None)
    shown = course("doctor", "--no-measure").stdout
    assert "absent (make models)" in shown and "whole" in shown
    (tiny / "model.gguf").write_bytes(b"other")
    told = facts("doctor", "--no-measure", code=1)
    assert told["problems"] == [f"{NAME}: the file is another than the pinned one: make models"]
    assert "another file than the pinned one" in course("doctor", "--no-measure").stdout


def test_the_facts_are_json(tiny):
    from course_lib.generate.conversation import Conversation

    talk = Conversation(load.load_real(NAME))
    "".join(talk.reply("he", 1))
    assert json.loads(json.dumps(chat_facts(talk)))["decode_tokens_per_s"] is None
