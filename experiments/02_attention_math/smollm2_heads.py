"""Which heads does a trained model need, and what are its positions worth? SmolLM2-135M
with parts taken out, one at a time.

    python experiments/02_attention_math/smollm2_heads.py

Nothing is trained. The weights are those of a 4-bit file (Q4_1), dequantised, so every
number here is about that file. Two texts:

    passages  8 entries of Python's language reference, 128 tokens of each (the model
              may well have read them: they stand for ordinary English about code)
    repeats   8 rows of 64 random tokens, each row twice; the second half can be known
              only by looking back

Removed, one at a time: each of 270 heads, all heads of a layer, the feed-forward
network of a layer; then groups of heads, chosen by what they attend to. Positions:
shifted, stretched, shuffled, switched off. Key/value heads: pooled from 3 to 1.

About 15 CPU minutes. Writes `experiments/results/smollm2_heads.json`.
"""

import json
import platform
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.evaluate.ablation import (
    attention_at,
    feed_forward_removed,
    heads_removed,
    rope_positions,
)
from course_lib.evaluate.intervals import student_interval
from course_lib.models.lm import CausalLM
from course_lib.models.real.load import RealLM, load_real
from course_lib.tasks.corpora import pydoc_topics

RESULT = Path(__file__).parents[1] / "results" / "smollm2_heads.json"
ROWS, LENGTH, PERIOD = 8, 128, 64
GROUP, DRAWS = 10, 5
"""How many heads are removed together, and how often at random."""


def passages(lm: RealLM) -> Tensor:
    """The first tokens of the longest entries, one a row."""
    entries = sorted(pydoc_topics().values(), key=len, reverse=True)[:ROWS]
    return torch.tensor([lm.tokenizer.engine.encode(e).ids[:LENGTH] for e in entries])


def repeats(lm: RealLM) -> Tensor:
    """Random tokens, and the same again."""
    vocab = lm.model.spec.vocab
    draw = torch.Generator().manual_seed(0)
    return torch.randint(vocab, (ROWS, PERIOD), generator=draw).repeat(1, 2)


@torch.no_grad()
def row_losses(model: CausalLM, tokens: Tensor, skip: int = 0) -> Tensor:
    """Mean loss of each row, nats a token, from the target `skip` on."""
    logits = model(tokens[:, :-1])
    target = tokens[:, 1:].flatten()
    losses = F.cross_entropy(logits.flatten(0, 1), target, reduction="none")
    return losses.view(len(tokens), -1)[:, skip:].mean(1)


class Continued:
    """Losses of a model that differs from layer `layer` on: what enters that layer is
    computed once.
    """

    def __init__(self, model: CausalLM, tokens: Tensor) -> None:
        self.model, self.tokens, self.layer = model, tokens, 0
        self.positions = torch.arange(tokens.shape[1] - 1).expand(len(tokens), -1)
        self.entering = model.embed(tokens[:, :-1], self.positions)

    @torch.no_grad()
    def losses(self) -> Tensor:
        """Mean loss of each row."""
        x = self.entering
        for block in self.model.blocks[self.layer :]:
            x = block(x, self.positions)
        logits = self.model.head(self.model.final_norm(x)).flatten(0, 1)
        target = self.tokens[:, 1:].flatten()
        losses = F.cross_entropy(logits, target, reduction="none")
        return losses.view(len(self.tokens), -1).mean(1)

    @torch.no_grad()
    def advance(self) -> None:
        """Go on to the next layer, with this one whole."""
        self.entering = self.model.blocks[self.layer](self.entering, self.positions)
        self.layer += 1


def against(losses: Tensor, whole: Tensor) -> list[float]:
    """The difference to the whole model, mean over the rows, and half its interval."""
    return [round(x, 5) for x in student_interval(losses - whole).plus_minus]


def by_layer(model: CausalLM, tokens: Tensor) -> dict:
    """Each head, all heads and the feed-forward network of each layer, removed."""
    run = Continued(model, tokens)
    whole = run.losses()
    heads, all_heads, feed_forward = [], [], []
    for layer, block in enumerate(model.blocks):
        own = [(layer, head) for head in range(block.mixer.heads)]
        heads.append([])
        for head in own:
            with heads_removed(model, [head]):
                heads[-1].append(against(run.losses(), whole))
        with heads_removed(model, own):
            all_heads.append(against(run.losses(), whole))
        with feed_forward_removed(model, [layer]):
            feed_forward.append(against(run.losses(), whole))
        run.advance()
        print(f"layer {layer + 1} of {len(model.blocks)}", flush=True)
    return {
        "loss": round(whole.mean().item(), 5),
        "heads": heads,
        "all_heads": all_heads,
        "feed_forward": feed_forward,
    }


def kinds_of_attention(model: CausalLM, rows: Tensor) -> Tensor:
    """Attention of each head [l h 3] to the previous token, to the one after the
    earlier copy, and to the first token, over the second half of the repeated rows.
    """
    place = torch.arange(rows.shape[1])
    query, key = place[:, None], place[None, :]
    first = (key == 0).expand(len(place), -1)
    wanted = [key == query - 1, key == query - PERIOD + 1, first]
    wanted = [keys.expand(len(rows), -1, -1) for keys in wanted]
    return attention_at(model, rows, wanted, (place >= PERIOD).expand(len(rows), -1))


def groups(model: CausalLM, text: Tensor, rows: Tensor, found: Tensor) -> dict:
    """Loss on both texts without groups of heads chosen by what they attend to."""
    heads = found.shape[1]
    top = {
        name: found[..., kind].flatten().topk(GROUP).indices.tolist()
        for name, kind in (("previous", 0), ("induction", 1))
    }
    special = {*top["previous"], *top["induction"]}
    rest = [i for i in range(found[..., 0].numel()) if i not in special]
    draw = torch.Generator().manual_seed(1)
    for number in range(DRAWS):
        chosen = torch.randperm(len(rest), generator=draw)[:GROUP]
        top[f"random {number}"] = [rest[i] for i in chosen.tolist()]
    result = {}
    whole = row_losses(model, text), row_losses(model, rows, PERIOD)
    for name, chosen in ({"none": []} | top).items():
        pairs = [divmod(i, heads) for i in chosen]
        with heads_removed(model, pairs):
            losses = row_losses(model, text), row_losses(model, rows, PERIOD)
        result[name] = {
            "heads": pairs,
            "text": round(losses[0].mean().item(), 5),
            "repeats": round(losses[1].mean().item(), 5),
            "text_difference": against(losses[0], whole[0]) if pairs else None,
            "repeats_difference": against(losses[1], whole[1]) if pairs else None,
        }
        print(
            "without", name, result[name]["text"], result[name]["repeats"], flush=True
        )
    return result


def positions(model: CausalLM, text: Tensor) -> dict:
    """Loss with rotary positions that are not the tokens' own."""
    shuffled = torch.randperm(LENGTH, generator=torch.Generator().manual_seed(2))
    moves = {
        "as they are": lambda p: p,
        "shifted by 1,000": lambda p: p + 1000,
        "twice as far apart": lambda p: 2 * p,
        "backwards": lambda p: LENGTH - p,
        "shuffled": lambda p: shuffled[p],
        "switched off": torch.zeros_like,
    }
    whole, result = row_losses(model, text), {}
    for name, move in moves.items():
        with rope_positions(model, move):
            losses = row_losses(model, text)
        result[name] = {
            "loss": round(losses.mean().item(), 5),
            "difference": against(losses, whole),
            "largest_change_of_a_row": (losses - whole).abs().max().item(),
        }
        print(name, result[name]["loss"], flush=True)
    return result


def pooled_keys_and_values(model: CausalLM, text: Tensor) -> dict:
    """Loss after the 3 key/value heads of every layer were replaced by their mean."""
    whole = row_losses(model, text)
    kept = {name: w.clone() for name, w in model.state_dict().items()}
    for block in model.blocks:
        for matrix in (block.mixer.wk, block.mixer.wv):
            split = matrix.weight.data.unflatten(0, (block.mixer.kv_heads, -1))
            split.copy_(split.mean(0, keepdim=True).expand_as(split))
    losses = row_losses(model, text)
    model.load_state_dict(kept)
    return {
        "loss": round(losses.mean().item(), 5),
        "difference": against(losses, whole),
    }


def main() -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    begun, lm = time.process_time(), load_real("smollm2-135m")
    text, rows = passages(lm), repeats(lm)
    found = kinds_of_attention(lm.model, rows)
    result = {
        "model": lm.name,
        "precision": lm.precision,
        "rows": ROWS,
        "targets": ROWS * (LENGTH - 1),
        "positions": positions(lm.model, text),
        "pooled_keys_and_values": pooled_keys_and_values(lm.model, text),
        "attention": {
            name: [[round(x, 4) for x in layer] for layer in found[..., kind].tolist()]
            for kind, name in enumerate(("previous", "induction", "first"))
        },
        "groups": groups(lm.model, text, rows, found),
        "removed": by_layer(lm.model, text),
    }
    result["cpu_seconds"] = round(time.process_time() - begun)
    result["machine"] = {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "processor": platform.processor() or platform.machine(),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
