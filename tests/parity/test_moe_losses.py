"""The balance loss of mixtures in `transformers`, derived here from the router's logits.

    e sum_i f_i P_i    f_i how often expert i is among the k picks of a token, P_i the mean of its softmax,
                       both over the tokens of *all layers together*

Issue 45120 (pull requests 45111 and 45131) reports that ten classes handed probabilities on as logits, so
that the loss took a softmax of a softmax. `FIXED` are those of them that are built here: in 5.23 each passes
logits on, and the loss below is theirs. Three things remain, each asserted below:

- layers are pooled: two layers that are lopsided in opposite ways count as balanced;
- with k picks an even load gives k, not 1 (in OLMoE's paper and DeepSeek-V2 it gives 1);
- f and P are always of a softmax. Where the router scores by sigmoid or adds a bias (`NOT_ITS_OWN`),
  the loss counts picks that the model does not make.
"""

from copy import deepcopy
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch

from course_lib.layers.feed_forward.balance import switch_loss
from tests.parity.against_transformers import in_float64
from tests.parity.test_moe import pair_of, sparse_layers, statistics

FIXED = ("mixtral", "qwen2", "qwen3", "qwen3-unnormed", "olmoe", "flex-olmo")
OTHERS = ("dbrx", "ernie4_5", "gpt-oss", "granite", "granite-shared", "mellum", "minimax-m2", "phi-moe")
NOT_ITS_OWN = ("ernie4_5", "minimax-m2")
REPORTED = {  # the routers of all ten classes, those of the hybrids that are not built here among them
    "flex_olmo": "FlexOlmoTopKRouter",
    "minimax": "MiniMaxTopKRouter",
    "mixtral": "MixtralTopKRouter",
    "olmoe": "OlmoeTopKRouter",
    "qwen2_moe": "Qwen2MoeTopKRouter",
    "qwen3_5_moe": "Qwen3_5MoeTopKRouter",
    "qwen3_moe": "Qwen3MoeTopKRouter",
    "qwen3_next": "Qwen3NextTopKRouter",
    "qwen3_omni_moe": "Qwen3OmniMoeThinkerTextTopKRouter",
    "qwen3_vl_moe": "Qwen3VLMoeTextTopKRouter",
}


@pytest.mark.parametrize("family", REPORTED)
def test_no_router_that_was_reported_softmaxes_what_it_hands_on(family):
    modeling = import_module(f"transformers.models.{family}.modeling_{family}")
    config = SimpleNamespace(num_experts=5, num_local_experts=5, num_experts_per_tok=2, hidden_size=6)
    config.norm_topk_prob = True
    router, x = getattr(modeling, REPORTED[family])(config), torch.randn(7, 6)
    router.weight.data = torch.randn(5, 6)
    with torch.no_grad():
        torch.testing.assert_close(router(x)[0], x @ router.weight.T)


@pytest.fixture(params=FIXED + OTHERS, scope="module")
def pair(request):
    made = pair_of(request.param)
    made.name = request.param
    return made


def derived(logits: list[torch.Tensor], k: int, counted: torch.Tensor | None = None) -> torch.Tensor:
    """The loss by its definition: one token after another, all layers in one sum."""
    experts = logits[0].shape[-1]
    picks, mass, tokens = torch.zeros(experts).double(), torch.zeros(experts).double(), 0
    for layer in logits:
        for row, own in enumerate(layer):
            if counted is not None and not counted.reshape(-1)[row]:
                continue
            shares = own.exp() / own.exp().sum()
            picks[shares.topk(k).indices] += 1
            mass += shares
            tokens += 1
    return experts * (picks / tokens * (mass / tokens)).sum()


def their_losses(pair, tokens, mask=None):
    """Router logits and auxiliary loss, as the model returns them."""
    options = {"attention_mask": mask, "output_router_logits": True, "use_cache": False}
    with torch.no_grad(), in_float64(pair.modeling):
        out = pair.theirs(tokens, **options)
    return out.router_logits, out.aux_loss


def test_router_logits_are_logits(pair):
    """Not probabilities: they differ from ours in nothing, and do not sum to one."""
    tokens = pair.tokens(2, 7)
    found, _ = their_losses(pair, tokens)
    ours = statistics(pair, tokens, "logits")
    assert len(found) == len(ours)
    for got, expected in zip(found, ours, strict=True):
        torch.testing.assert_close(got.reshape(expected.shape), expected, **pair.tolerance)
        assert not torch.allclose(got.sum(-1), torch.ones(()).double())
        assert (got < 0).any()


def test_the_loss_is_derived(pair):
    tokens, k = pair.tokens(2, 7), pair.ours.blocks[-1].ffn.router.k
    logits, loss = their_losses(pair, tokens)
    torch.testing.assert_close(loss, derived(statistics(pair, tokens, "logits"), k), **pair.tolerance)
    twice = derived([one.reshape(-1, one.shape[-1]).softmax(-1) for one in logits], k)
    assert (loss - twice).abs() > 1e-3


def test_padding_does_not_count(pair):
    tokens, k = pair.tokens(2, 7), pair.ours.blocks[-1].ffn.router.k
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1] * 7])
    logits, loss = their_losses(pair, tokens, mask)
    flat = [one.reshape(-1, one.shape[-1]) for one in logits]
    torch.testing.assert_close(loss, derived(flat, k, mask), **pair.tolerance)
    assert (loss - derived(flat, k)).abs() > 1e-6


def test_ours_is_theirs_layer_by_layer(pair):
    """`switch_loss` over the tokens of all layers, with f as a share of the tokens."""
    tokens = pair.tokens(2, 7)
    logits = torch.cat(statistics(pair, tokens, "logits"))
    k = pair.ours.blocks[-1].ffn.router.k
    _, loss = their_losses(pair, tokens)
    scores = logits.softmax(-1)
    pooled = switch_loss(scores, scores.topk(k, -1).indices, over_k=False)
    torch.testing.assert_close(pooled, loss, **pair.tolerance)
    own = switch_loss(scores, torch.cat(statistics(pair, tokens, "picks")), over_k=False)
    assert torch.allclose(own, loss) != (pair.name in NOT_ITS_OWN)


def test_layers_are_pooled(pair):
    """Layers that send everything to experts of their own look balanced together."""
    if len(sparse_layers(pair)) < 2:
        return
    tokens, k = pair.tokens(2, 7), pair.ours.blocks[-1].ffn.router.k
    _, loss = their_losses(pair, tokens)
    alone = [derived([one], k) for one in statistics(pair, tokens, "logits")]
    assert (torch.stack(alone).mean() - loss).abs() > 1e-3


def test_lopsided_layers_in_opposite_ways():
    ones = torch.tensor([[9.0, 0.0], [9.0, 0.0]]).double()
    alone, both = derived([ones], 1), derived([ones, ones.flip(-1)], 1)
    assert alone > 1.99 and abs(both - 1) < 1e-12


def test_an_even_load_gives_k():
    pair = pair_of("mixtral")
    theirs = pair.modeling.load_balancing_loss_func
    even = torch.zeros(6, 3).double()
    even[range(6), [0, 1, 2, 0, 1, 2]] = 1e-9
    even[range(6), [1, 2, 0, 1, 2, 0]] = 1e-9
    with in_float64(pair.modeling):
        loss = theirs((even,), 3, 2)
    assert abs(loss - 2) < 1e-6


def test_the_loss_is_added_with_its_coefficient():
    """The training loss of theirs = ours of the next token + coefficient times the derived one."""
    pair = pair_of("mixtral")
    config = deepcopy(pair.theirs.config)
    tokens = pair.tokens(2, 7)
    with torch.no_grad(), in_float64(pair.modeling):
        out = pair.theirs(tokens, labels=tokens, output_router_logits=True, use_cache=False)
    next_token = torch.nn.functional.cross_entropy(
        pair.our_logits(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()
    )
    balance = derived(statistics(pair, tokens, "logits"), config.num_experts_per_tok)
    expected = next_token + config.router_aux_loss_coef * balance
    torch.testing.assert_close(out.loss, expected, rtol=1e-6, atol=1e-6)  # their cross-entropy is in float32
