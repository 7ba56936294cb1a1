"""Self-speculative decoding: its output has the model's own distribution, by enumeration of all outcomes."""

from dataclasses import dataclass, field
from itertools import product

import pytest
import torch

from course_lib.generate.decode import cached_step, generate
from course_lib.generate.sampling import Sampler
from course_lib.generate.self_speculation import Dice, Drafter, greedily, self_speculate, verify
from course_lib.models.lm import CausalLM
from course_lib.models.mtp import MTP
from course_lib.specs.from_hf import spec_from_hf_config

CONFIG = {
    "model_type": "llama",
    "hidden_size": 8,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 10,
}


def modules(vocab: int, depth: int, seed: int = 0, window: int | None = None, **more: int) -> MTP:
    torch.manual_seed(seed)
    config = CONFIG | more | {"vocab_size": vocab, "tie_word_embeddings": False, "num_key_value_heads": 2}
    if window is not None:
        config |= {"model_type": "mistral", "sliding_window": window}
    model = CausalLM(spec_from_hf_config(config), std=0.7).double()
    return MTP(model, depth, std=0.7).double()


@dataclass
class Outcome:
    """One path through all random choices: those in `script` first, then the first possible one each time."""

    script: list[int]
    weight: float = 1.0
    choices: list[tuple[int, int]] = field(default_factory=list)

    def _choose(self, shares: list[float]) -> int:
        possible = [index for index, share in enumerate(shares) if share > 0]
        place = len(self.choices)
        taken = self.script[place] if place < len(self.script) else 0
        self.choices.append((taken, len(possible)))
        self.weight *= shares[possible[taken]]
        return possible[taken]

    def draw(self, probabilities) -> int:
        return self._choose(probabilities.tolist())

    def accepts(self, probability: float) -> bool:
        return self._choose([probability, 1 - probability]) == 0


def all_outcomes(run):
    """Every (result, probability) of a random function, depth first."""
    script, found = [], {}
    while script is not None:
        outcome = Outcome(script)
        result = run(outcome)
        found[result] = found.get(result, 0.0) + outcome.weight
        path = outcome.choices
        while path and path[-1][0] + 1 == path[-1][1]:
            path.pop()
        script = [taken for taken, _ in path[:-1]] + [path[-1][0] + 1] if path else None
    return found


def own_distribution(model, prompt, new: int, vocab: int) -> dict[tuple[int, ...], float]:
    """Of `new` tokens drawn one after the other, by the chain rule."""
    found = {}
    for tokens in product(range(vocab), repeat=new):
        row = torch.cat((prompt, torch.tensor([tokens])), 1)
        with torch.no_grad():
            probabilities = model(row).softmax(-1)[0]
        start = prompt.shape[1] - 1
        found[tokens] = torch.stack([probabilities[start + i, t] for i, t in enumerate(tokens)]).prod().item()
    return found


def soft(logits):
    return logits.softmax(-1)


@pytest.mark.parametrize("drafts", [1, 2])
def test_verify_leaves_the_distribution_as_it_is(drafts):
    torch.manual_seed(1)
    vocab = 3
    own, theirs = (torch.randn(n, vocab).double().softmax(-1) for n in (drafts + 1, drafts))

    def run(chance):
        tokens = [chance.draw(q) for q in theirs]
        return tuple(verify(own, theirs, tokens, chance))

    for tokens, weight in all_outcomes(run).items():  # a longer row is one of its beginnings, gone on with
        assert 1 <= len(tokens) <= drafts + 1 and weight >= 0
    found = all_outcomes(lambda chance: run(chance)[0])
    for token in range(vocab):
        assert found[token] == pytest.approx(own[0, token].item(), abs=1e-12)


def test_a_wrong_rule_is_found_by_this_test():
    """Accepting whatever is likelier than a half, and drawing from p again: the first token is off."""
    torch.manual_seed(1)
    own, q = torch.randn(2, 3).double().softmax(-1)

    def run(chance):
        token = chance.draw(q)
        return token if chance.accepts(min(1.0, (own[token] / q[token]).item())) else chance.draw(own)

    found = all_outcomes(run)
    assert max(abs(found[token] - own[token].item()) for token in range(3)) > 0.01


@pytest.mark.parametrize(("depth", "new", "vocab"), [(1, 3, 2), (2, 2, 3), (2, 3, 2)])
def test_the_output_has_the_models_own_distribution(depth, new, vocab):
    mtp, prompt = modules(vocab, depth, num_hidden_layers=1), torch.tensor([[1, 0, 1]])
    options = {"max_new_tokens": new, "probabilities": soft}

    def run(chance):
        return tuple(self_speculate(mtp, prompt, chance=chance, **options).tokens[0].tolist())

    found, expected = all_outcomes(run), own_distribution(mtp.model, prompt, new, vocab)
    assert found.keys() == expected.keys()
    for tokens, probability in expected.items():
        assert found[tokens] == pytest.approx(probability, abs=1e-10)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_greedy_drafts_change_no_token(depth):
    mtp, prompt = modules(17, depth, seed=depth), torch.randint(17, (1, 6))
    plain = generate(cached_step(mtp.model, mtp.model.make_cache(1, 40)), prompt, max_new_tokens=24)
    found = self_speculate(mtp, prompt, max_new_tokens=24)
    assert torch.equal(found.tokens, plain)
    assert found.passes <= 24 and found.drafted == depth * (found.passes - 1)


def test_a_perfect_draft_saves_passes():
    """Modules that copy the model's own prediction: here by accepting from an equal distribution."""
    mtp, prompt = modules(5, 2), torch.randint(5, (1, 4))
    found = self_speculate(mtp, prompt, max_new_tokens=12, probabilities=lambda z: torch.full_like(z, 0.2))
    assert found.accepted == found.drafted
    assert found.passes == 1 + 4  # one token from the prompt, then three a pass


def test_what_stays_after_a_pass_is_as_if_no_draft_had_been_made():
    """After each pass a depth's vectors equal those of the whole row at once."""
    mtp = modules(11, 3)
    row = torch.randint(11, (1, 9))
    positions = torch.arange(9)[None]
    dice = Dice(torch.Generator().manual_seed(0))
    with torch.no_grad():
        hidden = mtp.model.hidden(mtp.model.embed(row, positions), positions)
        drafter = Drafter(mtp, 30)
        drafter.draft(row[:, :5], hidden[:, :4], greedily, dice)
        drafter.draft(row[:, :7], hidden[:, 4:6], greedily, dice)
        drafts, _ = drafter.draft(row, hidden[:, 6:8], greedily, dice)
        fresh, _ = Drafter(mtp, 30).draft(row, hidden[:, :8], greedily, dice)
        whole = mtp(row)
    assert drafts == fresh
    assert drafts[0] == whole[0][0, 7].argmax().item()


def test_eos_ends_the_row():
    mtp, prompt = modules(5, 1), torch.randint(5, (1, 4))
    whole = self_speculate(mtp, prompt, max_new_tokens=12).tokens[0].tolist()
    cut = self_speculate(mtp, prompt, max_new_tokens=12, eos=whole[3]).tokens[0].tolist()
    assert cut == whole[: whole.index(whole[3]) + 1]


def test_the_same_seed_gives_the_same_tokens():
    mtp, prompt = modules(9, 2), torch.randint(9, (1, 4))
    warp = Sampler(generator=torch.Generator(), temperature=0.8, top_k=5).warp
    options = {"max_new_tokens": 9, "probabilities": lambda z: warp(z).softmax(-1)}
    one, two = (
        self_speculate(mtp, prompt, chance=Dice(torch.Generator().manual_seed(4)), **options).tokens
        for _ in range(2)
    )
    assert torch.equal(one, two) and one.shape == (1, 9)


def test_what_cannot_be_done_is_refused():
    mtp = modules(5, 2)
    for prompt, new in ((torch.ones(2, 4, dtype=torch.long), 3), (torch.ones(1, 1, dtype=torch.long), 3)):
        with pytest.raises(ValueError, match="prompt of"):
            self_speculate(mtp, prompt, max_new_tokens=new)
    with pytest.raises(ValueError, match="RingCache"):
        self_speculate(modules(5, 1, window=3), torch.ones(1, 4, dtype=torch.long), max_new_tokens=3)
    with pytest.raises(ValueError, match="rows for"):
        verify(torch.ones(1, 2), torch.ones(1, 2), [0], Dice(torch.Generator()))
