"""The recorded measurements of chapter 4 are those of their files: their first updates repeat."""

import importlib.util

import pytest
import torch

from course_lib.kit.runs import load_run
from course_lib.tasks.clusters import Clusters, relative_error
from course_lib.train.recording import experiment_files


def module(name):
    (file,) = experiment_files(name)
    spec = importlib.util.spec_from_file_location(name, file)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize("variant", ["nothing", "strong loss", "z-loss", "bias"])
def test_the_first_updates_of_who_balances_repeat(variant):
    balance = module("balance")
    first = torch.tensor([1.0] * 8 + [0.0] * 8)
    runs = load_run("balance").facts["results"]["runs"]
    recorded = next(r for r in runs if (r["variant"], r["seed"], r["updates"]) == (variant, 0, 300))
    rows = []
    for row in balance.trained(variant, 0, [first, 1 - first], 300):
        rows.append(row)
        if row["update"] == 60:
            break
    for name in ("error", "max/mean", "entropy", "logit size"):
        again = torch.tensor([row[name] for row in rows])
        torch.testing.assert_close(again, torch.tensor(recorded[name][:4]), rtol=0, atol=0.02)


def test_sizes_of_fine_grained_are_those_of_its_layers():
    fine = module("fine_grained")
    recorded = load_run("fine_grained").facts["results"]["parameters"]
    for name, given in fine.LAYERS.items():
        assert sum(p.numel() for p in fine.layer(**given).parameters()) == recorded[name]
        columns = given["e"] * given["f"] + given["shared"]
        visited = given["k"] * given["f"] + given["shared"]
        assert (columns, visited) == (128, 32)


def test_clusters_need_more_than_one_map_and_their_own_maps_solve_them():
    world = Clusters(3)
    x, y = world.batch(torch.ones(16), 4000)
    nearest = torch.cdist(x, world.centres).argmin(1)
    own = torch.einsum("nij,nj->ni", world.maps[nearest], x - world.centres[nearest])
    one = torch.linalg.lstsq(x, y).solution
    assert relative_error(own, y) < 0.35 < 0.6 < relative_error(x @ one, y)
    assert relative_error(torch.zeros_like(y), y) == 1


def test_a_cluster_that_is_not_popular_is_not_met():
    world = Clusters(0, clusters=4, d=8)
    x, _ = world.batch(torch.tensor([0.0, 1.0, 0.0, 0.0]), 500)
    assert torch.linalg.norm(x.mean(0) - world.centres[1]) < 0.5
