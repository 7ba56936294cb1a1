"""Multi-token prediction: what each depth has read, its loss by hand, and its cache."""

from dataclasses import replace

import pytest
import torch

from course_lib.costs.mtp import mtp_params, tokens_per_pass
from course_lib.models.lm import CausalLM
from course_lib.models.mtp import MTP, mtp_loss
from course_lib.specs.from_hf import spec_from_hf_config
from course_lib.specs.loader import load_spec

CONFIG = {
    "model_type": "llama",
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "num_hidden_layers": 2,
    "intermediate_size": 10,
    "vocab_size": 13,
    "tie_word_embeddings": False,
}


@pytest.fixture
def mtp() -> MTP:
    torch.manual_seed(0)
    model = CausalLM(spec_from_hf_config(CONFIG), std=0.5).double()
    return MTP(model, 3, std=0.5).double()


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randint(13, (2, 9), generator=torch.Generator().manual_seed(1))


def test_depth_k_has_read_k_tokens_beyond_its_place(mtp, tokens):
    """A changed token x_p changes the logits at place i of depth k from p = i + k on, and no earlier ones."""
    with torch.no_grad():
        before = mtp(tokens)
        for place in range(9):
            changed = tokens.clone()
            changed[:, place] = (changed[:, place] + 1) % 13
            for k, (old, new) in enumerate(zip(before, mtp(changed), strict=True), start=1):
                differs = (old != new).any(-1).any(0)
                first = max(place - k, 0)
                assert not differs[:first].any()
                if place - k >= 0:
                    assert differs[first]


def test_the_loss_by_hand(mtp, tokens):
    """Depth k at place i predicts x_{i+k+1}: one target after another, each depth a mean over its own."""
    with torch.no_grad():
        logits, by_depth = mtp(tokens), []
        for k, own in enumerate(logits, start=1):
            terms = [
                -own[row, i].log_softmax(-1)[tokens[row, i + k + 1]]
                for row in range(2)
                for i in range(9)
                if i + k + 1 < 9
            ]
            assert len(terms) == 2 * (9 - k - 1)
            by_depth.append(sum(terms) / len(terms))
        expected = 0.1 * sum(by_depth) / 3
        torch.testing.assert_close(mtp_loss(logits, tokens, 0.1), expected)


def test_the_loss_reaches_model_and_modules(mtp, tokens):
    mtp_loss(mtp(tokens), tokens).backward()
    assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in mtp.parameters())
    assert all(one.grad is not None for one in mtp.model.parameters())


def test_the_modules_hold_no_copy_of_the_model(mtp):
    ours = sum(one.numel() for one in mtp.parameters())
    layer = sum(one.numel() for one in mtp.model.blocks[-1].parameters())
    assert ours == 3 * (layer + 2 * 8 * 8 + 3 * 8)
    assert not any(name.startswith(("model", "behind")) for name in mtp.state_dict())


@pytest.mark.parametrize("name", ["deepseek-v3", "glm-4.5", "mixtral-8x7b"])
def test_the_formula_counts_a_published_models_modules(name):
    spec = load_spec(name)
    with torch.device("meta"):
        model = CausalLM(replace(spec, layers=spec.layers[-1:]))
        modules = MTP(model, 2)
    assert sum(one.numel() for one in modules.parameters()) == mtp_params(spec, 2)


def test_tokens_of_a_pass():
    assert tokens_per_pass(0, 3) == 1 and tokens_per_pass(1, 3) == 4
    for wrong in ((1.5, 1), (0.5, 0)):
        with pytest.raises(ValueError, match="allowed"):
            tokens_per_pass(*wrong)


def test_step_by_step_with_a_cache(mtp, tokens):
    positions = torch.arange(9).expand(2, -1)
    with torch.no_grad():
        below = mtp.model.hidden(mtp.model.embed(tokens, positions), positions)[:, :-1]
        whole = mtp.step(1, tokens[:, 1:], below)
        cache = mtp.make_cache(2, 9)[0]
        parts = [
            mtp.step(1, tokens[:, 1 + i : 1 + j], below[:, i:j], cache) for i, j in ((0, 3), (3, 4), (4, 8))
        ]
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def test_what_does_not_fit_is_refused(mtp, tokens):
    with pytest.raises(ValueError, match="depth=0"):
        MTP(mtp.model, 0)
    with pytest.raises(ValueError, match="at least 4"):
        mtp(tokens[:, :3])
    with pytest.raises(ValueError, match="depth 3 has none"):
        mtp_loss(mtp(tokens[:, :4]), tokens[:, :4])
