"""Right code that was accused once, and what was asked of it: the judge finds nothing there."""

import jax
import numpy as np
import pytest
import torch

import lossproof.backends.torch as ours
from lossproof import reference
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.plan import losses_known, plan, plan_of_function
from lossproof.spec import losses


def findings_of(name, function, framework, which, *, is_ours=False, **declared):
    session, known = InProcess(Implementation({name: function}, **declared), framework), losses_known()
    judge = Judge.of(session, known, ours=is_ours, seed=0, examples=2)
    asked = [p for p in (plan(name, known[name]) if name in losses() else plan_of_function(name)) if which(p)]
    assert asked
    return [finding for probe in asked for finding in judge.run(probe, CHECKS[probe.check]).findings]


def _bounded(embeddings, labels, max_positives=None):
    """Give NaN for an anchor with too many positives, as a function does whose labels are on a device."""
    most = int((labels[:, None] == labels).sum(1).max()) - 1 if len(labels) else 0
    if max_positives is not None and most > max_positives >= 1 and bool((labels != labels[0]).any()):
        return embeddings.sum() * torch.nan
    return ours.semi_hard_triplet_loss(embeddings, labels, max_positives=max_positives)


def test_too_many_positives_may_be_nan():
    name = "semi_hard_triplet_loss"
    assert not findings_of(name, _bounded, "torch", lambda p: p.label == "more positives")


def test_too_many_positives_may_not_be_a_number():
    def unbounded(embeddings, labels, max_positives=None):
        return ours.semi_hard_triplet_loss(embeddings, labels)

    (found,) = findings_of("semi_hard_triplet_loss", unbounded, "torch", lambda p: p.label == "more positives")
    assert (found.clause, found.mismatch.want) == ("PW-8", "an error, or nan")


def test_labels_without_a_mask_are_as_many_as_they_are():
    def triplet_masks(labels):
        return reference.triplet_masks(labels)

    assert not findings_of("triplet_masks", triplet_masks, "numpy", lambda p: p.clause == "CV-31")


@pytest.mark.parametrize(
    ("name", "fixed", "which"),
    [
        ("triplet_margin_loss", {"swap": True}, lambda p: p.check == "invariances" and p.clause == "TM-5"),
        ("semi_hard_triplet_loss", {"pairwise": "direct"}, lambda p: p.check == "boundary"),
        ("semi_hard_triplet_loss", {"reduction": "none"}, lambda p: p.check == "boundary"),
    ],
)
def test_an_option_that_is_fixed_is_not_given(name, fixed, which):
    arrays = list(losses()[name].inputs)[: 3 if name == "triplet_margin_loss" else 2]

    def function(*args, **named):
        assert {*named} <= {*arrays}
        return getattr(ours, name)(*args, **named, **fixed)

    scope = {"function": function}
    exec(f"def plain({', '.join(arrays)}): return function({', '.join(arrays)})", scope)
    assert not findings_of(name, scope["plain"], "torch", which, fixed=fixed)


def test_what_numpy_computes_has_no_derivatives_in_jax():
    def best_accuracy(distances, same):
        found = reference.best_accuracy(np.asarray(distances), np.asarray(same))
        return tuple(jax.numpy.asarray(part) for part in found)

    assert not findings_of("best_accuracy", best_accuracy, "jax", lambda p: p.check == "function_purity")


def test_a_mask_that_is_not_implemented_is_not_offered():
    def contrastive_loss(x1, x2, dissimilar, mask=None):
        if mask is not None:
            raise NotImplementedError("no masks yet")
        return ours.contrastive_loss(x1, x2, dissimilar)

    assert not findings_of("contrastive_loss", contrastive_loss, "torch", lambda p: p.check == "masking")


def test_a_mask_that_is_refused_is_a_fault():
    def contrastive_loss(x1, x2, dissimilar, mask=None):
        if mask is not None:
            raise ValueError("mask")
        return ours.contrastive_loss(x1, x2, dissimilar)

    assert findings_of("contrastive_loss", contrastive_loss, "torch", lambda p: p.check == "masking")


@pytest.mark.parametrize("name", ["batch_all_triplet_loss", "semi_hard_triplet_loss"])
def test_an_index_that_is_no_candidate_counts_as_none_in_a_mean(name):
    def asked(probe):
        return probe.clause == "PW-14" and probe.label == "captured"

    assert not findings_of(name, getattr(ours, name), "torch", asked, is_ours=True)
