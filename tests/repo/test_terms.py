"""The index of terms: every mechanism's module has its terms, every term of the glossary its place."""

import pytest

from course_lib.course.terms.headers import header_terms, homes, read_terms, slug
from course_lib.course.terms.places import Course

from .repository import ROOT, data, ids, matching, text

FLOORS = (
    "layers",
    "kernels",
    "models",
    "tasks",
    "train",
    "generate",
    "evaluate",
    "simulate",
    "decide",
    "search",
)
FLOORS += ("costs",)
MODULES = [
    path for path in matching(rf"course_lib/({'|'.join(FLOORS)})/.*\.py") if path.name != "__init__.py"
]
TERMS = read_terms(ROOT)
HOMES = homes(TERMS)
COURSE = Course.read(ROOT, TERMS)
GLOSSARY = """
    attention, scaled dot-product attention, FlashAttention, SDPA, MHA, GQA, MQA, MLA, cross-attention,
    causal mask, sliding window, local window, prefix LM, attention sinks, RoPE, RoPE scaling, YaRN,
    ALiBi, T5 relative bias, absolute positions, learned positions, sinusoidal positions, RMSNorm,
    LayerNorm, pre-norm, post-norm, sandwich norm, parallel residual, QK norm, logit softcap, MLP,
    SwiGLU, GELU, token embedding, segment embedding, tied embeddings, KV cache, rolling buffer cache,
    paged attention, block table, prefix sharing, copy-on-write, quantised cache, latent cache,
    recurrent state, speculative decoding, BPE, byte tokenizer, span corruption, masked language
    modelling, causal language modelling, denoising, blank infilling, chat template, tool calls,
    constrained decoding, grammar, top-k, top-p, temperature, greedy decoding, BM25, nDCG, bootstrap
    interval, paired difference, perplexity, bits per byte, AdamW, learning-rate schedule, gradient
    clipping, induction heads, associative recall, roofline, arithmetic intensity, prefill, decode,
    continuous batching, static batching, preemption, TTFT, TPOT, Mamba, Mamba-2, RWKV, gated DeltaNet,
    MoE, router, Triton kernel, QKV packing, checkpoint, Pareto front, objective J
"""
NAMES = [" ".join(name.split()) for name in GLOSSARY.split(",")]


@pytest.mark.parametrize("path", MODULES, ids=ids(MODULES))
def test_a_module_of_a_mechanism_names_its_terms(path):
    assert header_terms(text(path.as_posix()), path.as_posix())


@pytest.mark.parametrize("name", NAMES)
def test_a_term_of_the_glossary_has_its_place(name):
    assert slug(name) in HOMES


def test_a_term_to_come_names_a_chapter_that_is_not_there_yet():
    """A chapter is there when its ledger is; its page may come before its code."""
    coming = [term for term in TERMS if term.chapter]
    assert [term.name for term in coming if term.chapter not in data("book/curriculum.yml")] == []
    assert [term.name for term in coming if (ROOT / f"book/claims/{term.chapter}.yml").exists()] == []


def test_a_meaning_is_one_line_and_no_sentence():
    assert [term.where for term in TERMS if len(term.means) > 160 or term.means.endswith(".")] == []


@pytest.mark.parametrize(
    ("name", "section", "notebook", "lab", "cards"),
    [
        ("GQA", "kv-groups", "3.3", "Exercise 2: heads that share keys and values", 5),
        ("multi-head latent attention", "kv-latent", "3.4", None, 5),
        ("FlashAttention", "attn-tiling", "2.4", "Exercise 4: online softmax", 3),
        ("RoPE", "attn-rope", "2.6", "Exercise 3: rotary positions", 3),
        ("PagedAttention", "kv-paging", "3.7", "Exercise 4: pages", 3),
        ("SwiGLU", "attn-swiglu", "2.7", "Exercise 5: SwiGLU at equal parameters", 2),
        ("prefix LM", "proto-prefix", "1.5", "Exercise 6: a chat with an open prefix", 3),
        ("BM25", None, "1.3", None, 0),
    ],
)
def test_where_a_term_is_taught_is_found(name, section, notebook, lab, cards):
    taught = COURSE.taught(HOMES[slug(name)])
    assert section is None or section in [place.anchor for place in taught.pages]
    assert notebook in [place.number for place in taught.notebooks]
    assert lab is None or lab in [place.title for place in taught.labs]
    assert len(taught.cards) >= cards


def test_shared_code_counts_only_where_the_term_is_named():
    by_hand = "notebooks/02_attention_math/01_by_hand"
    pages = {
        name: [p.page for p in COURSE.taught(HOMES[slug(name)]).notebooks] for name in ("MQA", "attention")
    }
    assert by_hand in pages["attention"]
    assert by_hand not in pages["MQA"]
