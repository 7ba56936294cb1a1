"""Mixtures of experts: 28 classes of `transformers` with the same weights, in float64.

Their experts run as "eager", the plain loop; "batched_mm" is a second path of theirs. The bias on the pick
is random: zero, as it starts, would leave its path untested.
"""

from copy import deepcopy

import pytest
import torch
import transformers
from transformers import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from course_lib.layers.feed_forward.moe import MoE
from tests.parity import decoder_checks as checks
from tests.parity.against_transformers import Pair, in_float64
from tests.parity.tiny_moe import MODELS

COUNTS_PADDING = ("llama-4-long",)  # positions of theirs, by which queries grow, count padding


def pair_of(name: str) -> Pair:
    family, fields = MODELS[name]
    config = CONFIG_MAPPING[family].from_dict(deepcopy(fields))
    return Pair(config, getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[family]))


@pytest.fixture(params=MODELS, scope="module")
def pair(request) -> Pair:
    made = pair_of(request.param)
    made.name = request.param
    return made


def sparse_layers(pair: Pair) -> list[int]:
    return [i for i, block in enumerate(pair.ours.blocks) if isinstance(block.ffn, MoE)]


def statistics(pair: Pair, tokens: torch.Tensor, name: str, positions=None) -> list[torch.Tensor]:
    """What our mixtures leave, layer by layer."""
    with torch.no_grad():
        _, auxiliary = pair.ours(tokens, positions, return_auxiliary=True)
    return [auxiliary.statistics[layer, name] for layer in sparse_layers(pair)]


def seen_routing(pair: Pair, tokens: torch.Tensor):
    """Of each sparse layer of theirs: logits, and the weights of all experts, zero but for the picks."""
    logits, weights, handles = [], [], []

    def of_router(module, args, output):
        logits.append(
            output[-1 if pair.spec.family == "llama4_text" else 0] if isinstance(output, tuple) else output
        )

    def of_experts(module, args, kwargs):
        index, weight = args[1:3] if len(args) > 2 else kwargs.values()
        dense = torch.zeros(len(index), pair.ours.blocks[-1].ffn.router.e, dtype=weight.dtype)
        weights.append(dense.scatter(-1, index, weight))

    for module in pair.theirs.modules():
        kind = type(module).__name__
        if kind.endswith(("Router", "Gate")):
            handles.append(module.register_forward_hook(of_router))
        elif kind.endswith("Experts") and pair.spec.family != "llama4_text":
            handles.append(module.register_forward_pre_hook(of_experts, with_kwargs=True))
    pair.their_logits(tokens)
    for handle in handles:
        handle.remove()
    return logits, weights


class TestMixtures(checks.DecoderParity):
    def test_left_padding(self, pair):
        if pair.name not in COUNTS_PADDING:
            checks.check_left_padding(pair)

    def test_router_logits_and_weights(self, pair):
        tokens = pair.tokens(2, 11)
        logits, weights = seen_routing(pair, tokens)
        ours = statistics(pair, tokens, "logits")
        assert len(logits) == len(ours) > 0
        for got, expected in zip(ours, logits, strict=True):
            torch.testing.assert_close(got, expected, **pair.tolerance)
        picks, own = statistics(pair, tokens, "picks"), statistics(pair, tokens, "weights")
        for index, weight, expected in zip(picks, own, weights, strict=False):
            dense = torch.zeros_like(expected).scatter(-1, index, weight)
            torch.testing.assert_close(dense, expected, **pair.tolerance)
        assert len(weights) == (0 if pair.spec.family == "llama4_text" else len(ours))

    def test_the_bias_on_the_pick_changes_picks(self, pair):
        """So that a router without it would fail here."""
        biases = [pair.ours.blocks[i].ffn.router.selection_bias for i in sparse_layers(pair)]
        if biases[0] is None:
            return
        tokens = pair.tokens(2, 11)
        before = [one.clone() for one in statistics(pair, tokens, "picks")]
        kept = [bias.clone() for bias in biases]
        for bias in biases:
            bias.zero_()
        after = statistics(pair, tokens, "picks")
        for bias, old in zip(biases, kept, strict=True):
            bias.copy_(old)
        assert any((one != two).any() for one, two in zip(before, after, strict=True))

    def test_their_batched_path_gives_the_same(self, pair):
        tokens = pair.tokens(2, 9)
        pair.theirs.set_experts_implementation("batched_mm")
        batched = pair.their_logits(tokens)
        pair.theirs.set_experts_implementation("eager")
        torch.testing.assert_close(pair.our_logits(tokens), batched, **pair.tolerance)


def test_at_least_fifteen_families_are_here():
    assert len({family for family, _ in MODELS.values()}) >= 15


def test_a_pick_that_comes_from_other_rules_would_be_seen():
    """The tiny models separate the rules: each of these changes the picks or weights of some model."""
    pair = pair_of("deepseek-v3")
    tokens = pair.tokens(2, 11)
    expected = pair.their_logits(tokens)
    for field, other in (("group_score", "max"), ("renormalise", False), ("scale", 1.0), ("top_groups", 3)):
        routers = [pair.ours.blocks[i].ffn.router for i in sparse_layers(pair)]
        kept = getattr(routers[0], field)
        for router in routers:
            setattr(router, field, other)
        assert (pair.our_logits(tokens) - expected).abs().max() > 1e-3, field
        for router in routers:
            setattr(router, field, kept)


def test_float64_is_used_throughout():
    pair = pair_of("mixtral")
    with in_float64(pair.modeling):
        assert pair.their_logits(pair.tokens(1, 3)).dtype == torch.float64
