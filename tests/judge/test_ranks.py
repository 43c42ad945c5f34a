"""Batches over processes: right implementations are not accused, whatever they return; groups end and start again."""

import numpy as np
import pytest

pytest.importorskip("torch")

from audit.kills import adapter
from audit.mutants import devices
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.arrays import encode
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.host.ranks import Ranks, in_blocks, merged
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.cases.structures import split_of
from lossproof.conformance.plan.plan import losses_known, plan

ROWS = {"embeddings": np.array([[0.0], [4.0], [1.0]]), "labels": np.array([0, 0, 1])}


def session(name, loss, function, ranks, where="RIGHT"):
    target = f"audit.mutants.devices:{where}.{name}"
    found = InProcess(Implementation({loss: function}, name=name, ranks=ranks, target=target), "torch", adapter())
    found.hello["modes"] = ["eager", *ranks.modes]
    return found


@pytest.mark.parametrize("name", devices.DECLARED)
def test_a_right_implementation_is_not_accused(name):
    kind, ranks = devices.DECLARED[name]
    loss, known = devices.NAMES[kind], losses_known()
    judge = Judge.of(session(name, loss, getattr(devices.RIGHT, name), ranks), known, ours=False, seed=5, examples=2)
    probes = [p for p in plan(loss, known[loss]) if p.clause.startswith("DD-")]
    results = {p.name: judge.run(p, CHECKS[p.check]) for p in probes}
    assert {key: r.findings for key, r in results.items() if r.findings} == {}
    asked = [r for r in results.values() if r.verdict == "conformant"]
    assert len(asked) > (4 if ranks.even else len(probes) / 2)  # an even one is not asked of other splits


def test_a_group_that_hangs_is_an_error_of_its_case_and_starts_again():
    asked = session("hard_skips", "batch_hard_triplet_loss", devices.BROKEN.hard_skips, devices.SHARE, "BROKEN")
    options = {"margin": 1.0, "reduction": "sum"}
    case = Case("batch_hard_triplet_loss", ROWS, "float64", options, "ranks:2", 1, np.ones(()), split=(0, 3))
    late = asked.ask(case)
    assert late.error["type"] in ("RankLate", "RanksApart")
    again = asked.ask(
        Case("batch_hard_triplet_loss", ROWS, "float64", options, "ranks:2", 1, np.ones(()), split=(1, 2))
    )
    assert again.value == 6.0
    assert again.gradients["embeddings"].tolist() == [[-1.0], [1.0], [0.0]]


@pytest.mark.parametrize(
    ("returns", "combine", "value", "gradient"),
    [
        ("share", "sum", 6.0, 1.0),
        ("scaled", "mean", 3.0, 0.5),
        ("total", "mean", 3.0, 0.5),
        ("share", "mean", 6.0, 0.5),
    ],
)
def test_one_answer_is_made_of_those_of_all_ranks(returns, combine, value, gradient):
    part = {"value": encode(np.array(3.0), "float32")}
    part["gradients"] = {n: encode(np.ones((1, 1)), "float32") for n in ("embeddings", "centers")}
    found = merged([part, part], "center_loss", Ranks(returns, combine))
    assert found["value"] == encode(np.array(value), "float32")
    assert found["gradients"]["embeddings"] == encode(np.full((2, 1), gradient), "float32")
    assert found["gradients"]["centers"] == encode(np.full((1, 1), 2 * gradient), "float32")


@pytest.mark.parametrize("kind", [None, "even", "uneven", "one without rows", "all on one"])
def test_a_split_has_every_row_once(kind):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for world in (2, 4):
            split = split_of(kind, 7, world, rng, even=False)
            assert (len(split), sum(split)) == (world, 7)
            if kind == "even":
                assert max(split) - min(split) <= 1
            if kind == "one without rows":
                assert 0 in split
            if kind == "all on one":
                assert max(split) == 7


def test_who_wants_equal_numbers_of_rows_gets_no_others():
    rng = np.random.default_rng(0)
    assert split_of("uneven", 8, 4, rng, even=True) == (2, 2, 2, 2)
    assert split_of(None, 7, 4, rng, even=True) == ()


def test_blocks_are_filled_up_with_what_nobody_may_look_at():
    found = in_blocks(np.array([[1.0], [2.0], [3.0]]), (2, 1), 2)
    np.testing.assert_array_equal(found, [[1.0], [2.0], [3.0], [np.nan]])
    assert in_blocks(np.array([True, True, True]), (0, 3), 3).tolist() == [False] * 3 + [True] * 3
