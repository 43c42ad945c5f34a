"""The judge's own assertions: each is made to fail once, and to pass just inside its budget."""

from dataclasses import replace
from math import inf, nan

import jsonschema
import numpy as np
import pytest

import lossproof.reference as reference
from lossproof.conformance.checks import CHECKS
from lossproof.conformance.host.arrays import FORMATS, decode, encode, rounded
from lossproof.conformance.host.case import Answer, Case, from_json, read_answer, to_json
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.compare import against, bits, grade_of, is_coarse, overflown, shares
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.oracle import Oracle, output_slack
from lossproof.conformance.judge.results import CONFORMANT, NONCONFORMANT, OTHER_CHOICE, UNSUPPORTED, Mismatch
from lossproof.conformance.plan.plan import losses_known, plan
from lossproof.conformance.report.certificate import schema
from lossproof.reference import triplet_margin_loss

LOSS = "triplet_margin_loss"
MODULES = losses_known()
PROBES = {probe.name.removeprefix(f"{LOSS}/"): probe for probe in plan(LOSS, MODULES[LOSS])}
EVERYTHING = ("value", "gradient")


def case(anchor=(0.0, 0.0), positive=(3.0, 4.0), negative=(0.0, 1.0), dtype="float64", order=1, **parameters):
    rows = {"anchor": [anchor], "positive": [positive], "negative": [negative]}
    inputs = {name: np.array(row) for name, row in rows.items()}
    options = {"eps": 0.0, "reduction": "sum", **parameters}
    return Case(LOSS, inputs, dtype, options, order=order, cotangent=np.ones(()))


CASE = case()
ORACLE = Oracle(ours=True)
EXPECTED = ORACLE.expected(CASE)


def right(**changes):
    """Return the answer that is right in every bit, with changes."""
    gradients = {name: np.array(g, float) for name, g in EXPECTED.gradients.items()}
    return replace(Answer(np.array(5.0), "float64", gradients, dict.fromkeys(gradients, "float64")), **changes)


def gradients(name, change):
    found = dict(right().gradients)
    found[name] = change(found[name])
    return found


# budgets


@pytest.mark.parametrize(("ours", "allowance"), [(True, 2**0.5), (False, 2 + 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_budget_is_that_of_the_conventions(ours, allowance, dtype):
    """S = m + d(a, p) + d(a, n) = 1 + 5 + 1 and G = 1 + |g_k| for each distance that reaches an entry."""
    unit = (4 + allowance) * FORMATS[dtype].roundoff
    expected = Oracle(ours=ours).expected(case(dtype=dtype))
    np.testing.assert_allclose(float(expected.value_budget("direct")), unit * 7, rtol=1e-12)
    for name, scale in {"anchor": [1.6 + 1, 1.8 + 2], "positive": [1.6, 1.8], "negative": [1, 2]}.items():
        np.testing.assert_allclose(expected.gradient_budget("direct")[name][0].astype(float), unit * np.array(scale))


# against


def test_a_right_answer_matches():
    assert against(CASE, right(), EXPECTED, EVERYTHING)[0] is None


@pytest.mark.parametrize(
    ("changes", "kind", "where"),
    [
        pytest.param({"value": np.array(5.5)}, "value", "loss", id="value"),
        pytest.param({"value": np.array(nan)}, "value", "loss", id="NaN for a value"),
        pytest.param({"value": np.array(inf)}, "value", "loss", id="infinity for a value"),
        pytest.param({"value": np.array([5.0])}, "failure", "shape of the loss", id="shape"),
        pytest.param(
            {"gradients": gradients("positive", lambda g: g * [[1.0, 2.0]])},
            "gradient",
            "gradient of positive[0, 1]",
            id="gradient",
        ),
        pytest.param(
            {"gradients": gradients("anchor", lambda g: g * nan)},
            "gradient",
            "gradient of anchor[0, 0]",
            id="NaN for a gradient",
        ),
        pytest.param(
            {"gradients": gradients("negative", np.ravel)},
            "failure",
            "shape of the gradient of negative",
            id="shape of a gradient",
        ),
        pytest.param({"gradients": {}}, "failure", "gradient of anchor", id="no gradients"),
        pytest.param({"error": {"type": "ValueError", "message": "no"}}, "raised", "the call", id="an error"),
        pytest.param({"failure": "crashed"}, "failure", "the call", id="a crash"),
    ],
)
def test_a_wrong_answer_is_a_mismatch_that_says_where(changes, kind, where):
    mismatch, _ = against(CASE, right(**changes), EXPECTED, EVERYTHING)
    assert (mismatch.kind, mismatch.where) == (kind, where)


def test_a_wrong_second_derivative_is_a_mismatch():
    asked = replace(CASE, order=2, tangents={name: np.ones((1, 2)) for name in CASE.inputs})
    expected = ORACLE.expected(asked)
    second = {name: np.array(s, float) + 1 for name, s in expected.second.items()}
    assert against(asked, right(second=second), expected, ("second",))[0].kind == "second"


def test_a_number_where_NaN_is_right_is_a_mismatch():
    asked = case(anchor=(nan, 0.0), order=0)
    assert against(asked, right(), ORACLE.expected(asked), ("value",))[0].kind == "value"


def test_NaN_where_NaN_is_right_is_none():
    asked = case(anchor=(nan, 0.0), order=0)
    assert against(asked, right(value=np.array(nan)), ORACLE.expected(asked), ("value",))[0] is None


def test_a_mismatch_without_numbers_errored():
    assert against(CASE, right(value=np.zeros(3)), EXPECTED, ("value",))[0].errored


def test_a_wrong_number_did_not_error():
    assert not against(CASE, right(value=np.array(6.0)), EXPECTED, ("value",))[0].errored


def test_a_part_that_is_not_asked_about_is_not_compared():
    assert against(CASE, right(gradients={}), EXPECTED, ("value",))[0] is None


def test_an_unspecified_unit_may_be_anything():
    asked = replace(case(reduction="none", order=0), cotangent=np.ones(1))
    answer = right(value=np.array([7.0]))
    assert against(asked, answer, ORACLE.expected(asked), ("value",), unspecified={"loss": np.array([True])})[0] is None


def test_a_specified_unit_may_not_be_anything():
    asked = replace(case(reduction="none", order=0), cotangent=np.ones(1))
    answer = right(value=np.array([7.0]))
    assert (
        against(asked, answer, ORACLE.expected(asked), ("value",), unspecified={"loss": np.array([False])})[0].kind
        == "value"
    )


# Budgets


SINGLE = case(dtype="float32")  # float64 answers, so that a share of the budget can be told from the next
WANTED = ORACLE.expected(SINGLE)


def off(part, share):
    """Return an answer whose error in one part is a share of its budget."""
    if part == "value":
        room = WANTED.value_budget("direct") + output_slack(WANTED.value, "float32")
        return right(value=np.array(5.0 + share * float(room)), value_dtype="float32")
    want, budget = WANTED.gradients["negative"], WANTED.gradient_budget("direct")["negative"]
    return right(gradients=gradients("negative", lambda g: want + share * (budget + output_slack(want, "float32"))))


@pytest.mark.parametrize("part", EVERYTHING)
@pytest.mark.parametrize("sign", [1, -1])
def test_an_error_just_inside_its_budget_passes(part, sign):
    assert against(SINGLE, off(part, 0.99 * sign), WANTED, (part,))[0] is None


@pytest.mark.parametrize("part", EVERYTHING)
@pytest.mark.parametrize("sign", [1, -1])
def test_an_error_just_outside_its_budget_fails(part, sign):
    assert against(SINGLE, off(part, 1.01 * sign), WANTED, (part,))[0].kind == part


@pytest.mark.parametrize("part", EVERYTHING)
def test_the_share_of_the_budget_is_reported(part):
    assert against(SINGLE, off(part, 0.5), WANTED, (part,))[1][part] == pytest.approx(0.5, rel=1e-6)


def test_the_excess_of_a_mismatch_is_a_multiple_of_the_budget():
    assert against(SINGLE, off("value", 8.0), WANTED, ("value",))[0].excess == pytest.approx(8.0, rel=1e-6)


def test_float32_has_the_budget_of_float32():
    answer = right(value=np.array(5.0 + 1e-7), value_dtype="float32")
    assert against(case(dtype="float32"), answer, ORACLE.expected(case(dtype="float32")), ("value",))[0] is None


def test_float64_has_not_the_budget_of_float32():
    assert against(CASE, right(value=np.array(5.0 + 1e-7)), EXPECTED, ("value",))[0].kind == "value"


def test_the_allowance_of_others_is_wider_than_ours():
    assert Oracle(ours=False).expected(CASE).value_budget("direct") > EXPECTED.value_budget("direct")


FAR = case(anchor=(1000.0, 1000.0), positive=(1003.0, 1004.0), negative=(1000.0, 1001.0))


def test_far_from_the_origin_normwise_has_a_wider_budget_than_centred():
    budget = ORACLE.expected(FAR).value_budget
    assert budget("normwise") > 100 * budget("centred")


def test_near_the_others_centred_has_no_narrower_budget_than_direct():
    budget = ORACLE.expected(FAR).value_budget
    assert budget("centred") >= budget("direct")


def test_a_right_answer_has_the_best_grade():
    assert grade_of(CASE, right(), EXPECTED, EVERYTHING) == "direct"


def test_a_wrong_answer_has_no_grade():
    assert grade_of(CASE, right(value=np.array(9.0)), EXPECTED, EVERYTHING) is None


def test_equal_infinities_have_no_share():
    assert shares(np.array(inf), np.array(inf), np.array(0.0), "float64") == 0


def test_opposite_infinities_have_an_infinite_share():
    assert shares(np.array(inf), np.array(-inf), np.array(1.0), "float64") == inf


def test_the_slack_of_an_output_is_half_a_step_of_its_format():
    assert output_slack(np.array(1.0), "float16") == 2.0**-11 + 2.0**-14


@pytest.mark.parametrize(
    ("got", "want", "dtype", "right"),
    [
        (inf, 81525.0, "float16", True),
        (-inf, -81525.0, "float16", True),
        (-inf, 81525.0, "float16", False),
        (inf, 60000.0, "float16", False),
        (inf, 81525.0, "float32", False),
        (nan, 81525.0, "float16", False),
    ],
)
def test_an_infinity_is_the_rounding_of_a_number_beyond_the_largest(got, want, dtype, right):
    assert overflown(np.array(got), np.array(want), np.array(43.0), dtype) == right
    assert (shares(np.array(got), np.array(want), np.array(43.0), dtype) <= 1) == right


# is_coarse


def coarse(excess, dtype="float32"):
    mismatch = Mismatch("value", "loss", 1.0, 2.0, 0.1, excess)
    return is_coarse(mismatch, case(dtype=dtype))


@pytest.mark.parametrize(("dtype", "ratio"), [("float32", 2.0**16), ("float64", 2.0**29), ("float16", 2.0**16)])
def test_an_error_of_coarser_arithmetic_is_coarse(dtype, ratio):
    assert coarse(ratio, dtype)


@pytest.mark.parametrize(("dtype", "ratio"), [("float32", 2.0**17), ("float64", 2.0**30), ("float16", 2.0**17)])
def test_an_error_beyond_coarser_arithmetic_is_not(dtype, ratio):
    assert not coarse(ratio, dtype)


@pytest.mark.parametrize("excess", [inf, nan])
def test_NaN_and_infinity_are_not_coarse(excess):
    assert not coarse(excess)


# bits


def test_the_same_numbers_have_the_same_bits():
    assert bits(right()) == bits(right())


def test_one_bit_more_is_other_bits():
    assert bits(right()) != bits(right(value=np.nextafter(np.array(5.0), 6.0)))


def test_zeros_of_either_sign_have_the_same_bits():
    assert bits(right(value=np.array(0.0))) == bits(right(value=np.array(-0.0)))


def test_another_shape_is_other_bits():
    assert bits(right(value=np.array(5.0))) != bits(right(value=np.array([5.0])))


# Arrays on the wire


NUMBERS = {
    "float64": [[0.0, -0.0, 1.0, -2.5], [inf, -inf, nan, 5e-324]],
    "float32": [[0.0, -0.0, 1.0, -2.5], [inf, -inf, nan, 2.0**-149]],
    "float16": [[0.0, -0.0, 1.0, -2.5], [inf, -inf, nan, 65504.0]],
    "bfloat16": [[0.0, -0.0, 1.0, -2.5], [inf, -inf, nan, 2.0**-133]],
}


@pytest.mark.parametrize("dtype", NUMBERS)
def test_floats_survive_the_wire(dtype):
    array, name = decode(encode(np.array(NUMBERS[dtype]), dtype))
    assert (array.tobytes(), name) == (np.array(NUMBERS[dtype]).tobytes(), dtype)


@pytest.mark.parametrize("dtype", ["bool", "int32", "int64"])
def test_other_arrays_survive_the_wire(dtype):
    given = np.array([[1, 0], [0, 1]], dtype)
    array, name = decode(encode(given, dtype))
    assert (array.tolist(), array.dtype, name) == (given.tolist(), given.dtype, dtype)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 1, 3)])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "bool"])
def test_shapes_survive_the_wire(dtype, shape):
    assert decode(encode(np.zeros(shape), dtype))[0].shape == shape


def test_the_wire_is_little_endian():
    assert encode(np.array(1.0, ">f8"), "float64")["data"] == "AAAAAAAA8D8="


@pytest.mark.parametrize(
    "wire",
    [
        None,
        5.0,
        [1.0, 2.0],
        "AAAAAAAA8D8=",
        {},
        {"dtype": "float64", "shape": []},
        {"dtype": "float64", "shape": [2], "data": "AAAAAAAA8D8="},
        {"dtype": "float64", "shape": [], "data": "AAAA"},
        {"dtype": "float64", "shape": [], "data": "not base64!"},
        {"dtype": "float64", "shape": [], "data": None},
        {"dtype": "float64", "shape": None, "data": "AAAAAAAA8D8="},
        {"dtype": "float64", "shape": ["a"], "data": "AAAAAAAA8D8="},
        {"dtype": "float64", "shape": [-1], "data": "AAAAAAAA8D8="},
        {"dtype": "float64", "shape": [10**30], "data": "AAAAAAAA8D8="},
        {"dtype": "float99", "shape": [], "data": "AAAAAAAA8D8="},
        {"dtype": "complex64", "shape": [], "data": "AAAAAAAA8D8="},
        {"dtype": "object", "shape": [], "data": "AAAAAAAA8D8="},
        {"dtype": None, "shape": [], "data": "AAAAAAAA8D8="},
    ],
    ids=str,
)
def test_what_is_no_array_is_refused(wire):
    with pytest.raises(ValueError, match="not an array of the protocol"):
        decode(wire)


@pytest.mark.parametrize(
    ("value", "want"),
    [
        pytest.param(1 + 2**-8, 1.0, id="a tie goes to the even number below"),
        pytest.param(1 + 3 * 2**-8, 1 + 2**-6, id="a tie goes to the even number above"),
        pytest.param(1 + 2**-8 + 2**-20, 1 + 2**-7, id="above a tie goes up"),
        pytest.param(1 + 3 * 2**-8 - 2**-20, 1 + 2**-7, id="below a tie goes down"),
        pytest.param(-1 - 2**-8, -1.0, id="a negative tie goes to the even number"),
        pytest.param(2 - 2**-9, 2.0, id="a carry moves the exponent"),
        pytest.param(FORMATS["bfloat16"].largest, FORMATS["bfloat16"].largest, id="the largest number stays"),
        pytest.param(3.4e38, inf, id="beyond the largest is infinity"),
        pytest.param(1e300, inf, id="far beyond the largest is infinity"),
        pytest.param(-3.4e38, -inf, id="beyond the least is minus infinity"),
        pytest.param(inf, inf, id="infinity"),
        pytest.param(nan, nan, id="NaN"),
        pytest.param(2.0**-133, 2.0**-133, id="the smallest subnormal number stays"),
        pytest.param(2.0**-134, 0.0, id="half of it is a tie and goes to zero"),
        pytest.param(1 + 2**-8 + 2**-40, 1 + 2**-7, id="rounded once, not by way of float32"),
    ],
)
def test_rounding_to_bfloat16(value, want):
    np.testing.assert_equal(rounded(np.array([value]), "bfloat16"), np.array([want]))


def test_the_sign_of_a_zero_survives_rounding_to_bfloat16():
    assert np.signbit(rounded(np.array(-0.0), "bfloat16"))


@pytest.mark.parametrize(
    ("dtype", "value", "want"), [("float32", 1e39, inf), ("float16", 65520.0, inf), ("float16", 65519.0, 65504.0)]
)
def test_rounding_beyond_a_range(dtype, value, want):
    assert rounded(np.array(value), dtype) == want


# Messages


PROTOCOL = jsonschema.Draft202012Validator(schema("protocol"))


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param(CASE, id="plain"),
        pytest.param(replace(CASE, cotangent=None, order=0), id="no cotangent"),
        pytest.param(replace(CASE, order=2, tangents={"anchor": np.ones((1, 2))}), id="tangents"),
        pytest.param(case(p=inf, margin=nan, swap=True), id="infinity and NaN"),
        pytest.param(replace(CASE, inputs={**CASE.inputs, "mask": np.array([True])}), id="mask"),
        pytest.param(replace(CASE, dtypes=dict.fromkeys(CASE.inputs, "int64")), id="integers"),
        pytest.param(replace(CASE, dtype="bfloat16", audit=True), id="bfloat16"),
    ],
)
def test_a_case_is_a_message_of_the_protocol(asked):
    PROTOCOL.validate(asked.message(7))


@pytest.mark.parametrize("loss", MODULES)
def test_every_case_of_an_error_probe_is_a_message_of_the_protocol(loss):
    session = Session(getattr(reference, loss), loss)
    judge = session.judge()
    for probe in plan(loss, MODULES[loss]):
        if probe.check == "errors":
            judge.run(probe, CHECKS["errors"])
    assert [error.message for message in session.messages for error in PROTOCOL.iter_errors(message)] == []


def test_a_case_with_a_stray_field_is_no_message():
    assert not PROTOCOL.is_valid({**CASE.message(7), "device": "cpu"})


def test_an_answer_without_a_value_is_no_message():
    assert not PROTOCOL.is_valid({"type": "answer", "id": 7})


def test_the_hello_of_a_worker_is_a_message_of_the_protocol():
    PROTOCOL.validate(Session(triplet_margin_loss).hello)


def test_the_hello_of_a_worker_with_limits_is_a_message_of_the_protocol():
    def function(anchor, positive, negative, *, p, swap): ...

    tool = Implementation({LOSS: function}, fixed={"eps": 0.5}, limits={"p": [1.0, inf], "swap": [False]})
    PROTOCOL.validate(InProcess(tool, "numpy").hello)


@pytest.mark.parametrize("value", [inf, -inf, 0.5, "mean", True])
def test_a_parameter_survives_the_wire(value):
    assert from_json(to_json(value)) == value


def test_NaN_survives_the_wire():
    assert np.isnan(from_json(to_json(nan)))


@pytest.mark.parametrize("message", [{"error": "oops"}, {"error": {}}, {}, {"value": 5.0}, {"value": None}], ids=str)
def test_what_is_no_answer_is_refused(message):
    with pytest.raises(ValueError):
        read_answer(message)


# Decisions


def undecided(**options):
    return [(name, place) for (name, place), _ in ORACLE.undecided(case(**options))]


def test_a_plain_case_has_nothing_undecided():
    assert undecided() == []


def test_a_hinge_exactly_at_the_margin_is_undecided():
    assert undecided(positive=(0.0, 1.0), negative=(0.0, 2.0), margin=1.0) == [("hinge", (0,))]


def test_a_hinge_beside_the_margin_is_decided():
    assert undecided(positive=(0.0, 1.0), negative=(0.0, 2.0), margin=1.0 + 2.0**-40) == []


def test_a_hinge_beside_the_margin_is_undecided_in_float32():
    options = {"positive": (0.0, 1.0), "negative": (0.0, 2.0), "margin": 1.0 + 2.0**-40}
    assert undecided(dtype="float32", **options) == [("hinge", (0,))]


def test_a_tie_of_swap_is_undecided():
    assert undecided(positive=(4.0, 0.0), negative=(2.0, 0.0), swap=True) == [("swap", (0,))]


def test_a_tie_is_decided_without_swap():
    assert undecided(positive=(4.0, 0.0), negative=(2.0, 0.0), swap=False) == []


def test_a_zero_coordinate_is_undecided_at_p_1():
    assert [place for _, place in undecided(positive=(0.0, 4.0), negative=(1.0, 1.0), p=1.0)] == [(0, 0)]


def test_a_zero_coordinate_is_decided_at_p_2():
    assert undecided(positive=(0.0, 4.0), negative=(1.0, 1.0), p=2.0) == []


def test_a_tie_of_the_largest_is_undecided_at_p_inf():
    assert [place for _, place in undecided(positive=(4.0, -4.0), negative=(0.0, 1.0), p=inf)] == [(0,)]


def test_equal_sizes_are_decided_at_p_2():
    assert undecided(positive=(4.0, -4.0), negative=(0.0, 1.0), p=2.0) == []


def test_a_masked_row_has_nothing_undecided():
    asked = case(positive=(0.0, 1.0), negative=(0.0, 2.0))
    assert ORACLE.undecided(replace(asked, inputs={**asked.inputs, "mask": np.array([False])})) == []


# What others may choose


class Session(InProcess):
    """A numpy function judged in this process, with the messages it was sent."""

    def __init__(self, function, loss=LOSS):
        super().__init__(Implementation({loss: function}, name="test"), "numpy")
        self.messages = []

    def ask(self, case):
        self.messages.append(case.message(0))
        return super().ask(case)

    def judge(self):
        return Judge.of(self, MODULES, ours=False, examples=1)


def judged(function, name):
    return Session(function).judge().run(PROBES[name], CHECKS[PROBES[name].check])


def leaning(weight, extra=None):
    """Return the reference with another derivative of the hinge at 0: `weight` times that of the open hinge."""

    def loss(anchor, positive, negative, *, margin=1.0, p=2.0, eps=1e-6, reduction="mean", cotangent=None):
        options = {"p": p, "eps": eps, "reduction": reduction, "cotangent": cotangent}
        found = triplet_margin_loss(anchor, positive, negative, margin=margin, **options)
        if cotangent is None:
            return found
        opened = triplet_margin_loss(anchor, positive, negative, margin=margin + 2.0**-30, **options)
        value, gradients = found
        if np.all(value == 0) and 0 < np.sum(opened[0]) < 2.0**-20:
            gradients = {name: weight * g for name, g in opened[1].items()}
        return value, {**gradients, **(extra or {})}

    return loss


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.0])
def test_others_may_take_any_derivative_between_both_sides_of_the_hinge(weight):
    assert judged(leaning(weight), "boundary/CV-13").verdict == (OTHER_CHOICE if weight else CONFORMANT)


@pytest.mark.parametrize("weight", [1.5, -0.5, nan])
def test_others_may_not_take_a_derivative_outside_both_sides_of_the_hinge(weight):
    assert judged(leaning(weight), "boundary/CV-13").verdict == NONCONFORMANT


def test_a_derivative_outside_is_named_with_its_interval():
    (finding,) = judged(leaning(1.5), "boundary/CV-13").findings
    assert str(finding.mismatch.want).startswith("between ")


def test_ours_may_not_lean():
    session = Session(leaning(1.0))
    judge = Judge.of(session, MODULES, ours=True, examples=1)
    assert judge.run(PROBES["boundary/CV-13"], CHECKS["boundary"]).verdict == NONCONFORMANT


def test_a_gradient_of_something_else_does_not_disturb_the_boundary():
    assert judged(leaning(0.0, {"margin": np.ones(())}), "boundary/CV-13").verdict == CONFORMANT


def narrow(anchor, positive, negative, *, margin=1.0, p=2.0, eps=1e-6, reduction="mean", cotangent=None):
    if reduction == "mean_nonzero":
        raise ValueError(f"{reduction} is not a valid value for reduction")
    options = {"p": p, "eps": eps, "reduction": reduction, "cotangent": cotangent}
    return triplet_margin_loss(anchor, positive, negative, margin=margin, **options)


def test_a_reduction_that_others_refuse_is_unsupported():
    assert judged(narrow, "reductions/CV-4").verdict == UNSUPPORTED


def test_a_reduction_beside_the_refused_one_is_judged():
    assert judged(narrow, "reductions/CV-3").verdict == CONFORMANT


def test_an_option_that_others_have_not_is_unsupported():
    assert judged(narrow, "value/DI-8").verdict == UNSUPPORTED


def test_a_probe_of_the_mask_is_unsupported_without_a_mask():
    assert judged(narrow, "masking/CV-7").verdict == UNSUPPORTED


def ran(check):
    """Return the result of a probe whose check is `check`, on the reference."""
    return Session(triplet_margin_loss).judge().run(PROBES["value/TM-1"], check)


def one_case_obscured(judge, probe, result):
    judge.ask(CASE)
    judge.obscured, result.planned = 1, 1


def test_a_probe_that_asked_nothing_says_nothing():
    result = ran(lambda judge, probe, result: None)
    assert (result.verdict, result.run) == (UNSUPPORTED, 0)
    assert result.reason.startswith("no case of this probe")


def test_a_probe_whose_every_case_is_obscured_says_nothing():
    result = ran(one_case_obscured)
    assert (result.verdict, result.run, result.obscured) == (UNSUPPORTED, 1, 1)
    assert result.reason.startswith("obscured")


def test_a_probe_that_asked_and_found_nothing_is_conformant():
    assert ran(lambda judge, probe, result: judge.ask(CASE)).verdict == CONFORMANT
