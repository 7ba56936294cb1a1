"""NSGA-II on our space and budget, by Optuna: the best patterns of each generation have
children. Imported only when asked, for Optuna is an extra.

    generation 0   patterns drawn at random, until `population` of them are in budget
    parents        of parents and children together the best `population`, front by
                   front; of the last front those that stand most alone
    children       two parents, letters from either, here and there one drawn anew

Terms:
    NSGA-II, evolutionary search, genetic algorithm: selection by fronts and crowding,
        crossover and mutation -> optuna_search
    Optuna, search framework: trials are asked for and told what came out ->
        optuna_search
"""

import optuna

from course_lib.search.searches import Search
from course_lib.search.space import Objectives, Space

ASKED = 100  # times as many trials as evaluations, at most


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
    has asked a hundred times as often.

    A pattern that is out of budget, or known, is pruned: it costs no evaluation and is
    nobody's parent.

    Args:
        space: of patterns and its budget.
        objectives: from a pattern to `count` numbers that are to be small.
        evaluations: different patterns that are evaluated, the first ones included.
        population: patterns of a generation; at least 2.
        seed: of Optuna's sampler, whose other settings are its own.

    *Source*: NSGA-II, Deb et al. 2002, IEEE Transactions on Evolutionary Computation 6,
        182-197; Optuna, Akiba et al. 2019, arXiv:1907.10902, `NSGAIISampler`.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(population_size=population, seed=seed)
    study = optuna.create_study(directions=["minimize"] * count, sampler=sampler)
    search, letters = Search(), list(space.letters)
    for _ in range(ASKED * evaluations):
        if len(search.found) == evaluations:
            break
        trial = study.ask()
        pattern = "".join(
            trial.suggest_categorical(f"layer {i}", letters)
            for i in range(space.layers)
        )
        if pattern in search.found or not space.fits(pattern):
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        search.found[pattern] = objectives(pattern)
        study.tell(trial, search.found[pattern])
    return search
