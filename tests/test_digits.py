"""The digits example: its parts, on a few steps."""

import os
import sys
import warnings
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from lossproof.spec import losses

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
pytest.importorskip("sklearn")
sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "digits"))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what scikit-learn says while it is imported is not ours to mend
    shared = import_module("shared")

every_objective = pytest.mark.parametrize("name", shared.OBJECTIVES)


@every_objective
def test_objective_names_a_loss_of_the_spec_and_its_arguments(name):
    objective = shared.OBJECTIVES[name]
    page = losses()[objective.loss]
    assert [key for key, entry in page.inputs.items() if not entry.get("optional")] == list(objective.arguments)
    assert set(objective.options) <= set(page.parameters)


@every_objective
def test_run_is_the_same_for_the_same_seed(name):
    one, two = shared.setup(name), shared.setup(name)
    np.testing.assert_array_equal(one.batches, two.batches)
    np.testing.assert_array_equal(one.weights["w1"], two.weights["w1"])
    assert one.batches.shape == (2 * shared.STEPS, len(one.objective.passes), shared.ROWS)


def test_rows_are_batches_of_eight_digits_with_eight_rows_each():
    labels = np.repeat(np.arange(10), 20)
    drawn, _ = shared._draw("rows", labels, 128, np.random.default_rng(0))
    for batch in drawn.reshape(2, 64):
        digits, counts = np.unique(labels[batch], return_counts=True)
        assert len(digits) == 8
        assert set(counts) == {8}
        assert len(set(batch)) == 64


@every_objective
def test_frameworks_agree_on_the_first_steps(name):
    run = shared.setup(name)
    run = replace(run, batches=run.batches[:3], dissimilar=run.dissimilar[:3])
    found = []
    for framework in ("torch", "tensorflow", "jax"):
        pytest.importorskip(framework)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            before, *steps, after = import_module(f"train_{framework}").train(run, "float64")
        assert (before != after).any()
        found.append(steps)
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-12)


def test_logits_and_centers_reach_the_loss_and_are_trained(monkeypatch):
    def loss(logits, embeddings, labels, centers):  # stands in for a joint objective; the same text in every framework
        return ((logits - 1) ** 2)[0, 0] + ((embeddings - 1 - centers[0]) ** 2)[0, 0]

    objective = shared.Objective("stand_in", "rows", ("logits", "embeddings", "labels", "centers"), width=3)
    monkeypatch.setitem(shared.OBJECTIVES, "stand_in", objective)
    run = shared.setup("stand_in")
    run = replace(run, batches=run.batches[:4], dissimilar=run.dissimilar[:4])
    found = []
    for framework in ("torch", "tensorflow", "jax"):
        pytest.importorskip(framework)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = import_module(f"train_{framework}")
            monkeypatch.setattr(trainer.losses, "stand_in", loss, raising=False)
            found.append(list(trainer.train(run, "float64"))[1:-1])
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-12)


def test_val_at_far_counts_the_pairs_below_the_threshold():
    embeddings = np.array([0.0, 1.0, 3.0, 10.0])[:, None]
    labels = np.array([0, 0, 0, 1])
    # same: 1, 4, 9; different: 49, 81, 100. FAR 0 allows t < 49, FAR 0.5 allows t < 81.
    assert shared.val_at_far(embeddings, labels, 0.0) == 1.0
    assert shared.val_at_far(10 * np.array([[0.0], [1.0], [0.5]]), np.array([0, 0, 1]), 0.01) == 0.0


def test_batch_over_two_processes_trains_as_one_process_does():
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone, spread, plan = (import_module(name) for name in ("train_torch", "spread_torch", "spread"))
    run = plan.plan(3)
    _, *losses, _ = alone.train(run, "float64")
    *found, weights = spread.train(run, "float64", (40, 24))
    np.testing.assert_allclose(found, losses, rtol=1e-12)
    assert weights.size == sum(w.size for w in run.weights.values())
    # Gradients that are added up where they should be averaged, or the other way round, are another training.
    other = replace(run, objective=replace(run.objective, options={"combine": "sum"}))
    *wrong, _ = spread.train(other, "float64", (40, 24))
    assert abs(2 * wrong[-1] / losses[-1] - 1) > 1e-3


def test_splits_are_of_the_whole_batch_and_batches_are_dealt():
    plan = import_module("spread")
    for splits in plan.SPLITS.values():
        assert all(len(split) == world and sum(split) == shared.ROWS for world, split in splits.items())
    assert [np.arange(5)[part].tolist() for part in plan.parts((2, 0, 3))] == [[0, 1], [], [2, 3, 4]]
    run = plan.plan(2)
    assert run.batches.shape == (2, 1, shared.ROWS)
    assert len(set(run.labels[run.batches[1, 0, :8]])) == 8
    assert set(run.batches[1, 0]) == set(shared.setup("batch_hard").batches[1, 0])
