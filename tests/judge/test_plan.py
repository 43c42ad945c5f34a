"""The plan: each probe's options are those of its check, and each loss has one typed card that plan and judge read."""

import ast
from pathlib import Path

import pytest

from lossproof import conformance
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.hello import EVERY_MODE
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan import probe as probes
from lossproof.conformance.plan.cases.structures import LATER
from lossproof.conformance.plan.contract import LossCases
from lossproof.conformance.plan.conventions import MODES
from lossproof.conformance.plan.plan import everything, losses_known
from lossproof.conformance.plan.probe import Options, Probe
from lossproof.spec import clauses, losses

OF = {
    "invariances": probes.OfInvariances,
    "examples": probes.OfExamples,
    "masking": probes.OfMasking,
    "errors": probes.OfErrors,
    "nan": probes.OfNan,
    "labels": probes.OfLabels,
    "ranges": probes.OfRanges,
    "second_set": probes.OfSecondSet,
    "weights": probes.OfWeights,
    "determinism": probes.OfDeterminism,
    "devices": probes.OfDevices,
    "vectors": probes.OfVectors,
    "functions": probes.OfFunctions,
    "function_purity": probes.OfPurity,
    "refusals": probes.OfRefusals,
}
EVERYTHING = everything()
CONTRACT = [p for room in ("plan", "judge", "checks") for p in (Path(conformance.__file__).parent / room).rglob("*.py")]


@pytest.mark.parametrize("check", CHECKS)
def test_every_probe_has_the_options_of_its_check(check):
    assert all(p.of(OF.get(check, probes.OfAgreement)) for p in EVERYTHING if p.check == check)


def test_the_options_of_another_check_are_a_mistake():
    with pytest.raises(TypeError, match="options must be OfLabels"):
        Probe("circle_loss", "labels", "CV-33", options=probes.OfNan(against_zero=True)).of(probes.OfLabels)


def test_an_option_that_no_check_reads_is_a_mistake():
    with pytest.raises(TypeError, match="own_claus"):
        Options(own_claus=True)


def test_a_probe_without_options_has_the_defaults_of_its_check():
    assert Probe("circle_loss", "labels", "CV-33").of(probes.OfLabels) == probes.OfLabels()


def test_every_mode_of_the_plan_is_one_that_an_implementation_may_offer():
    asked = {mode for p in EVERYTHING for mode in p.vary.get("mode", ())}
    assert (asked | MODES.keys()) - set(EVERY_MODE) == set()
    assert asked == set(EVERY_MODE)


@pytest.mark.parametrize(
    ("modes", "asked"), [(["eager", "compiled", "captured"], "captured"), (["compiled"], "compiled")]
)
def test_who_captures_no_graph_is_asked_compiled(modes, asked):
    assert Offer("triplet_margin_loss", None, modes=modes).choices("mode", ["captured"]) == [asked]


def test_who_does_neither_is_asked_in_no_such_mode():
    assert Offer("triplet_margin_loss", None).choices("mode", ["captured"]) == []


@pytest.mark.parametrize("loss", losses())
def test_the_card_of_a_loss_names_clauses_and_fields_that_there_are(loss):
    own = losses_known()[loss]
    assert own.loss == loss
    assert isinstance(own, LossCases)
    named = {*own.formula.values(), *own.boundaries.clauses, *own.gradient_of.values()}
    named |= {*filter(None, [own.row_clause]), *(cause.clause for cause in own.causes)}
    named |= {clause for row in own.blames for clause in (row.value, row.gradient) if clause}
    assert named <= clauses().keys()
    assert {*own.basic, *own.varied, *own.controlled} <= own.space.keys()
    fields = {name for card in losses_known().values() for name in card.space}
    assert {name for row in own.blames for name in (row.field, row.beside) if name} <= fields


@pytest.mark.parametrize("path", CONTRACT, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_is_guessed_from_a_namespace(path):
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    names = {(getattr(call.func, "id", ""), len(call.args)) for call in calls}
    allowed = {("hasattr", 2)} if path.parts[-3:] == ("judge", "exact", "__init__.py") else set()
    assert names & {("getattr", 3), ("hasattr", 2), ("vars", 1), ("SimpleNamespace", 0)} <= allowed


@pytest.mark.parametrize("name", losses())
def test_a_field_that_came_later_changes_no_number_where_it_is_not_used(name):
    cases, offer = losses_known()[name], Offer(name, None)
    after = {field: values[0] if values else "eager" for field, values in cases.space.items()}
    before = {field: choice for field, choice in after.items() if (field, choice) not in LATER.items()}
    old, new = (cases.build(structure, offer, 0, 0).inputs for structure in (before, after))
    assert len(before) < len(after)
    assert old.keys() == new.keys()
    assert all((old[n] == new[n]).all() for n in old)


def test_a_field_that_came_later_is_drawn_from_where_it_is_used():
    cases, offer = losses_known()["semi_hard_triplet_loss"], Offer("semi_hard_triplet_loss", None)
    plain = {field: values[0] if values else "eager" for field, values in cases.space.items()}
    old, new = (cases.build({**plain, "soft_margin": soft}, offer, 0, 0).inputs for soft in (False, True))
    assert (old["embeddings"] != new["embeddings"]).any()
