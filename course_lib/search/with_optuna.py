"""The same search by Optuna, as a user of a framework would run it: its NSGA-II on our
space and budget. Imported only when asked, for Optuna is an extra.

Terms:
    Optuna, search framework: trials are asked for and told what came out ->
        optuna_search
"""

import optuna

from course_lib.search.searches import Search
from course_lib.search.space import Objectives, Space


def optuna_search(
    space: Space,
    objectives: Objectives,
    evaluations: int,
    *,
    count: int = 2,
    population: int = 12,
    seed: int = 0,
) -> Search:
    """Let Optuna choose letters until so many different patterns were evaluated, or it
    has asked twenty times as often.

    Args:
        space, objectives, evaluations, population: as in `nsga2`.
        count: how many objectives there are.

    *Source*: Akiba et al. 2019, arXiv:1907.10902; its sampler `NSGAIISampler`.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(population_size=population, seed=seed)
    study = optuna.create_study(directions=["minimize"] * count, sampler=sampler)
    search, letters = Search(), list(space.letters)
    for _ in range(20 * evaluations):
        if len(search.found) == evaluations:
            break
        trial = study.ask()
        pattern = "".join(
            trial.suggest_categorical(f"layer {i}", letters)
            for i in range(space.layers)
        )
        if not space.fits(pattern):
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        if pattern not in search.found:
            search.found[pattern] = objectives(pattern)
        study.tell(trial, search.found[pattern])
    return search
