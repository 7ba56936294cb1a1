"""Trained models: found, checked, converted once, loaded; a tiny file in the real one's place."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from course_lib.models.lm import CausalLM
from course_lib.models.real import assets, convert
from course_lib.models.real.assets import ModelMissing, asset, checked_folder, state
from course_lib.models.real.load import build_empty, load_real
from course_lib.models.real.text import RealTokenizer, tokenizer_from_gguf
from course_lib.specs.from_hf import spec_from_hf_config
from tests import tiny_gguf

NAME = "smollm2-135m"
TOOL = Path(__file__).parents[2] / "tools" / "vendor_models.py"


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The tiny file stands where SmolLM2 would; returns its folder."""
    return place(tmp_path, monkeypatch)


def place(root, monkeypatch, seed=0):
    checksum = tiny_gguf.write(root / NAME / "model.gguf", seed=seed)
    lock = json.loads(assets.LOCK.read_text())
    lock[NAME] |= {"weights_sha256": checksum, "weights_bytes": (root / NAME / "model.gguf").stat().st_size}
    (root / "lock.json").write_text(json.dumps(lock))
    monkeypatch.setattr(assets, "LOCK", root / "lock.json")
    monkeypatch.setenv(assets.VARIABLE, str(root))
    return root / NAME


def test_a_missing_model_says_how_to_fetch_it(tmp_path, monkeypatch):
    monkeypatch.setenv(assets.VARIABLE, str(tmp_path))
    for name in assets.assets():
        with pytest.raises(ModelMissing, match=r"make models.*python tools/vendor_models\.py"):
            load_real(name)
        told = state(asset(name))
        assert (told["present"], told["checksum_ok"], told["weights_bytes"]) == (False, None, None)


def test_an_unknown_model_is_refused():
    with pytest.raises(ValueError, match=r"name='gpt5': allowed are smollm2-135m, minilm-l6"):
        load_real("gpt5")


def test_another_file_than_the_pinned_one_is_refused(tiny):
    assert checked_folder(asset(NAME)) == tiny and state(asset(NAME))["checksum_ok"]
    with (tiny / "model.gguf").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ValueError, match="another file than the pinned one"):
        load_real(NAME)
    assert state(asset(NAME))["checksum_ok"] is False


def test_a_model_is_converted_once(tiny, monkeypatch):
    first = load_real(NAME)
    monkeypatch.setattr(convert, "convert", lambda *_: pytest.fail("converted again"))
    second = load_real(NAME)
    tokens = first.tokenizer.encode("the cat")[None]
    with torch.no_grad():
        assert torch.equal(first.model(tokens), second.model(tokens))
    assert not first.model.training and "Q4_1" in first.precision and state(asset(NAME))["converted"]
    assert first.model.head.weight is first.model.embed.tokens.weight
    assert [each.name for each in tiny.iterdir() if each.name.startswith(".")] == []


def damage_weights(folder):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def other_version(folder):
    record = json.loads((folder / "converted.json").read_text())
    (folder / "converted.json").write_text(json.dumps(record | {"version": 0}))


@pytest.mark.parametrize(
    "harm",
    [
        damage_weights,
        other_version,
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "converted.json").write_text("{"),
        shutil.rmtree,
    ],
    ids=["a bit turned", "an old version", "no weights", "no record", "nothing"],
)
def test_what_is_not_whole_is_converted_again(tiny, harm):
    before = load_real(NAME).model.state_dict()
    harm(tiny / "converted")
    after = load_real(NAME).model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert convert.is_whole(tiny / "converted", asset(NAME).weights_sha256)


def test_another_source_is_converted_again(tmp_path, monkeypatch):
    place(tmp_path, monkeypatch)
    before = load_real(NAME).model.head.weight.clone()
    place(tmp_path, monkeypatch, seed=1)
    assert not torch.equal(load_real(NAME).model.head.weight, before)


def test_an_empty_model_has_every_name_and_its_own_memory():
    fields = {"model_type": "llama", "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2}
    for tied in (True, False):
        spec = spec_from_hf_config(
            fields | {"intermediate_size": 5, "vocab_size": 7, "tie_word_embeddings": tied}
        )
        empty, usual = build_empty(spec), CausalLM(spec)
        assert empty.state_dict().keys() == usual.state_dict().keys()
        assert (empty.head.weight is empty.embed.tokens.weight) is tied
        assert {p.device.type for p in empty.parameters()} == {"cpu"}


def tokenizer(**changes) -> RealTokenizer:
    named = dict.fromkeys(tiny_gguf.vocabulary(), 1) | dict.fromkeys(tiny_gguf.CONTROLS, 3)
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": list(named),
        "tokenizer.ggml.token_type": list(named.values()),
        "tokenizer.ggml.merges": [*tiny_gguf.MERGES],
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.chat_template": tiny_gguf.TEMPLATE,
    }
    return tokenizer_from_gguf(metadata | changes)


def test_digits_are_cut_off_before_words_are():
    assert tokenizer().pieces(tokenizer().encode("he  2")) == ["he", "  ", "2"]


def test_control_tokens_in_text_are_a_choice():
    ours = tokenizer()
    assert ours.encode("a<|im_end|>").tolist()[-1] == ours.end == 2
    assert len(ours.encode("a<|im_end|>", controls=False)) == 11
    assert (
        ours.decode([2, *ours.encode("ö").tolist()]) == "ö"
        and ours.decode([2], controls=True) == "<|im_end|>"
    )


def test_a_turn_opens_for_the_model():
    turns = [{"role": "user", "content": "he"}]
    assert tokenizer().chat_text(turns).endswith("<|im_start|>assistant\n")
    assert tokenizer().chat(turns, open_turn=False).tolist()[-2] == 2


def test_a_model_that_does_not_chat_says_so():
    with pytest.raises(ValueError, match="does not chat"):
        tokenizer(**{"tokenizer.chat_template": None}).chat_text([])


@pytest.mark.parametrize("change", [{"tokenizer.ggml.pre": "gpt-2"}, {"tokenizer.ggml.model": "llama"}])
def test_another_tokenizer_is_refused(change):
    with pytest.raises(ValueError, match=next(iter(change.values()))):
        tokenizer(**change)


def test_a_chat_template_runs_in_a_sandbox():
    from jinja2.exceptions import SecurityError

    ours = tokenizer(**{"tokenizer.chat_template": "{{ messages.__class__.__mro__ }}"})
    with pytest.raises(SecurityError):
        ours.chat_text([])


@pytest.fixture
def wheels(tmp_path):
    """Small wheels in the place of the published ones, a lock of them, and a run of the tool."""
    lock = json.loads(assets.LOCK.read_text())
    for entry in lock.values():
        with zipfile.ZipFile(tmp_path / entry["wheel_file"], "w") as archive:
            for member in entry["files"]:
                archive.writestr(member, member)
            archive.writestr("package/__init__.py", "raise SystemExit('run')")
        entry["wheel_sha256"] = assets.sha256(tmp_path / entry["wheel_file"])
        (tmp_path / "one").write_text(next(k for k, v in entry["files"].items() if v == entry["weights"]))
        entry["weights_sha256"] = assets.sha256(tmp_path / "one")
    return lock


def fetch(folder, lock, *words):
    (folder / "lock.json").write_text(json.dumps(lock))
    code = (
        f"import sys, runpy, pathlib; sys.argv = ['vendor_models.py', *{list(words)!r}]\n"
        f"names = runpy.run_path({str(TOOL)!r})\n"
        f"scope = names['main'].__globals__\n"
        f"scope['LOCK'], scope['FOLDER'] = pathlib.Path({str(folder / 'lock.json')!r}), "
        f"pathlib.Path({str(folder / 'models')!r})\n"
        f"names['main']()"
    )
    return subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)


def test_the_tool_unpacks_only_what_is_wanted_and_once(tmp_path, wheels):
    run = fetch(tmp_path, wheels, "--wheels", str(tmp_path))
    assert run.returncode == 0, run.stderr
    for name, entry in wheels.items():
        there = {path.name for path in (tmp_path / "models" / name).iterdir()}
        assert there == {*entry["files"].values(), ".fetched.json"}
    again = fetch(tmp_path, wheels, "--wheels", str(tmp_path / "nowhere"))
    assert again.returncode == 0 and again.stdout.count("in place") == 2
    (tmp_path / "models" / NAME / "model.gguf").write_text("other")
    healed = fetch(tmp_path, wheels, "--wheels", str(tmp_path))
    assert healed.stdout.count("in place") == 1 and healed.returncode == 0


@pytest.mark.parametrize("field", ["wheel_sha256", "weights_sha256"])
def test_the_tool_refuses_another_checksum_and_leaves_nothing(tmp_path, wheels, field):
    wheels[NAME][field] = "0" * 64
    run = fetch(tmp_path, wheels, "--wheels", str(tmp_path))
    assert run.returncode == 1 and f"{field}: checksum" in run.stderr
    assert list((tmp_path / "models").iterdir()) == []


def test_the_tool_says_what_to_do_without_a_network(tmp_path, wheels):
    wheels[NAME]["wheel"] = "no/such wheel"
    run = fetch(tmp_path, wheels)
    assert run.returncode == 1 and "--wheels FOLDER" in run.stderr


def test_the_notice_has_every_licence_and_checksum():
    notice = (TOOL.parents[1] / "NOTICE-MODELS.md").read_text(encoding="utf-8")
    for entry in json.loads(assets.LOCK.read_text()).values():
        package, version = entry["wheel"].split("==")
        told = [
            entry["wheel_sha256"],
            entry["weights_sha256"],
            f"{entry['weights_bytes']:,}",
            entry["licence"],
        ]
        for fact in [*told[:3], told[3].split(" ")[0], f"`{package}` {version}"]:
            assert fact in notice, fact
