"""What a finding says of its numbers: the tolerance that was used, what did not come back, what else would be right."""

import numpy as np

import lossproof.reference as reference
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.plan import losses_known, plan, plan_of_function
from lossproof.conformance.report.certificate import tolerance
from lossproof.spec import losses

LOSS = "triplet_margin_loss"


def found(function, name, framework, check, clause, ours=False):
    """Return the mismatches that one check finds in a function, of the probes of one clause."""
    session, known = InProcess(Implementation({name: function}), framework), losses_known()
    judge = Judge.of(session, known, ours=ours, examples=1)
    asked = plan(name, known[name]) if name in losses() else plan_of_function(name)
    probes = [probe for probe in asked if (probe.check, probe.clause) == (check, clause)]
    return [f.mismatch for probe in probes for f in judge.run(probe, CHECKS[check]).findings]


def off(logits, labels, *, label_smoothing=0.0, reduction="mean", cotangent=None):
    """Return a cross-entropy that is off on the rows of one example."""
    given = {"label_smoothing": label_smoothing, "reduction": reduction, "cotangent": cotangent}
    got = reference.cross_entropy_loss(logits, labels, **given)
    error = 1e-3 if logits.tolist() == [[0.0, 0.0], [1.0, 3.0]] else 0.0
    return (got[0] + error, got[1]) if isinstance(got, tuple) else got + error


def test_an_inexact_example_says_the_tolerance_it_was_held_to():
    (mismatch, *_) = found(off, "cross_entropy_loss", "numpy", "examples", "CE-12")
    assert 0 < mismatch.budget < abs(mismatch.got - mismatch.want)
    assert tolerance(mismatch) == f"within {mismatch.budget:.3g}"


def test_an_exact_example_of_ours_says_bit_for_bit():
    def wrong(**given):
        got = getattr(reference, LOSS)(**given)
        if given.get("mask") is None:
            return got
        return (got[0] + 2.0**-40, got[1]) if isinstance(got, tuple) else got + 2.0**-40

    (mismatch, *_) = found(wrong, LOSS, "numpy", "examples", "CV-7", ours=True)
    assert (mismatch.where, tolerance(mismatch)) == ("loss", "bit for bit")


def test_an_example_with_several_numbers_says_which_one_is_wrong():
    def wrong(**given):
        got = getattr(reference, LOSS)(**given)
        if given.get("mask") is None or given.get("reduction") != "none":
            return got
        more = np.arange(len(given["anchor"])) == 1
        return (got[0] + more, got[1]) if isinstance(got, tuple) else got + more

    (mismatch, *_) = found(wrong, LOSS, "numpy", "examples", "CV-1")
    assert (mismatch.where, mismatch.got, mismatch.want) == ("loss[1]", 1.0, 0.0)


def test_a_gradient_that_did_not_come_back_is_not_a_shape():
    def halved(**given):
        got = getattr(reference, LOSS)(**given)
        return (got[0], {n: g for n, g in got[1].items() if n != "anchor"}) if isinstance(got, tuple) else got

    (mismatch, *_) = found(halved, LOSS, "numpy", "gradient", "TM-7")
    assert (mismatch.where, mismatch.got) == ("gradient of anchor", "no gradient came back for anchor")
    assert str(mismatch.want).startswith("shape (")


def clamped_update(centers, embeddings, labels, *, alpha=0.5, mask=None):
    """Move a label outside the range into it."""
    inside = np.clip(labels, 0, len(centers) - 1)
    return reference.update_centers(centers, embeddings, inside, alpha=alpha, mask=mask)


def test_a_label_out_of_range_of_an_update_wants_an_error_or_the_row_left_out():
    (mismatch, *_) = found(clamped_update, "update_centers", "numpy", "refusals", "CV-33")
    assert mismatch.want.startswith("an error, or ")
    assert mismatch.want.endswith(" as without that row")


def test_labels_of_another_dtype_say_the_tolerance_that_was_used():
    def narrow(embeddings, labels, *, margin=0.2, distance="squared_euclidean", reduction="mean", cotangent=None):
        given = {"margin": margin, "distance": distance, "reduction": reduction, "cotangent": cotangent}
        got = reference.batch_hard_triplet_loss(embeddings, labels, **given)
        more = 1.0 if labels.dtype == np.int32 else 0.0
        return (got[0] + more, got[1]) if isinstance(got, tuple) else got + more

    mismatches = found(narrow, "batch_hard_triplet_loss", "numpy", "invariances", "CV-31")
    (mismatch,) = (m for m in mismatches if m.where == "loss with labels in int32")
    assert 0 < mismatch.budget < 1e-3
