"""Does one attention layer among three of Mamba-2 change the loss on real text?

The stack `ssas` on the standard run: four blocks of 64 channels, the third with
attention, the others with Mamba-2, all with the feed-forward networks that make them of
one size. It is trained with the seeds, batches, rate and budgets of the experiment
`state_space_language` of chapter 5, which has the stacks `aaaa` and `ssss` of the same
blocks, so that losses can be compared seed by seed.
"""

from dataclasses import replace

from course_lib.train.experiment import Experiment, Measurement, Trial, run_one
from course_lib.train.recording import load_experiment

WORD = "ssas"


def stack() -> Experiment:
    """The experiment of chapter 5, with the mixed stack in place of its base."""
    chapter5 = load_experiment("state_space_language")
    attends, state = (chapter5.variants[x] for x in ("attention", "Mamba-2"))
    blocks = {"a": attends.layers[0], "s": state.layers[0]}
    mixed = replace(attends, layers=tuple(blocks[letter] for letter in WORD))
    return replace(chapter5, variants={WORD: mixed, "Mamba-2": state}, keep=(WORD,))


def trained() -> dict:
    """Held-out losses of every seed at both budgets, with parameters and seconds."""
    stated, runs = stack(), []
    for updates in stated.updates:
        for seed in stated.seeds:
            found = run_one(stated, Trial(WORD, seed, updates))
            kept = ("seed", "updates", "loss", "curve", "cpu_s")
            runs.append({name: found.record[name] for name in kept})
    size = sum(p.numel() for p in found.model.parameters())
    return {"word": WORD, "parameters": size, "runs": runs}


experiment = Measurement(
    asks="Does one attention layer among three of Mamba-2 change the loss on real "
    "text?",
    measure=trained,
)
