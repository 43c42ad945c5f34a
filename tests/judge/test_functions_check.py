"""Functions that are no losses, judged: the reference's own are right, and each broken one is named by its clause."""

from dataclasses import replace

import numpy as np
import pytest

import lossproof.reference as reference
from audit.kills import kill, mutants
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.functions import SLACK, failure, room
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import CONFORMANT, NONCONFORMANT, UNSUPPORTED
from lossproof.conformance.plan.plan import plan_of_function
from lossproof.spec import functions


def findings(name, function):
    """Return what the judge finds in one function: clause and check label, in the order of the plan."""
    session = InProcess(Implementation({name: function}, name="test", limits={"dtype": ["float64"]}), "numpy")
    judge = Judge.of(session, {}, ours=False)
    results = [judge.run(probe, CHECKS[probe.check]) for probe in plan_of_function(name)]
    return [(finding.clause, finding.label) for result in results for finding in result.findings]


@pytest.mark.parametrize("name", functions())
def test_the_reference_is_right(name):
    assert findings(name, getattr(reference, name)) == []


def without_the_one(centers, embeddings, labels, *, alpha=0.5, mask=None):
    moved = np.array(centers)
    for j in range(len(centers)):
        own = embeddings[(labels == j) & (True if mask is None else mask)]
        if len(own):
            moved[j] += alpha * (own - centers[j]).mean(0)
    return moved


def with_itself(labels, *, mask=None):
    positive, negative = reference.triplet_masks(labels, mask=mask)
    return positive | np.eye(len(labels), dtype=bool), negative


def not_normalised(*arguments, normalise=True, **options):
    return reference.update_oim_memory(*arguments, normalise=False, **options)


def exclusive(distances, same, thresholds):
    return reference.verification_rates(distances, same, np.nextafter(thresholds, -np.inf))


BROKEN = [
    ("update_centers", without_the_one, "CN-11"),
    ("triplet_masks", with_itself, "MI-1"),
    ("update_oim_memory", not_normalised, "OI-14"),
    ("verification_rates", exclusive, "VE-1"),
]


@pytest.mark.parametrize(("name", "function", "clause"), BROKEN, ids=[name for name, _, _ in BROKEN])
def test_a_broken_function_is_named_by_its_clause(name, function, clause):
    def called(**given):
        inputs = [given.pop(key) for key in functions()[name]["inputs"] if key in given and key != "mask"]
        return function(*inputs, **given)

    assert clause in [found for found, _ in findings(name, called)]


def test_the_blame_is_right_where_an_option_is_fixed():
    def one_number(lookup_table, queue, head, embeddings, labels, *, momentum=0.5, unlabelled=-1, mask=None):
        options = {"momentum": momentum, "normalise": False, "mask": mask}
        return reference.update_oim_memory(lookup_table, queue, head, embeddings, labels, **options)

    name = "update_oim_memory"
    said = Implementation({name: one_number}, name="test", limits={"dtype": ["float64"]}, fixed={"normalise": False})
    judge = Judge.of(InProcess(said, "numpy"), {}, ours=False)
    drawn = next(probe for probe in plan_of_function(name) if getattr(probe.options, "plain", False))
    found = judge.run(drawn, CHECKS[drawn.check]).findings
    assert [finding.clause for finding in found] == ["OI-17"]


def test_a_function_that_knows_the_examples_alone_is_caught():
    """It answers what the page prints, and nothing else rightly."""

    def remembered(centers, embeddings, labels, *, alpha=0.5, mask=None):
        right = reference.update_centers(centers, embeddings, labels, alpha=alpha, mask=mask)
        whole = np.all((embeddings * 4 == np.rint(embeddings * 4)) | np.isnan(embeddings))
        return right if whole else right + 1.0

    assert [label for _, label in findings("update_centers", remembered)] == ["drawn"]


def test_a_function_that_is_not_offered_is_unsupported():
    session = InProcess(Implementation({"triplet_masks": reference.triplet_masks}, name="test"), "numpy")
    judge = Judge.of(session, {}, ours=False)
    verdicts = {judge.run(probe, CHECKS[probe.check]).verdict for probe in plan_of_function("update_centers")}
    assert verdicts == {UNSUPPORTED}
    verdicts = {judge.run(probe, CHECKS[probe.check]).verdict for probe in plan_of_function("triplet_masks")}
    assert verdicts == {CONFORMANT}


@pytest.mark.parametrize("size", [2.0**-40, 1.0, 2.0**40])
def test_what_arithmetic_may_err_by_is_of_the_size_of_the_numbers(size):
    inputs = {"centers": np.zeros((2, 1)), "embeddings": np.full((3, 1), size), "labels": np.array([0, 0, 1])}
    case = Case("update_centers", inputs, "float64", {}, order=0, results=True)
    assert room(case, [np.full((2, 1), size / 2)]) == (SLACK + 3) * 2.0**-53 * size


@pytest.mark.parametrize("label", ["dtype of head", ""])
def test_a_number_that_is_wrong_in_a_plain_call_is_named_by_the_formula(label):
    def called(**given):
        table, *rest = reference.update_oim_memory(**given)
        return table + 0.5, *rest

    session = InProcess(Implementation({"update_oim_memory": called}, name="test"), "numpy")
    judge = Judge.of(session, {}, ours=False)
    assert judge.plain.right("update_oim_memory", "drawn", lambda: True)
    clause = "CV-33" if not label else "OI-21"
    plan = plan_of_function("update_oim_memory")
    probe = next(p for p in plan if (p.clause, p.label) == (clause, label) and (label or p.check == "refusals"))
    assert [finding.clause for finding in judge.run(probe, CHECKS[probe.check]).findings] == ["OI-13"]


def verdicts(implementation, asked):
    """Return what comes of the probes of one check, by clause and label."""
    judge = Judge.of(InProcess(implementation, "numpy"), {}, ours=False)
    (name,) = implementation.losses
    probes = [probe for probe in plan_of_function(name) if probe.check == asked]
    return {(probe.clause, probe.label): judge.run(probe, CHECKS[asked]) for probe in probes}


def maskless(centers, embeddings, labels, *, alpha=0.5):
    return reference.update_centers(centers, embeddings, labels, alpha=alpha)


def wrapped(centers, embeddings, labels, *, alpha=0.5):
    return reference.update_centers(centers, embeddings, labels % len(centers), alpha=alpha)


@pytest.mark.parametrize(("function", "verdict"), [(maskless, CONFORMANT), (wrapped, NONCONFORMANT)])
def test_an_update_without_a_mask_is_asked_about_labels_out_of_range(function, verdict):
    said = Implementation({"update_centers": function}, name="test", limits={"dtype": ["float64"]})
    assert verdicts(said, "refusals")["CV-33", ""].verdict == verdict


def without_options(lookup_table, queue, head, embeddings, labels):
    return reference.update_oim_memory(lookup_table, queue, head, embeddings, labels, unlabelled=100, normalise=False)


@pytest.mark.parametrize(("check", "probe"), [("functions", ("OI-13", "drawn")), ("refusals", ("CV-33", ""))])
def test_options_that_no_call_gives_are_those_that_are_declared(check, probe):
    fixed = {"unlabelled": 100, "normalise": False}
    said = Implementation({"update_oim_memory": without_options}, "test", fixed=fixed, limits={"dtype": ["float64"]})
    found = verdicts(said, check)
    assert {result.verdict for result in found.values()} <= {CONFORMANT, UNSUPPORTED}
    assert found[probe].verdict == CONFORMANT


@pytest.mark.parametrize("limits", [{"unlabelled": [-1]}, {"normalise": [True], "momentum": [0.25]}])
def test_values_that_are_not_claimed_are_not_asked(limits):
    def few(**given):
        assert all(given.get(name, own[0]) in own for name, own in limits.items())
        return reference.update_oim_memory(**given)

    said = Implementation({"update_oim_memory": few}, "test", limits={**limits, "dtype": ["float64"]})
    drawn = verdicts(said, "functions")
    assert drawn["OI-13", "drawn"].verdict == CONFORMANT
    assert {result.verdict for result in drawn.values()} == {CONFORMANT, UNSUPPORTED}


def test_a_function_of_float32_alone_is_judged():
    def single(labels, centers, embeddings, alpha=0.5, mask=None):
        return reference.update_centers(centers, embeddings, labels, alpha=alpha, mask=mask).astype(np.float32)

    said = Implementation({"update_centers": single}, "test", limits={"dtype": ["float32"]})
    assert {result.verdict for result in verdicts(said, "functions").values()} == {CONFORMANT, UNSUPPORTED}
    assert verdicts(said, "functions")["CN-11", "drawn"].verdict == CONFORMANT


def test_a_rate_by_a_rounded_inverse_is_wrong_for_our_backends_alone():
    inverse = mutants()["ve-inverse"]  # what XLA makes of a quotient
    assert kill(inverse).clause == "VE-5"
    assert kill(replace(inverse, ours=False)).clause is None


def gradients_of_logits(change):
    """Return what the judge finds where the gradients of the logits come back changed."""
    import lossproof.backends.torch as backend

    class Changed(InProcess):
        def ask(self, case):
            answer = super().ask(case)
            return replace(answer, gradients={n: change(g) for n, g in answer.gradients.items()})

    session = Changed(Implementation({"arcface_logits": backend.arcface_logits}, "test"), "torch")
    judge = Judge.of(session, {}, ours=False)
    probe = next(p for p in plan_of_function("arcface_logits") if p.label == "gradient")
    return [(f.clause, f.mismatch.where) for f in judge.run(probe, CHECKS[probe.check]).findings]


def test_gradients_of_another_shape_or_size_are_found():
    assert gradients_of_logits(lambda g: g) == []
    assert gradients_of_logits(lambda g: g * (1 + 1e-6))[0][0] == "AF-20"
    assert gradients_of_logits(lambda g: g[..., None]) == [("AF-20", "shape of the gradient of embeddings")]


def test_a_hinge_that_rounding_decides_may_be_counted_either_way():
    """At the margin up to the last bits; one that is off by far more is not."""

    def counted(share):
        def fraction(embeddings, labels, **options):
            right = reference.batch_all_active_fraction(embeddings, labels, **options)
            return np.float64(share) if len(labels) == 3 else right

        session = InProcess(Implementation({"batch_all_active_fraction": fraction}, "test"), "numpy")
        judge = Judge.of(session, {}, ours=False)
        near = np.array([[0.0], [1.0], [3.0 + 2.0**-50]])
        case = Case("batch_all_active_fraction", {"embeddings": near, "labels": np.array([0, 0, 1])}, "float64", {})
        return failure(judge, replace(case, parameters={"margin": 2.0}, order=0, results=True)) is None

    assert [counted(share) for share in (0.5, 1.0, 0.0, 0.25)] == [True, True, False, False]
