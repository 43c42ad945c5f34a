"""`lossproof identify`: drawn settings are named, their numbers found, and what is no setting is not taken for one."""

import inspect
import math

import numpy as np
import pytest

import lossproof.reference as reference
from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.host.targets import TargetError
from lossproof.conformance.host.unnamed import _pairs, resolve_unnamed
from lossproof.conformance.identify.answer import apart, call
from lossproof.conformance.identify.corners import in_order
from lossproof.conformance.identify.families import GROUPS
from lossproof.conformance.identify.search import search
from lossproof.conformance.identify.solve import shortest
from lossproof.conformance.identify.told import groups_of, tell, what_came_back
from lossproof.spec import dialect_schema, losses
from lossproof.spec.setting import number


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def found_of(loss, function):
    session = InProcess(Implementation({loss: function}), "numpy")
    found = search([told for group in groups_of(session) for told in tell(session, group, 0)])
    ordered, departures = in_order(session, found) if found.matches else ([], [])
    return found, ordered, departures


def setting_of(loss, function):
    _, ordered, _ = found_of(loss, function)
    return ordered[0].candidate.setting(ordered[0].numbers)


def given(**options):
    def function(anchor, positive, negative, cotangent=None):
        return reference.triplet_margin_loss(anchor, positive, negative, **options, cotangent=cotangent)

    return function


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"margin": 0.2, "swap": True, "reduction": "mean_nonzero"},
        {"eps_at": "root", "eps": 1e-3, "reduction": "none"},
        {"p": 3.0, "eps": 0.0, "reduction": "sum"},
        {"p": math.inf, "eps": 0.0, "margin": 5.0},
        {"distance": "cosine", "margin": 0.3, "swap": True},
        {"distance": "squared_euclidean", "soft_margin": True},
    ],
    ids=str,
)
def test_a_setting_of_given_triplets_is_named_with_its_numbers(options):
    found = setting_of("triplet_margin_loss", given(**options))
    assert (found.options, found.convert, found.departs) == (options, {}, "")


def test_an_exponent_and_an_eps_that_nobody_lists_are_found():
    found = setting_of("triplet_margin_loss", given(p=2.5, eps=0.0, margin=0.2, reduction="none"))
    assert found.options == {"p": 2.5, "eps": 0.0, "margin": 0.2, "reduction": "none"}


def test_rows_that_are_normalised_and_a_factor_are_said_apart():
    def function(anchor, positive, negative):
        rows = map(unit, (anchor, positive, negative))
        return 0.5 * given(margin=0.2, distance="euclidean", swap=True, reduction="none")(*rows)

    found = setting_of("triplet_margin_loss", function)
    assert found.convert == {"rows": "unit", "times": 0.5}
    assert (found.options["margin"], found.options["swap"]) == (0.2, True)


def test_one_function_has_many_names_and_the_nearest_to_the_defaults_is_the_answer():
    def function(anchor, positive, negative):
        d = [np.sqrt(np.sum((anchor - other) ** 2, axis=-1)) for other in (positive, negative)]
        return np.mean(np.maximum(0.0, 1.0 + d[0] - d[1]))

    _, ordered, departures = found_of("triplet_margin_loss", function)
    settings = [match.candidate.setting(match.numbers).options for match in ordered]
    assert settings[0] == {"eps": 0.0}
    assert {"distance": "euclidean"} in settings
    assert [d.clause for d in departures] == ["CV-5"]  # NaN of an empty batch


@pytest.mark.parametrize(
    ("factor", "flipped"), [(1.0, True), (0.5, False)], ids=["one where alike", "one where unlike, halved"]
)
def test_the_convention_of_a_label_and_the_half_are_told_apart(factor, flipped):
    def function(x1, x2, dissimilar):
        apart = np.asarray(dissimilar > 0) != flipped
        return reference.contrastive_loss(x1, x2, apart, margin=0.7, factor=factor, distance="euclidean")

    found = setting_of("contrastive_loss", function)
    assert found.convert == ({"labels": "similar"} if flipped else {})
    assert (found.options.get("margin"), found.options.get("factor", 0.5)) == (0.7, factor)


def test_a_sum_that_is_hard_to_fit_does_not_hide_the_mean():
    def function(x1, x2, dissimilar):
        return reference.contrastive_loss(x1, x2, dissimilar == 0, margin=1.25)

    found = setting_of("contrastive_loss", function)
    assert (found.options, found.convert) == ({"margin": 1.25}, {"labels": "similar"})


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        ("batch_hard_triplet_loss", {"margin": 0.5, "distance": "squared_euclidean", "reduction": "none"}),
        ("semi_hard_triplet_loss", {"margin": 0.2, "distance": "euclidean", "reduction": "none"}),
        ("circle_loss", {"margin": 0.4, "gamma": 80.0, "reduction": "none", "detach_weights": False}),
        ("circle_loss", {"margin": 1.0, "gamma": 64.0, "reduction": "sum"}),  # the end of its range
    ],
)
def test_a_mined_loss_is_named_whatever_it_was_offered_as(loss, options):
    def function(embeddings, labels, cotangent=None):
        return getattr(reference, loss)(embeddings, labels, **options, cotangent=cotangent)

    found = setting_of("batch_hard_triplet_loss", function)
    assert (found.loss, found.options, found.departs) == (loss, options, "")


@pytest.mark.parametrize(
    ("own", "options", "convert"),
    [
        ({"reduction": "sum"}, {"margin": 0.5}, {"denominator": "rows"}),
        ({"include_self": True}, {"margin": 0.5, "include_self": True}, {}),
        ({"floor": 1e-12, "include_self": True}, {"margin": 0.5, "include_self": True, "floor": 1e-12}, {}),
    ],
    ids=["all rows", "the anchor itself", "a floor"],
)
def test_anchors_without_a_positive_show_what_a_mean_divides_by(own, options, convert):
    def function(embeddings, labels):
        whole = reference.batch_hard_triplet_loss(embeddings, labels, margin=0.5, **own)
        return whole / len(labels) if convert else whole

    found = setting_of("batch_hard_triplet_loss", function)
    assert (found.options, found.convert) == (options, convert)


def test_a_mean_of_what_is_positive_shows_where_the_hardest_are_easy():
    def function(embeddings, labels):
        options = {"distance": "squared_euclidean", "margin": 0.71, "reduction": "mean_nonzero"}
        return reference.batch_hard_triplet_loss(embeddings, labels, **options)

    assert setting_of("batch_hard_triplet_loss", function).options["reduction"] == "mean_nonzero"


def test_a_floor_shows_on_rows_that_are_normalised_too():
    def function(embeddings, labels):
        return reference.batch_hard_triplet_loss(unit(embeddings), labels, floor=1e-12, include_self=True)

    found = setting_of("batch_hard_triplet_loss", function)
    assert (found.options, found.convert) == ({"floor": 1e-12, "include_self": True}, {"rows": "unit"})


@pytest.mark.parametrize("options", [{}, {"margin": 0.4, "gamma": 32.0}, {"reduction": "mean_nonzero"}], ids=str)
def test_the_mean_of_circle_is_the_page_s(options):
    def function(embeddings, labels):
        return reference.circle_loss(embeddings, labels, **options)

    found = setting_of("circle_loss", function)
    assert (found.options, found.convert) == (options, {})


@pytest.mark.parametrize(
    "options", [{"floor": 1e-6}, {"factor": 1.0, "floor": 1e-12, "ceiling": 1e12}, {"ceiling": 1e12}], ids=str
)
def test_what_a_squared_distance_to_a_center_is_held_between_is_found(options):
    def function(embeddings, labels, centers):
        return reference.center_loss(embeddings, labels, centers, **options)

    assert setting_of("center_loss", function).options == options


@pytest.mark.parametrize("eps", [1e-8, 2e-7, 1e-10])
def test_an_eps_far_below_the_usual_one_is_found(eps):
    assert setting_of("triplet_margin_loss", given(eps=eps, swap=True, reduction="sum")).options["eps"] == eps


@pytest.mark.parametrize("gradient", ["right", "wrong"])
def test_a_gradient_that_is_another_is_said(gradient):
    def function(logits, labels, cotangent=None):
        found = reference.cross_entropy_loss(logits, labels, label_smoothing=0.1, cotangent=cotangent)
        if cotangent is None or gradient == "right":
            return found
        return found[0], {"logits": 2 * found[1]["logits"]}

    _, ordered, departures = found_of("cross_entropy_loss", function)
    assert ordered[0].numbers == {"label_smoothing": 0.1}
    assert [d.clause for d in departures] == ([] if gradient == "right" else ["CV-16"])


@pytest.mark.parametrize("floor", [0.0, 1e-12], ids=["as it is", "with torch's 1e-12"])
def test_labels_of_minus_one_and_one_are_not_taken_for_zero_and_one(floor):
    def function(x1, x2, dissimilar):  # 0 is neither
        norms = np.sqrt((np.sum(x1 * x1, 1) + floor) * (np.sum(x2 * x2, 1) + floor))
        near, apart = 1 - np.sum(x1 * x2, 1) / norms, np.sum(x1 * x2, 1) / norms - 0.2
        label = np.asarray(dissimilar) * 1
        return np.mean(np.where(label == 1, near, np.where(label == -1, np.maximum(apart, 0), 0)))

    found, ordered, _ = found_of("contrastive_loss", function)
    best = found.nearest if floor else ordered[0]
    assert bool(found.matches) == (not floor)
    assert best.candidate.convert["labels"] == "sign"
    assert best.candidate.departs in ("hinge not squared", "hinge of the square")  # one function on rows of norm 1
    assert best.error < 1e-11


def weighted_by_softmax(embeddings, labels):
    d = np.linalg.norm(embeddings[:, None] - embeddings[None], axis=-1)
    same = labels[:, None] == labels
    far, near = (np.exp(d) * (same & (d > 0)), np.exp(-d) * ~same)
    terms = 0.3 + (far * d).sum(1) / np.maximum(far.sum(1), 1e-300) - (near * d).sum(1) / near.sum(1)
    return np.mean(np.maximum(terms, 0))


def per(x, y):
    return np.mean((x - y) ** 2, axis=1)


def margin_below_a_right_angle(embeddings, labels, class_weights):
    cosines = unit(embeddings) @ unit(class_weights).T
    sines = np.sqrt(np.maximum(1 - cosines * cosines, 0))
    own = labels[:, None] == np.arange(len(class_weights))
    shifted = np.where(cosines > 0, cosines * np.cos(0.3) - sines * np.sin(0.3), cosines)
    logits = 30 * np.where(own, shifted, cosines)
    return np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[own])


def own_of(logits, labels):
    return np.eye(logits.shape[1], dtype=bool)[labels]


def products_over(scale, of_classes):
    def loss(embeddings, labels, class_weights):
        logits = scale * embeddings @ of_classes(class_weights).T
        return np.mean(np.logaddexp.reduce(logits, axis=1) - logits[own_of(logits, labels)])

    return loss


def focal(logits, labels):
    p = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[own_of(logits, labels)]
    return np.mean(-((1 - p) ** 1.5) * np.log(p))


@pytest.mark.parametrize(
    ("loss", "function", "departs"),
    [
        (
            "triplet_margin_loss",
            lambda anchor, positive, negative: given(margin=5.0)(anchor, negative, positive),
            "sign flipped",
        ),
        (
            "triplet_margin_loss",
            lambda anchor, positive, negative: given(margin=0.5, reduction="none")(anchor, positive, negative) ** 2,
            "hinge squared",
        ),
        ("batch_hard_triplet_loss", weighted_by_softmax, "weighted by softmax"),
        (
            "triplet_margin_loss",
            lambda anchor, positive, negative: np.maximum(0.2 + per(anchor, positive) - per(anchor, negative), 0).sum(),
            "mean over the features",
        ),
        (
            "contrastive_loss",
            lambda x1, x2, dissimilar: np.where(
                dissimilar, np.maximum(1 - per(x1, x2), 0) ** 2, per(x1, x2) ** 2
            ).sum(),
            "mean over the features",
        ),
        ("arcface_loss", margin_below_a_right_angle, "easy margin"),
        ("arcface_loss", products_over(1.0, lambda rows: rows), "products in place of cosines"),
        ("arcface_loss", products_over(2.0, unit), "embeddings as long as they are"),
        ("cross_entropy_loss", focal, "terms times a power of 1 - p"),
        (
            "center_loss",
            lambda embeddings, labels, centers: np.linalg.norm(embeddings - centers[labels], axis=1).sum(),
            "distance not squared",
        ),
    ],
    ids=[
        *("the sign", "the square", "the weights", "per feature", "pairs per feature", "the easy margin"),
        *("products", "long embeddings", "focal", "no square"),
    ],
)
def test_what_no_page_has_is_named_as_that(loss, function, departs):
    _, ordered, _ = found_of(loss, function)
    assert ordered[0].candidate.departs == departs


def test_a_number_that_no_page_has_is_said():
    _, ordered, _ = found_of("cross_entropy_loss", focal)
    assert apart(ordered[0]) == "terms times a power of 1 - p (1.5)"


def test_a_margin_of_similar_pairs_is_found_with_the_other():
    def function(x1, x2, dissimilar):
        d = np.linalg.norm(x1 - x2, axis=1)
        return np.mean(np.where(dissimilar, np.maximum(1.5 - d, 0), np.maximum(d - 0.25, 0)) ** 2)

    _, ordered, _ = found_of("contrastive_loss", function)
    assert apart(ordered[0]) == "a margin of similar pairs, too (0.25)"
    assert ordered[0].numbers["margin"] == 1.5


@pytest.mark.parametrize("temperature", [0.07, 4.0])
def test_a_temperature_of_logits_stands_in_our_call(temperature):
    def function(logits, labels, cotangent=None):
        found = reference.cross_entropy_loss(logits / temperature, labels, label_smoothing=0.1, cotangent=cotangent)
        return found if cotangent is None else (found[0], {"logits": found[1]["logits"] / temperature})

    _, ordered, departures = found_of("cross_entropy_loss", function)
    setting = ordered[0].candidate.setting(ordered[0].numbers)
    assert call(setting) == f"cross_entropy_loss(logits / {temperature}, labels, label_smoothing=0.1)"
    assert not departures  # the gradient is ours as well


def test_what_answers_0_alone_is_not_named_by_that(tmp_path):
    (tmp_path / "own.py").write_text(
        "import numpy as np\n\n\ndef own(x1, x2, y):\n    d = np.linalg.norm(x1 - x2, axis=1)\n"
        "    return np.where(y.astype(bool), np.maximum(1 - d, 0), np.maximum(d - 0.2, 0)).mean()\n"
    )
    session = InProcess(resolve_unnamed(f"{tmp_path}/own.py:own", (*losses(),), {}), "numpy")
    told = [one for group in groups_of(session) for one in tell(session, group, 0)]
    assert len(told) > 1  # three arrays may be a triplet, whose hinge is shut here
    (best, *_) = search(told).matches
    assert apart(best) == "hinge not squared, and a margin of similar pairs, too (0.2)"


def test_an_empty_batch_is_handed_over_as_the_others_are():
    _, ordered, departures = found_of("contrastive_loss", reference.contrastive_loss)  # its labels are boolean
    assert ordered
    assert not departures


@pytest.mark.parametrize(
    ("loss", "options"),
    [
        ("joint_loss", {"center_weight": 1.0, "triplet_margin": 0.0}),  # four numbers fit any four answers
        ("joint_loss", {"triplet_weight": 2.0, "center_weight": 2.0}),
        ("circle_loss", {"margin": 0.0, "gamma": 8.0}),  # it goes by the square of the margin
    ],
    ids=str,
)
def test_numbers_that_hide_one_another_are_found(loss, options):
    def function(*, cotangent=None, **arrays):
        return getattr(reference, loss)(**arrays, **options, cotangent=cotangent)

    names = [name for name, entry in losses()[loss].inputs.items() if not entry.get("optional")]
    kinds = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    kinds.append(inspect.Parameter("cotangent", inspect.Parameter.KEYWORD_ONLY, default=None))
    function.__signature__ = inspect.Signature(kinds)
    page = losses()[loss].parameters
    found = setting_of(loss, function).options
    assert {n: found.get(n, page[n]["default"]) for n in options} == options


def test_ties_of_equal_rows_are_named_by_their_own_clause():
    def shared(embeddings, labels, cotangent=None):
        value, gradients = reference.batch_hard_triplet_loss(embeddings, labels, cotangent=np.float64(1.0))
        equal = (embeddings[:, None] == embeddings[None]).all(-1).sum(1) > 1
        gradients = {"embeddings": np.where(equal[:, None], 0.5, 1.0) * gradients["embeddings"]}
        return value if cotangent is None else (value, gradients)

    _, _, departures = found_of("batch_hard_triplet_loss", shared)
    assert [found.clause for found in departures] == ["BH-8"]


def test_a_mean_over_the_features_too_is_not_taken_for_a_factor():
    _, ordered, _ = found_of(
        "center_loss", lambda embeddings, labels, centers: ((embeddings - centers[labels]) ** 2).mean()
    )
    assert ordered[0].candidate.departs == "mean over the features"
    assert ordered[0].numbers == {"factor": 1.0}


def test_rows_that_are_normalised_are_found_before_a_table():
    def function(embeddings, labels, lookup_table, queue):
        return reference.oim_loss(unit(embeddings), labels, lookup_table, queue, temperature=1 / 30)

    found = setting_of("oim_loss", function)
    assert (found.options, found.convert) == ({"temperature": 1 / 30}, {"rows": "unit"})


def test_the_nearest_is_near_on_every_batch():
    def function(anchor, positive, negative):
        ap, an = (np.mean((anchor - other) ** 2, axis=1) for other in (positive, negative))
        return np.mean(np.maximum(ap - an + 0.2, 0))

    found, _, _ = found_of("triplet_margin_loss", function)
    assert "times" not in found.nearest.numbers  # three numbers are soon fitted to two answers


@pytest.mark.parametrize("value", [1.0000000000003, 1 / 366052123.4, 1 / 30, 0.37])
def test_a_number_is_said_as_it_is(value):
    assert math.isclose(eval(number(value)), value, rel_tol=1e-15)


@pytest.mark.parametrize(
    ("loss", "own", "page"),
    [
        ("contrastive_loss", "x y label", "x1 x2 dissimilar"),
        ("contrastive_loss", "x1 x2 y", "x1 x2 dissimilar"),
        ("soft_cross_entropy_loss", "target logits", "targets logits"),
    ],
)
def test_arrays_are_told_apart_by_what_people_call_them(loss, own, page):
    assert _pairs(loss, own.split()) == page.split()


def test_a_softplus_that_is_x_beyond_20_is_a_soft_margin():
    def cut_off(anchor, positive, negative):
        x = np.linalg.norm(anchor - positive, axis=1) - np.linalg.norm(anchor - negative, axis=1)
        return np.mean(np.where(x > 20, x, np.logaddexp(0.0, x)))

    found, ordered, _ = found_of("triplet_margin_loss", cut_off)
    best = ordered[0].candidate.setting(ordered[0].numbers)
    assert best.options == {"soft_margin": True, "eps": 0.0}
    assert ordered[0].is_cut_off(found.dtype)


def test_what_can_be_recognised_is_in_the_closed_list_of_the_dialects():
    schema, page = dialect_schema()["$defs"], losses()
    for candidate in (one for group in GROUPS for one in group.candidates()):
        assert candidate.departs in ("", *schema["departure"]["enum"])
        assert {*candidate.convert} <= {*schema["convert"]["properties"]}
        assert {*candidate.options} <= {*page[candidate.loss].parameters}
        assert {*candidate.starts} <= {*page[candidate.loss].parameters, "power"}


def test_a_number_without_a_default_is_named(tmp_path):
    (tmp_path / "own.py").write_text("def own(a, p, n, margin):\n    return ((a - p) ** 2).sum(-1).mean() + margin\n")
    with pytest.raises(TargetError, match="margin must have a default"):
        resolve_unnamed(f"{tmp_path}/own.py:own", (*losses(),), {})


def test_what_came_back_is_said_where_it_is_no_number():
    def unfit(logits, labels):
        raise RuntimeError("logits of two axes")

    session = InProcess(Implementation({"cross_entropy_loss": unfit}), "numpy")
    assert what_came_back(session, 0) == "raised RuntimeError: logits of two axes"


def test_what_nobody_knows_is_no_setting():
    found, ordered, _ = found_of("cross_entropy_loss", lambda logits, labels: np.mean(logits**2) + labels.sum())
    assert (found.matches, ordered) == ([], [])
    assert found.nearest is not None


@pytest.mark.parametrize(
    ("low", "high", "value", "short"),
    [
        (0.2999, 0.3001, 0.30004, 0.3),
        (0.0333333, 0.0333334, 0.03333333, 1 / 30),
        (0.28571428, 0.28571429, 0.2857142857, 1 / 3.5),
        (0.12345709, 0.12345711, 0.1234571, 0.1234571),
        (0.0, 1.5e-14, 7e-17, 0.0),
    ],
)
def test_a_number_is_said_as_short_as_the_answers_allow(low, high, value, short):
    assert shortest(low, high, value) == short
    assert eval(number(short)) == short
