"""A finding says which defaults of the page were assumed, and how another value is declared that explains it."""

from dataclasses import replace

import numpy as np
import pytest

from lossproof.conformance import Implementation
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.plan import losses_known, plan
from lossproof.conformance.report.assumptions import assumption
from lossproof.conformance.report.certificate import finding_entry
from lossproof.reference import batch_hard_triplet_loss, semi_hard_triplet_loss, triplet_margin_loss

LOSS = "triplet_margin_loss"


def first_finding(function, loss=LOSS, check="value", **claims):
    origin = {loss: ("tool", "function")}
    session = InProcess(Implementation({loss: function}, origin=origin, **claims), "numpy")
    found = losses_known((loss,))
    judge = Judge.of(session, found, ours=False, examples=4)
    probes = [probe for probe in plan(loss, found[loss]) if probe.check == check]
    finding = next(f for probe in probes for f in judge.run(probe, CHECKS[probe.check]).findings)
    return finding, session.hello


def with_options(**fixed):
    """Return a loss that works with other options than the page's, and has no parameter for them."""

    def loss(anchor, positive, negative, *, margin=1.0, cotangent=None):
        return triplet_margin_loss(anchor, positive, negative, margin=margin, cotangent=cotangent, **fixed)

    return loss


@pytest.mark.parametrize(
    ("fixed", "assumed", "declared"),
    [
        pytest.param({"eps": 0.0}, {"eps": 1e-6}, "--fixed eps=0", id="no eps"),
        pytest.param({"reduction": "none"}, {"reduction": "mean"}, "--fixed reduction=none", id="a loss for each row"),
        pytest.param({"p": 1.0}, {"p": 2.0}, "--fixed p=1", id="another norm"),
        pytest.param({"swap": True}, {"swap": False}, "--fixed swap=true", id="swap"),
    ],
)
def test_the_value_that_explains_a_finding_is_named_with_how_to_declare_it(fixed, assumed, declared):
    said = assumption(*first_finding(with_options(**fixed)))
    assert (said["assumed"], said["declare"].endswith(f"declare {declared}")) == (assumed, True), said


def test_two_values_that_explain_a_finding_together():
    said = assumption(*first_finding(with_options(eps=0.25, eps_at="root", p=1.0, reduction="none")))
    assert "reduction" in said["assumed"]


def test_what_is_declared_is_no_assumption():
    function = with_options(eps=0.0, reduction="none")
    said = assumption(*first_finding(function, fixed={"reduction": "none"}))
    assert said["assumed"] == {"eps": 1e-6}


SHARED = {"distance": "p_norm", "eps_at": "difference", "swap": False, "reduction": "mean"}


def test_what_no_other_value_explains_has_the_defaults_and_no_advice():
    def twice(anchor, positive, negative, *, margin=1.0, p=2.0, eps=1e-6, cotangent=None):
        found = triplet_margin_loss(anchor, positive, negative, margin=margin, p=p, eps=eps, cotangent=cotangent)
        return 3 * found if cotangent is None else (3 * found[0], {n: 3 * g for n, g in found[1].items()})

    said = assumption(*first_finding(twice))
    assert said == {"assumed": {"soft_margin": False, **SHARED}}


def test_a_default_of_an_option_that_does_not_apply_is_no_assumption():
    def twice(anchor, positive, negative, *, margin=1.0, cotangent=None):
        options = {"margin": margin, "distance": "cosine", "cotangent": cotangent}
        found = triplet_margin_loss(anchor, positive, negative, **options)
        return 3 * found if cotangent is None else (3 * found[0], {n: 3 * g for n, g in found[1].items()})

    said = assumption(*first_finding(twice, fixed={"distance": "cosine"}))
    assert set(said["assumed"]) == {"soft_margin", "swap", "reduction"}


def test_a_function_that_takes_any_keyword_assumes_nothing():
    def loss(anchor, positive, negative, *, margin=1.0, cotangent=None, **others):
        return triplet_margin_loss(anchor, positive, negative, margin=2 * margin, cotangent=cotangent)

    assert assumption(*first_finding(loss)) == {}


def test_another_loss_is_explained_by_its_own_page():
    def loss(embeddings, labels, *, margin=0.3, cotangent=None):
        options = {"margin": margin, "distance": "squared_euclidean", "cotangent": cotangent}
        return batch_hard_triplet_loss(embeddings, labels, **options)

    said = assumption(*first_finding(loss, "batch_hard_triplet_loss"))
    assert said["declare"].endswith("declare --fixed distance=squared_euclidean")


def test_an_entry_of_a_certificate_has_both():
    finding, hello = first_finding(with_options(eps=0.0))
    entry = finding_entry(finding, hello, {"target": "tool.py:function"})
    assert entry["assumed"] == {"eps": 1e-6}
    assert "--fixed eps=0" in entry["declare"]


def test_a_port_declares_it_in_its_hello():
    finding, hello = first_finding(with_options(eps=0.0))
    assert assumption(finding, hello | {"origin": {}})["declare"].endswith('declare "fixed": {"eps": 0} in hello')


def test_what_is_declared_makes_the_finding_go_away():
    function = with_options(eps=0.0)
    with pytest.raises(StopIteration):
        first_finding(function, fixed={"eps": 0.0})
    assert np.isfinite(function(*np.ones((3, 1, 2))))


def test_values_that_the_smallest_call_does_not_tell_apart_are_both_named():
    def loss(embeddings, labels, *, margin=1.0, cotangent=None):
        return semi_hard_triplet_loss(embeddings, labels, margin=margin, reduction="mean_nonzero", cotangent=cotangent)

    said = assumption(*first_finding(loss, "semi_hard_triplet_loss"))
    assert said["declare"].endswith("declare --fixed reduction=sum, or --fixed reduction=mean_nonzero")


def test_a_loss_of_0_is_explained_by_nothing():
    found, hello = first_finding(with_options(eps=0.0))
    assert "declare" not in assumption(replace(found, mismatch=replace(found.mismatch, got=0.0)), hello)


def test_a_default_of_its_own_is_declared_as_fixed():
    def loss(anchor, positive, negative, margin=0.2, cotangent=None):
        return triplet_margin_loss(anchor, positive, negative, margin=margin, cotangent=cotangent)

    assert first_finding(loss)[0].clause == "TM-9"
    with pytest.raises(StopIteration):
        first_finding(loss, fixed={"margin": 0.2})


def in_half_arithmetic(anchor, positive, negative, *, margin=1.0, cotangent=None):
    """A loss that comes back in the dtype of its rows."""
    found = triplet_margin_loss(anchor, positive, negative, margin=margin, cotangent=cotangent)
    own = anchor.dtype.type
    return own(found) if cotangent is None else (own(found[0]), {name: own(g) for name, g in found[1].items()})


@pytest.mark.parametrize(("origin", "line"), [(LOSS, "--limit dtype=float32,float64"), ("", "in hello")])
def test_what_is_wrong_in_half_formats_alone_says_how_to_decline_them(origin, line):
    finding, hello = first_finding(in_half_arithmetic, check="interface", fixed={"eps": 1e-6})
    said = assumption(finding, {**hello, "origin": {origin: ("tool", "function")}})
    assert (said["assumed"], said["declare"].endswith(line)) == ({"dtype": "float16"}, True), said


def test_half_formats_that_were_claimed_are_not_declined():
    claims = {"fixed": {"eps": 1e-6}, "limits": {"dtype": ["float32", "float16"]}}
    assert "dtype" not in assumption(*first_finding(in_half_arithmetic, check="interface", **claims)).get("assumed", {})
