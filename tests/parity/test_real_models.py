"""Trained models: what we load from their files says what `transformers` says from the same files.

They need `make models`. Where they are missing these tests fail with that message: they are never skipped.
The reference model is built from `transformers`' own reading of the GGUF file (names, blocks of 4 bits, order
of Q and K), so nothing of ours is on its side.
"""

import copy
import sys

import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModel, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from course_lib.generate.decode import cached_step, generate
from course_lib.models.real.assets import asset, checked_folder
from course_lib.models.real.load import load_real
from course_lib.specs.loader import load_spec
from tests.parity.against_transformers import in_float64

TURNS = [
    {"role": "system", "content": "Answer in one word."},
    {"role": "user", "content": "What is the capital of France?\n  Be brief. {{ 7 * 7 }}"},
    {"role": "assistant", "content": "Paris."},
    {"role": "user", "content": "And of Italy?"},
]
TALKS = {"system": TURNS[:2], "no system": TURNS[1:2], "several": TURNS, "answered": TURNS[:3]}
TEXTS = {
    "plain": "The quick brown fox, it's said, doesn't jump over lazy dogs.",
    "whitespace": "  two  three   four\n\n\n\tdef f(x):\n\t\treturn x  \n ",
    "unicode": "Zoë naïve – 日本語 Ελληνικά עברית 🙂👩‍👩‍👧 ﬁ e\u0301",
    "numbers": "In 2023, 1,234.5 of 007; x2y3 3rd",
    "controls": "<|im_start|>user\nhi<|im_end|>\n<|endoftext|><repo_name>x<|im_end|",
    "empty": "",
    "nulls": "a\x00b\r\nc\u2028d\ufeff",
}
CUT_OTHERWISE = {"spaces before a digit": "a  2", "a fraction after a space": "one ½ and ²"}


@pytest.fixture(scope="module")
def path():
    wanted = asset("smollm2-135m")
    return checked_folder(wanted) / wanted.weights


@pytest.fixture(scope="module")
def ours():
    return load_real("smollm2-135m")


@pytest.fixture(scope="module")
def theirs(path):
    """`transformers`' model of the file. (Its `from_pretrained` does this too, and asks for accelerate.)"""
    with torch.device("meta"):  # the names of any Llama of 30 layers
        names = LlamaForCausalLM(LlamaConfig(num_hidden_layers=30))
    found = load_gguf_checkpoint(path, return_tensors=True, model_to_load=names)
    config = LlamaConfig(**{key: value for key, value in found["config"].items() if not key.startswith("_")})
    config._attn_implementation = "eager"
    model = LlamaForCausalLM(config).eval()
    report = model.load_state_dict(found["tensors"], strict=False)
    assert report.unexpected_keys == [] and set(report.missing_keys) <= {"lm_head.weight"}
    model.tie_weights()
    return model


@pytest.fixture(scope="module")
def their_tokenizer(path):
    return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


def test_the_spec_is_what_the_file_says(ours):
    published = load_spec("smollm2-135m")
    for part in ("layers", "width", "vocab", "embeddings", "final_norm", "context"):
        assert getattr(ours.model.spec, part) == getattr(published, part), part


def test_weights_are_theirs(ours, theirs):
    found = dict(theirs.named_parameters())
    for layer in (0, 29):
        block, names = ours.model.blocks[layer], f"model.layers.{layer}"
        assert torch.equal(block.mixer.wq.weight, found[f"{names}.self_attn.q_proj.weight"])
        assert torch.equal(block.mixer.wk.weight, found[f"{names}.self_attn.k_proj.weight"])
        assert torch.equal(block.ffn.down.weight, found[f"{names}.mlp.down_proj.weight"])
    assert torch.equal(ours.model.head.weight, found["model.embed_tokens.weight"])


@torch.no_grad()
def test_logits_in_float32(ours, theirs):
    tokens = ours.tokenizer.chat(TURNS)[None]
    torch.testing.assert_close(ours.model(tokens), theirs(tokens).logits, rtol=0, atol=2e-4)


def test_greedy_tokens_are_theirs(ours, theirs):
    prompt = ours.tokenizer.chat(TURNS[1:2])[None]
    step = cached_step(ours.model, ours.model.make_cache(1, prompt.shape[1] + 8))
    found = generate(step, prompt, max_new_tokens=8)
    wanted = theirs.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=8,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=2,
    )
    assert found.tolist() == wanted[:, prompt.shape[1] :].tolist()


@torch.no_grad()
def test_logits_in_float64(ours, theirs):
    tokens = ours.tokenizer.encode("Water boils at 100 degrees.")[None]
    modeling = sys.modules[LlamaForCausalLM.__module__]
    with in_float64(modeling):
        wide = LlamaForCausalLM(theirs.config).double().eval()
        wide.load_state_dict(theirs.state_dict())
        wanted = wide(tokens).logits
    del wide
    found = copy.deepcopy(ours.model).double()(tokens)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_tokens_are_theirs(ours, their_tokenizer, text):
    tokens = ours.tokenizer.encode(text)
    assert tokens.tolist() == their_tokenizer(text)["input_ids"]
    assert ours.tokenizer.decode(tokens, controls=True) == text
    assert ours.tokenizer.decode(tokens) == their_tokenizer.decode(tokens, skip_special_tokens=True)


@pytest.mark.parametrize("text", CUT_OTHERWISE.values(), ids=CUT_OTHERWISE)
def test_digits_stand_alone_as_the_file_says_and_transformers_does_not(ours, their_tokenizer, text):
    """The file's `tokenizer.ggml.pre` is smollm; `transformers` cuts any GGUF tokenizer as GPT-2 does."""
    engine = copy.deepcopy(their_tokenizer.backend_tokenizer)
    found = ours.tokenizer.encode(text).tolist()
    assert engine.encode(text).ids != found
    digits = pre_tokenizers.Digits(individual_digits=True)
    engine.pre_tokenizer = pre_tokenizers.Sequence([digits, engine.pre_tokenizer])
    assert engine.encode(text).ids == found


def test_the_vocabulary_and_the_end_are_theirs(ours, their_tokenizer):
    assert ours.tokenizer.vocab == len(their_tokenizer) == ours.model.spec.vocab
    assert ours.tokenizer.end == their_tokenizer.eos_token_id


@pytest.mark.parametrize("open_turn", [True, False])
@pytest.mark.parametrize("turns", TALKS.values(), ids=TALKS)
def test_the_chat_template_is_theirs(ours, their_tokenizer, turns, open_turn):
    text = their_tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=open_turn)
    assert ours.tokenizer.chat_text(turns, open_turn=open_turn) == text
    tokens = their_tokenizer.apply_chat_template(turns, add_generation_prompt=open_turn, return_dict=True)
    assert ours.tokenizer.chat(turns, open_turn=open_turn).tolist() == tokens["input_ids"]


def test_what_a_user_types_need_not_become_a_control_token(ours):
    typed = "<|im_end|>\n<|im_start|>system"
    assert ours.tokenizer.end in ours.tokenizer.encode(typed)
    plain = ours.tokenizer.encode(typed, controls=False)
    assert ours.tokenizer.end not in plain and ours.tokenizer.decode(plain) == typed
    assert ours.tokenizer.end in ours.tokenizer.encode(typed)  # the switch holds for one call


SENTENCES = [
    "How do I sort a list in place?",
    "list.sort() orders the items in place, in 1 pass – naïvely said.",
    "Hi",
    "The cat sat on the mat. " * 80,
]


@torch.no_grad()
def test_sentence_vectors_in_float64():
    ours = load_real("minilm-l6", dtype=torch.float64)
    folder = checked_folder(asset("minilm-l6"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(SENTENCES, padding=True, truncation=True, max_length=256, return_tensors="pt")
    assert batch["input_ids"].shape[1] == ours.most_tokens == 256
    theirs = AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float64)
    with in_float64(sys.modules[type(theirs).__module__]):
        states = theirs.eval()(**batch).last_hidden_state
    real = batch["attention_mask"][..., None]
    means = (states * real).sum(1) / real.sum(1)
    wanted = means / means.norm(dim=-1, keepdim=True)
    found = ours.embed(SENTENCES, batch=3)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)
    assert (found @ found.T)[0].argsort(descending=True)[:2].tolist() == [0, 1]


def test_the_encoder_s_spec_is_what_its_file_says():
    found, published = load_real("minilm-l6").model.spec, load_spec("minilm-l6")
    for part in ("layers", "width", "vocab", "embeddings", "head", "context"):
        assert getattr(found, part) == getattr(published, part), part
