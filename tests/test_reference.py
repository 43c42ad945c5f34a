"""The reference against the spec's worked examples, against a second oracle, and against numbers worked by hand."""

from functools import partial
from math import inf, nan

import numpy as np
import pytest

from lossproof.conformance.host.case import Case
from lossproof.conformance.judge import exact
from lossproof.reference import circle_loss, judged, triplet_margin_loss
from lossproof.spec import clauses

evaluate = partial(judged.evaluate, triplet_margin_loss, None)
NAMES = ("anchor", "positive", "negative")
EXAMPLES = {
    f"{clause.id}-{example.index}": example
    for clause in clauses().values()
    for example in clause.examples
    if example.loss == "triplet_margin_loss"
}


# the worked examples


def arrays(example):
    return {name: np.array(value, bool if name == "mask" else float) for name, value in example.inputs.items()}


def chosen(tree, place=()):
    """Yield the places of the numbers in nested lists, and the numbers; not those that are "unspecified"."""
    if isinstance(tree, list):
        for i, branch in enumerate(tree):
            yield from chosen(branch, (*place, i))
    elif tree != "unspecified":
        yield place, tree


def assert_holds(got, tree, exact):
    """Compare with what an example states; "unspecified" stands for any number or row of them."""
    for place, want in chosen(tree):
        tolerance = 0 if exact else 1e-15 * (1 + abs(want)) if np.isfinite(want) else 0
        np.testing.assert_allclose(got[place], want, rtol=0, atol=tolerance)


def of_kind(kind):
    def wanted(example):
        return {"raises": example.raises, "gradient": bool(example.gradient)}.get(kind, not example.raises)

    found = [pytest.param(example, id=key) for key, example in EXAMPLES.items() if wanted(example)]
    return pytest.mark.parametrize("example", found)


def test_there_are_examples_of_values_gradients_and_errors():
    assert len(EXAMPLES) > 40


@of_kind("value")
def test_value_of_a_worked_example(example):
    got = triplet_margin_loss(**arrays(example), **example.parameters)
    assert_holds(got, example.value, example.exact)


@of_kind("value")
def test_shape_of_a_worked_example(example):
    got = triplet_margin_loss(**arrays(example), **example.parameters)
    assert np.shape(got) == np.shape(np.array(example.value, object))


@of_kind("gradient")
def test_gradient_of_a_worked_example(example):
    value = triplet_margin_loss(**arrays(example), **example.parameters)
    _, gradients = triplet_margin_loss(**arrays(example), **example.parameters, cotangent=np.ones_like(value))
    assert "weights" not in gradients  # they are constants: CV-44
    for name, want in example.gradient.items():
        if name != "weights":
            assert_holds(gradients[name], want, example.exact)


@of_kind("raises")
def test_error_of_a_worked_example(example):
    with pytest.raises((TypeError, ValueError)):
        triplet_margin_loss(**arrays(example), **example.parameters)


@pytest.mark.parametrize(
    ("got", "tree", "exact"),
    [([1.0], [1.0 + 2.0**-52], True), ([1.0], [1.0 + 1e-14], False), ([nan], [0.0], True), ([0.0], [nan], False)],
)
def test_assertion_of_an_example_can_fail(got, tree, exact):
    with pytest.raises(AssertionError):
        assert_holds(np.array(got), tree, exact)


# the second oracle: the same loss in mpmath


OPTIONS = [
    {"distance": "cosine"},
    {"distance": "squared_euclidean"},
    {"distance": "euclidean"},
    *({"p": p, "eps": eps} for p in (1.0, 1.5, 2.0, 7.0, inf) for eps in (0.0, 0.25)),
    *({"p": p, "eps": 0.5, "eps_at": eps_at} for p in (1.0, 1.5, 2.0, 3.0) for eps_at in ("root", "floor")),
]
UNIT = 2.0**-53
every_option = pytest.mark.parametrize("options", OPTIONS, ids=str)
every_seed = pytest.mark.parametrize("seed", [0, 1])


def draw(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape) for name in NAMES}


def case_of(options, seed, **more):
    """Return a random case away from every kink: float64 rounding turns none of its decisions."""
    rows, tangents = draw(3, 3, seed=seed), draw(3, 3, seed=seed + 100)
    cotangent = np.random.default_rng(seed + 200).standard_normal(3)
    reduction = ("none", "mean", "mean_nonzero")[seed % 3]
    parameters = {"margin": 0.75, "swap": bool(seed % 2), "reduction": reduction, **options, **more}
    case = Case(
        "triplet_margin_loss", rows, "float64", parameters, order=2, tangents=tangents,
        cotangent=cotangent if parameters["reduction"] == "none" else np.array(1.5),
    )  # fmt: skip
    assert not list(evaluate(**rows, **parameters).decisions.undecided(1e-9))
    return case


def assert_within(got, want, scale):
    """Compare entry by entry with 64 roundings of its error scale."""
    error = np.abs(got - want)
    np.testing.assert_array_less(error, 64 * UNIT * scale + 2.0**-1000)


@every_option
@every_seed
def test_value_is_that_of_the_second_oracle(options, seed):
    case = case_of(options, seed)
    found = evaluate(**case.inputs, **case.parameters)
    value, _, _ = exact.evaluate(case, case.cotangent)
    assert_within(found.value, value, found.scale)


@every_option
@every_seed
def test_gradient_is_the_derivative_of_the_second_oracle(options, seed):
    case = case_of(options, seed)
    found = evaluate(**case.inputs, **case.parameters)
    _, gradients, _ = exact.evaluate(case, case.cotangent)
    got, scales = found.vjp(case.cotangent), found.vjp_scale(case.cotangent)
    for name in NAMES:
        assert_within(got[name], gradients[name], scales[name])


@every_option
@every_seed
def test_second_derivative_is_the_derivative_of_that_of_the_second_oracle(options, seed):
    case = case_of(options, seed)
    found = evaluate(**case.inputs, **case.parameters)
    _, _, second = exact.evaluate(case, case.cotangent)
    got, scales = found.hvp(case.cotangent, case.tangents), found.hvp_scale(case.cotangent, case.tangents)
    for name in NAMES:
        assert_within(got[name], second[name], scales[name])


@every_option
def test_second_oracle_sees_a_wrong_margin(options):
    case = case_of(options, 0)
    found = evaluate(**case.inputs, **{**case.parameters, "margin": 0.75 + 1e-12, "reduction": "sum"})
    value, _, _ = exact.evaluate(Case(case.loss, case.inputs, "float64", {**case.parameters, "reduction": "sum"}), 1.0)
    with pytest.raises(AssertionError):
        assert_within(found.value, value, found.scale)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "mean_nonzero"])
def test_every_reduction_with_a_mask_is_that_of_the_second_oracle(reduction):
    rows, mask = draw(6, 3), np.array([True, True, False, True, False, True])
    parameters = {"margin": 0.1, "reduction": reduction}
    found = evaluate(**rows, mask=mask, **parameters)
    cotangent = np.ones(found.value.shape)
    case = Case("triplet_margin_loss", {**rows, "mask": mask}, "float64", parameters, cotangent=cotangent)
    value, gradients, _ = exact.evaluate(case, cotangent)
    assert_within(found.value, value, found.scale)
    for name in NAMES:
        assert_within(found.vjp(cotangent)[name], gradients[name], found.vjp_scale(cotangent)[name])


# decisions


def row(*numbers):
    return np.array([numbers], float)


DECISIONS = {  # name -> rows at its kink, options, and the other outcome of the decision that is named
    "hinge": ((row(0.0), row(1.0), row(2.0)), {"p": 1.0}, True),
    "swap": ((row(0.0), row(4.0), row(2.0)), {"p": 1.0, "swap": True}, True),
    "d(a, p): a coordinate is 0": ((row(0.0, 0.0), row(3.0, 0.0), row(0.0, 1.0)), {"p": 1.0}, 1),
    "d(a, n): a coordinate is 0": ((row(0.0, 0.0), row(3.0, 1.0), row(0.0, 1.0)), {"p": 1.0}, -1),
    "d(p, n): a coordinate is 0": (
        (row(0.0, 0.0), row(3.0, 1.0), row(3.0, 3.0)),
        {"p": 1.0, "swap": True},
        1,
    ),
    "d(a, p): the rows coincide": ((row(1.0, 2.0), row(1.0, 2.0), row(1.0, 2.5)), {"p": 2.0}, 1),
    "d(a, n): the rows coincide": ((row(1.0, 2.0), row(1.0, 3.0), row(1.0, 2.0)), {"p": 3.0}, 1),
    "d(a, p): largest coordinate": ((row(0.0, 0.0, 0.0), row(1.0, -2.0, 2.0), row(1.0, 0.0, 0.5)), {"p": inf}, 2),
    "d(a, p): above the floor": (
        (row(0.0, 0.0), row(4.0, 0.0), row(1.0, 0.0)),
        {"p": 2.0, "eps": 16.0, "eps_at": "floor"},
        True,
    ),
}
every_decision = pytest.mark.parametrize("name", DECISIONS, ids=str)


def at_kink(name, overrides=None):
    rows, options, _ = DECISIONS[name]
    options = {"margin": 1.0, "eps": 0.0, "reduction": "sum", **options}
    return judged.evaluate(triplet_margin_loss, overrides, *rows, **options)


@every_decision
def test_decision_is_undecided_at_its_kink(name):
    assert name in {place for (place, _), _ in at_kink(name).decisions.undecided(0.0)}


@every_decision
def test_decision_is_decided_away_from_its_kink(name):
    rows, options, _ = DECISIONS[name]
    away = [r + offset * np.arange(1, r.shape[-1] + 1) for r, offset in zip(rows, (0.0, 0.125, 0.375), strict=True)]
    found = evaluate(*away, **{"margin": 1.0, "eps": 0.0, "reduction": "sum", **options})
    assert name not in {place for (place, _), _ in found.decisions.undecided(1e-3)}


@every_decision
def test_other_outcome_is_among_those_reported(name):
    outcomes = {place: outcomes for (place, _), outcomes in at_kink(name).decisions.undecided(0.0)}
    assert DECISIONS[name][2] in outcomes[name]


def overridden(name):
    places = [place for place, _ in at_kink(name).decisions.undecided(0.0) if place[0] == name]
    return at_kink(name, dict.fromkeys(places, DECISIONS[name][2]))


@every_decision
def test_other_outcome_changes_the_gradient(name):
    here, there = (np.stack(list(found.vjp(np.ones(())).values())) for found in (at_kink(name), overridden(name)))
    assert np.any(here != there)


@every_decision
def test_other_outcome_keeps_the_value(name):
    assert overridden(name).value == at_kink(name).value


@pytest.mark.parametrize("zero", NAMES)
def test_zero_row_of_the_cosine_is_a_decision(zero):
    rows = {name: np.zeros((1, 2)) if name == zero else row(1.0, 2.0) for name in NAMES}
    found = evaluate(**rows, distance="cosine", margin=3.0)
    expected = {
        "anchor": {"d(a, p): the first row is 0", "d(a, n): the first row is 0"},
        "positive": {"d(a, p): the second row is 0"},
        "negative": {"d(a, n): the second row is 0"},
    }[zero]
    assert {name for (name, _), _ in found.decisions.undecided(0.0)} == expected


def test_row_that_takes_no_part_decides_nothing():
    zero = np.zeros((2, 1))
    found = evaluate(zero, zero, zero, margin=0.0, p=1.0, eps=0.0, swap=True, mask=np.array([True, False]))
    assert {place[0] for (_, place), _ in found.decisions.undecided(0.0)} == {0}


def test_swap_that_is_overridden_takes_the_other_distance():
    anchor, positive, negative = row(0.0), row(4.0), row(2.0)
    options = {"margin": 1.0, "p": 1.0, "eps": 0.0, "swap": True}
    found = judged.evaluate(triplet_margin_loss, {("swap", (0,)): True}, anchor, positive, negative, **options)
    assert [g.item() for g in found.vjp(np.ones(())).values()] == [-1.0, 0.0, 1.0]


# error scales, worked by hand from the pages' formulas


def test_error_scale_of_p_norm_is_of_the_differences_with_eps():
    found = evaluate(row(0.0, 0.0), row(3.0, -4.0), row(0.0, 8.0), margin=2.0, p=1.0, eps=0.5, reduction="sum")
    assert found.scale == 2.0 + (3.5 + 4.5) + (0.5 + 8.5)


def test_error_scale_of_p_norm_is_not_the_distance_where_eps_cancels():
    found = evaluate(row(0.0), row(0.5), row(0.5), margin=2.0, p=2.0, eps=0.5, reduction="sum")
    assert found.scale == 2.0 + 1.0 + 1.0


def test_error_scale_of_a_root_is_the_distance():
    options = {"p": 2.0, "eps": 16.0, "eps_at": "root"}
    found = evaluate(row(0.0, 0.0), row(3.0, 0.0), row(0.0, 0.0), margin=1.0, reduction="sum", **options)
    assert found.scale == 1.0 + 5.0 + 4.0


def test_error_scale_of_squared_euclidean_is_the_distance():
    options = {"distance": "squared_euclidean", "reduction": "sum"}
    found = evaluate(row(0.0, 0.0), row(3.0, 4.0), row(0.0, 2.0), margin=1.0, **options)
    assert found.scale == 1.0 + 25.0 + 4.0


def test_error_scale_of_cosine_is_two_a_distance():
    found = evaluate(row(2.0, 0.0), row(0.0, 3.0), row(4.0, 0.0), margin=0.5, distance="cosine", reduction="sum")
    assert found.scale == 0.5 + 2.0 + 2.0


def test_error_scale_of_cosine_grows_with_the_distance():
    found = evaluate(row(2.0, 0.0), row(-1.0, 0.0), row(4.0, 0.0), margin=0.5, distance="cosine", reduction="sum")
    assert found.scale == 0.5 + 4.0 + 2.0


def test_error_scale_under_swap_is_that_of_the_distance_taken():
    found = evaluate(row(0.0), row(3.0), row(5.0), margin=1.0, p=1.0, eps=0.0, swap=True, reduction="sum")
    assert found.scale == 1.0 + 3.0 + 2.0


def test_error_scale_of_a_mean_is_the_mean_of_the_scales():
    zero = np.zeros((2, 1))
    found = evaluate(zero, np.array([[1.0], [3.0]]), zero, margin=1.0, p=1.0, eps=0.0, reduction="mean")
    assert found.scale == ((1.0 + 1.0) + (1.0 + 3.0)) / 2


def test_gradient_scale_of_p_norm():
    found = evaluate(row(0.0, 0.0), row(3.0, -4.0), row(0.0, 1.0), margin=1.0, p=2.0, eps=0.0, reduction="sum")
    scales = found.vjp_scale(np.ones(()))
    np.testing.assert_allclose(scales["positive"], [[1 + 3 / 5, 1 + 4 / 5]], rtol=1e-15)
    np.testing.assert_allclose(scales["anchor"], [[(1 + 3 / 5) + 1, (1 + 4 / 5) + 2]], rtol=1e-15)


def test_gradient_scale_of_squared_euclidean():
    options = {"distance": "squared_euclidean", "reduction": "sum"}
    found = evaluate(row(0.0, 0.0), row(3.0, 4.0), row(0.0, 2.0), margin=1.0, **options)
    np.testing.assert_array_equal(found.vjp_scale(np.ones(()))["anchor"], [[6.0, 8.0 + 4.0]])


def test_gradient_scale_of_cosine_is_twice_the_inverse_norm():
    found = evaluate(row(2.0, 0.0), row(0.0, 4.0), row(8.0, 0.0), margin=0.5, distance="cosine", reduction="sum")
    scales = found.vjp_scale(np.ones(()))
    assert [scales[name].max() for name in NAMES] == [1.0 + 1.0, 0.5, 0.25]


# dtypes and extremes


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_loss_and_gradient_are_float64(dtype):
    rows = [np.ones((2, 3), dtype)] * 3
    value, gradients = triplet_margin_loss(*rows, cotangent=1.0)
    assert {value.dtype, *(g.dtype for g in gradients.values())} == {np.dtype("float64")}


@every_option
def test_longdouble_stays_longdouble(options):
    rows = {name: values.astype(np.longdouble) for name, values in draw(2, 3).items()}
    found = evaluate(**rows, swap=True, **options)
    everything = [found.value, *found.vjp(np.ones(())).values(), *found.hvp(np.ones(()), rows).values()]
    assert {np.asarray(a).dtype for a in everything} == {np.dtype(np.longdouble)}


@every_option
@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="no float wider than float64 here")
def test_longdouble_is_computed_wider_than_float64(options):
    rows = draw(2, 3)
    wide = evaluate(**{name: a.astype(np.longdouble) for name, a in rows.items()}, margin=9.0, **options)
    parameters = {"margin": 9.0, **options}
    value, _, _ = exact.evaluate(Case("triplet_margin_loss", rows, "float64", parameters, order=0), np.ones(()))
    narrow = np.abs(wide.value - value)  # the second oracle is rounded to float64 at its end
    assert narrow <= UNIT * abs(value) + 2.0**-60 * wide.scale


@pytest.mark.parametrize("p", [1e3, 1e5, 1e300])
@pytest.mark.parametrize("eps_at", ["difference", "root", "floor"])
@pytest.mark.parametrize("size", [1e-300, 1e-6, 1.0, 1e6, 1e300])
def test_large_p_gives_the_largest_coordinate(p, eps_at, size):
    anchor, positive = np.zeros((1, 3)), size * np.array([[0.25, -0.5, 1.0]])
    options = {"margin": 0.0, "p": p, "eps": 0.0, "eps_at": eps_at, "reduction": "sum"}
    value, gradients = triplet_margin_loss(anchor, positive, anchor, **options, cotangent=1.0)
    np.testing.assert_allclose(value, size, rtol=1e-12)
    np.testing.assert_allclose(gradients["positive"], [[0.0, 0.0, 1.0]], atol=1e-12)


# NaN, infinity and nothing


@pytest.mark.parametrize("reduction", ["mean", "mean_nonzero"])
@pytest.mark.parametrize("rows", [0, 2])
def test_mean_over_nothing_is_zero_with_gradient_zero(reduction, rows):
    inputs, mask = np.ones((rows, 3)), np.zeros(rows, bool)
    value, gradients = triplet_margin_loss(inputs, inputs, inputs, mask=mask, reduction=reduction, cotangent=1.0)
    assert value == 0
    np.testing.assert_array_equal(list(gradients.values()), np.zeros((3, rows, 3)))


def test_mean_nonzero_over_no_positive_term_is_zero_with_gradient_zero():
    rows = row(0.0), row(1.0), row(4.0)
    value, gradients = triplet_margin_loss(*rows, reduction="mean_nonzero", cotangent=1.0)
    assert value == 0
    assert not np.any(list(gradients.values()))


@every_option
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("swap", [False, True])
def test_nan_row_gives_a_nan_term_alone(options, name, swap):
    rows = {n: np.zeros((2, 3)) for n in NAMES}
    rows[name][0] = [9.0, nan, 0.0]
    terms = triplet_margin_loss(**rows, swap=swap, reduction="none", **options)
    assert np.isnan(terms).tolist() == [True, False]


@every_option
@pytest.mark.parametrize("content", [nan, inf, -inf])
def test_content_of_a_masked_row_changes_no_bit(options, content):
    rows, mask = draw(3, 3), np.array([True, False, True])
    dirty = {name: np.where(mask[:, None], values, content) for name, values in rows.items()}
    loss = partial(triplet_margin_loss, mask=mask, margin=9.0, swap=True, cotangent=1.0, **options)
    (value, gradients), (dirty_value, dirty_gradients) = loss(**rows), loss(**dirty)
    np.testing.assert_array_equal([dirty_value], [value])
    np.testing.assert_array_equal(list(dirty_gradients.values()), list(gradients.values()))


@every_option
@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_nonzero"])
def test_gradient_of_other_rows_survives_a_nan_row(options, reduction):
    rows = draw(3, 3)
    poisoned = {name: values.copy() for name, values in rows.items()}
    poisoned["positive"][0, 0] = nan
    (_, clean), (value, dirty) = (
        triplet_margin_loss(**r, margin=99.0, reduction=reduction, cotangent=1.0, **options) for r in (rows, poisoned)
    )
    assert np.isnan(value)
    for name in NAMES:
        np.testing.assert_array_equal(dirty[name][1:], clean[name][1:])


@every_option
def test_infinite_row_leaves_the_other_terms(options):
    rows = draw(3, 3)
    infinite = {name: values.copy() for name, values in rows.items()}
    infinite["negative"][0, 0] = inf
    clean, dirty = (triplet_margin_loss(**r, reduction="none", **options)[1:] for r in (rows, infinite))
    np.testing.assert_array_equal(dirty, clean)


def test_inputs_are_not_modified():
    rows = draw(3, 3)
    copies = {name: values.copy() for name, values in rows.items()}
    triplet_margin_loss(**rows, swap=True, mask=np.array([True, False, True]), cotangent=1.0)
    for name in NAMES:
        np.testing.assert_array_equal(rows[name], copies[name])


def test_cotangent_weighs_the_terms():
    zero, positive = np.zeros((2, 1)), np.array([[1.0], [2.0]])
    _, gradients = triplet_margin_loss(
        zero, positive, zero, p=1.0, eps=0.0, reduction="none", cotangent=np.array([2.0, -3.0])
    )
    assert gradients["positive"].tolist() == [[2.0], [-3.0]]


def test_a_candidate_with_nan_that_others_meet_leaves_the_gradient_of_the_anchor_itself():
    rng = np.random.default_rng(1)
    rows, others = rng.normal(size=(3, 2)), rng.normal(size=(5, 2))
    sets = {"candidate_labels": [0, 0, 1, 0, 1], "candidate_index": [0, 1, 2], "reduction": "mean"}
    others[0] = np.nan
    value, gradients = circle_loss(rows, [0, 0, 1], candidates=others, **sets, cotangent=1.0)
    assert np.isnan(value)
    assert np.isfinite(gradients["embeddings"][0]).all()  # CV-11
    assert np.isnan(gradients["embeddings"][1:]).all()


def test_a_candidate_with_nan_that_is_the_anchor_itself_leaves_its_gradient():
    rng = np.random.default_rng(0)
    rows, others = rng.normal(size=(3, 2)), rng.normal(size=(5, 2))
    sets = {"candidate_labels": [0, 0, 1, 0, 1], "candidate_index": [0, 1, 2], "reduction": "none"}
    poisoned = np.where(np.arange(5)[:, None] == 0, np.nan, others)
    for options in ({}, {"detach_weights": False}):
        (_, clean), (_, dirty) = (
            circle_loss(rows, [0, 0, 1], candidates=c, **sets, **options, cotangent=[1.0, 0.0, 0.0])
            for c in (others, poisoned)
        )
        for name, gradient in clean.items():
            np.testing.assert_array_equal(dirty[name], gradient)  # CV-11, PW-12
