"""Two implementations side by side: where they differ, which clause says why, and what is no difference."""

from dataclasses import replace

import numpy as np
import pytest

from lossproof import reference
from lossproof.conformance import Implementation
from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.host.implementation import resolve
from lossproof.conformance.host.inprocess import InProcess
from lossproof.conformance.judge.judge import Crashed
from lossproof.conformance.plan.plan import losses_known
from lossproof.conformance.plan.probe import Probe
from lossproof.conformance.side_by_side.ask import NOTHING, RIGHT, UNSAID, WRONG, page_row, row
from lossproof.conformance.side_by_side.batch import on_batch
from lossproof.conformance.side_by_side.case_file import read_case
from lossproof.conformance.side_by_side.difference import Entry, apart
from lossproof.conformance.side_by_side.difference import difference as apart_at
from lossproof.conformance.side_by_side.offers import Incomparable
from lossproof.conformance.side_by_side.pair import Pair
from lossproof.conformance.side_by_side.search import search
from lossproof.conformance.side_by_side.sides import Side
from lossproof.spec import vectors

LOSS = "triplet_margin_loss"


def ours(loss=LOSS, **given):
    return Side("", "numpy", InProcess(resolve("lossproof.reference:", (loss,)), "numpy"), True, given)


def theirs(function, loss=LOSS, fixed=None, **more):
    return Side("", "theirs", InProcess(Implementation({loss: function}, fixed=fixed or {}, **more), "numpy"), False)


def plain(loss=LOSS, change=lambda found: found, **hidden):
    """Return a function of margin and reduction alone, which works with some options that nobody can give it."""

    def function(anchor, positive, negative, margin=1.0, reduction="mean", cotangent=None):
        options = {"margin": margin, "reduction": reduction, "cotangent": cotangent, "eps": 0.0, **hidden}
        return change(getattr(reference, loss)(anchor, positive, negative, **options))

    return function


def pair_of(one, other, loss=LOSS, known=None):
    sides = [
        Side(letter, side.name, side.session, side.ours, side.given)
        for letter, side in zip("AB", (one, other), strict=True)
    ]
    return Pair.of_sides(*sides, known or losses_known([loss]), examples=1, fills=2)


def difference(one, other, loss=LOSS):
    return search(pair_of(one, other, loss), loss)


@pytest.mark.parametrize(("other", "differs"), [(65504.0, False), (np.inf, False), (-np.inf, True), (3.0, True)])
def test_an_infinity_that_is_the_rounding_of_a_number_is_no_difference(other, differs):
    want, room = np.array([65530.0]), np.array([43.0])
    one, two = ({"loss": Entry(np.array([got]), want, room, "float16")} for got in (np.inf, other))
    assert (apart_at(one, two) is not None) == differs
    assert apart(one["loss"], two["loss"]).any() == differs


# The clause that separates two

PAIRS = {
    "our call with swap and without": (ours(), ours(swap=True), "TM-5"),
    "a function that swaps, and ours": (theirs(plain(swap=True), fixed={"eps": 0.0}), ours(), "TM-5"),
    "eps at the root, and at the difference": (ours(eps_at="root", eps=0.25), ours(eps=0.25), "DI-5"),
    "another default of the margin": (
        ours(),
        theirs(lambda anchor, positive, negative, margin=0.2, cotangent=None: reference.triplet_margin_loss(
            anchor, positive, negative, margin=margin, cotangent=cotangent)),
        "TM-9",
    ),
    "squared and not": (ours(), ours(distance="squared_euclidean"), "DI-7"),
    "a floor that few rows are below": (ours(eps=0.25), ours(eps=0.25, eps_at="floor"), "DI-6"),
}  # fmt: skip


@pytest.mark.parametrize(("one", "other", "clause"), PAIRS.values(), ids=list(PAIRS))
def test_one_option_names_its_clause(one, other, clause):
    found = difference(one, other)
    assert (found.explanation.clause, found.explanation.sentence.split(",")[0]) == (clause, clause)


def test_a_difference_is_shown_on_its_smallest_case_with_what_each_answers():
    found = difference(ours(), ours(swap=True))
    values = [float(answer.value[0]) for answer in found.answers]
    rows = [found.case.inputs[name] for name in ("anchor", "positive", "negative")]
    assert [row.shape for row in rows] == [(1, 1)] * 3
    near, far, other = (abs((rows[i] - rows[j]).item()) for i, j in ((0, 1), (0, 2), (1, 2)))
    assert values == [max(0, 1 + near - far), max(0, 1 + near - min(far, other))]
    assert values[0] != values[1]


def test_two_functions_of_which_nobody_said_what_they_work_with_are_told_apart():
    sentence = difference(theirs(plain()), theirs(plain(swap=True))).explanation.sentence
    assert "A is the page's with swap = false, B is the page's with swap = true" in sentence
    assert sentence.endswith("both have eps = 0, undeclared (--fixed eps=0)")


def test_gradients_that_differ_alone_name_a_clause_too():
    loss = "circle_loss"
    found = difference(ours(loss), ours(loss, detach_weights=False), loss)
    assert (found.mismatch.kind, found.explanation.clause) == ("gradient", "CI-11")


def larger(found):
    return (
        tuple(1.5 * part if not isinstance(part, dict) else part for part in found)
        if isinstance(found, tuple)
        else found * 1.5
    )


def test_a_sum_is_no_factor_though_two_rows_have_a_mean_of_half_their_sum():
    loss = "contrastive_loss"
    sentence = difference(ours(loss), ours(loss, reduction="sum"), loss).explanation.sentence
    assert sentence.endswith("A is the page's with reduction = mean, B is the page's with reduction = sum")


def test_what_no_option_gives_is_a_difference_from_the_page():
    explanation = difference(ours(), theirs(plain(change=larger), fixed={"eps": 0.0})).explanation
    assert (explanation.clause, explanation.sentence.split(":")[0]) == ("", "from the page")


def test_an_option_that_explains_some_cases_alone_explains_nothing():
    def sometimes(anchor, positive, negative, cotangent=None):
        swap = bool(anchor.size and anchor.ravel()[0] > 0)
        return reference.triplet_margin_loss(anchor, positive, negative, swap=swap, cotangent=cotangent)

    assert difference(ours(), theirs(sometimes)).explanation.sentence.startswith("from the page")


def test_two_options_at_once_are_not_one():
    explanation = difference(ours(swap=True), ours(margin=0.5)).explanation
    assert explanation.sentence.startswith("not by one option: ")
    assert explanation.sentence.endswith("their options differ in swap, margin")


def test_neither_of_two_that_are_both_wrong_explains_the_other():
    explanation = difference(theirs(plain(change=larger)), theirs(plain(swap=True, margin=3.0))).explanation
    assert explanation.sentence.startswith("not by one option: A does not equal it")


def test_losses_of_other_shapes_differ():
    def kept(found):
        return (found[0][..., None], found[1]) if isinstance(found, tuple) else found[..., None]

    found = difference(ours(), theirs(plain(change=kept), fixed={"eps": 0.0}))
    assert (found.mismatch.where, found.mismatch.got, found.mismatch.want) == ("shape of the loss", (1,), (1, 1))


# What is no difference


def last_of_ties(embeddings, labels, *, mask=None, weights=None, margin=0.3, reduction="mean", cotangent=None):
    """Batch hard that picks the last of rows that tie, where the page picks the first: another legal choice."""
    turned = cotangent[::-1] if cotangent is not None and np.ndim(cotangent) else cotangent
    options = {name: None if array is None else array[::-1] for name, array in (("mask", mask), ("weights", weights))}
    found = reference.batch_hard_triplet_loss(
        embeddings[::-1], labels[::-1], margin=margin, cotangent=turned, reduction=reduction, **options
    )
    value, gradients = found if isinstance(found, tuple) else (found, {})
    value = value[::-1] if np.ndim(value) else value
    return (value, {name: array[::-1] for name, array in gradients.items()}) if gradients else value


def test_right_implementations_do_not_differ():
    pair = pair_of(ours(), theirs(plain(), fixed={"eps": 0.0}))
    assert (search(pair, LOSS), pair.compared > 50, pair.stopped) == (None, True, {})


TIED = Case(
    "batch_hard_triplet_loss",
    {"embeddings": np.array([[0.0], [5.0], [3.0], [-3.0]]), "labels": np.array([0, 0, 1, 2])},  # two negatives at 3
    "float64",
    {},
)


def test_two_picks_of_a_tie_in_a_batch_are_left_open():
    found = on_batch(pair_of(ours(TIED.loss), theirs(last_of_ties, TIED.loss), TIED.loss), TIED)
    first, second = (answer.gradients["embeddings"] for answer in found.answers)
    assert not np.array_equal(first, second)
    assert (found.mismatch, found.sentences) == (None, ("undecided: hardest negative at [0]",))


def test_cases_with_ties_are_drawn_anew():
    def on_a_lattice(structure, rng):
        rows = rng.integers(-2, 3, structure["shape"]).astype(float)
        return {"embeddings": rows, "labels": rng.integers(0, 3, len(rows))}

    own = replace(losses_known([TIED.loss])[TIED.loss], inputs=on_a_lattice)
    pair = pair_of(ours(TIED.loss), theirs(last_of_ties, TIED.loss), TIED.loss, {TIED.loss: own})
    probe = Probe(TIED.loss, "value", "", vary={"shape": ((7, 2),), "margin": (1.0,)})
    structure = {name: values[0] for name, values in pair.choices(probe).items()}

    def differ(case):
        return case is not None and pair.judge_case(case, structure, ("value", "gradient")) is not None

    assert any(differ(own.build(structure, pair.offers[TIED.loss], 0, fill)) for fill in range(20))
    assert not any(differ(pair.case(probe, structure, fill)) for fill in range(20))


# A batch of one's own

ROWS = {
    "anchor": np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [5.0, 1.0]]),
    "positive": np.array([[1.0, 1.0], [2.0, 1.0], [0.0, 3.5], [3.0, 4.0], [5.0, 2.0]]),
    "negative": np.array([[0.0, 1.5], [9.0, 0.0], [0.5, 2.0], [3.0, 3.0], [5.0, 3.5]]),
}
BATCH = Case(
    LOSS, ROWS, "float64", {}
)  # the swap changes the terms of 0, 3 and 4: the last two from 2 and 0 to 4 and 1/2


def without_reduction(**hidden):
    """Return a function of a mean alone, which has a mask."""

    def function(anchor, positive, negative, mask=None, cotangent=None):
        return reference.triplet_margin_loss(anchor, positive, negative, mask=mask, cotangent=cotangent, **hidden)

    return function


def of_three_rows(anchor, positive, negative, cotangent=None):
    return reference.triplet_margin_loss(anchor, positive, negative, swap=True, cotangent=cotangent)


BY = {
    "terms": (ours(), ours(swap=True), "Of 5 triplets, triplets 0, 3, 4 differ; at 0 A has 0.914213, B 1.29618."),
    "masks": (ours(), theirs(without_reduction(swap=True)), "With all others masked, triplets 0, 3, 4 differ."),
    "nothing": (
        ours(),
        theirs(of_three_rows),
        "Which triplet it is cannot be asked: not both have reduction = none, and B no mask.",
    ),
}


@pytest.mark.parametrize(("one", "other", "words"), BY.values(), ids=list(BY))
def test_a_batch_names_the_triplets_that_differ(one, other, words):
    found = on_batch(pair_of(one, other), BATCH)
    assert found.sentences[0] == words
    assert found.explanation.clause == "TM-5"


def test_a_batch_names_the_rows_of_gradients_that_differ():
    sentences = on_batch(pair_of(ours(), ours(swap=True)), BATCH).sentences
    assert "In the gradient of anchor, rows 0, 3, 4 differ." in sentences


def test_where_terms_share_rows_the_fewest_that_differ_are_named():
    loss = "batch_hard_triplet_loss"

    def function(embeddings, labels, mask=None, cotangent=None):
        far = np.where(np.abs(embeddings) > 9, 2.0, 1.0) * embeddings  # row 4, which is nobody's hardest without row 1
        return reference.batch_hard_triplet_loss(far, labels, mask=mask, cotangent=cotangent)

    rows = np.array([[0.0], [1.0], [2.0], [3.0], [10.0], [2.5]])
    batch = Case(loss, {"embeddings": rows, "labels": np.array([0, 0, 1, 1, 0, 2])}, "float64", {})
    sentence = on_batch(pair_of(ours(loss), theirs(function, loss), loss), batch).sentences[0]
    assert sentence.startswith("With all others masked, rows ")
    named = [
        int(word.strip(","))
        for word in sentence.removeprefix("With all others masked, rows ").split()
        if word[0].isdigit()
    ]
    assert 4 in named
    assert len(named) == 3  # an anchor, a positive and a negative


def test_a_batch_on_which_two_agree_shows_no_difference():
    found = on_batch(pair_of(ours(), theirs(plain(), fixed={"eps": 0.0})), BATCH)
    assert (found.mismatch, found.explanation, found.sentences) == (None, None, ())


def test_gradients_of_rows_that_hold_nan_are_nobodys():
    def without_nan(*given, **options):
        value, gradients = reference.triplet_margin_loss(*given, **options)
        return value, {name: np.nan_to_num(array) for name, array in gradients.items()}

    def function(anchor, positive, negative, reduction="mean", cotangent=None):
        given = (anchor, positive, negative)
        if cotangent is None:
            return reference.triplet_margin_loss(*given, reduction=reduction)
        return without_nan(*given, reduction=reduction, cotangent=cotangent)

    anchor = ROWS["anchor"].copy()
    anchor[2] = np.nan
    found = on_batch(pair_of(ours(), theirs(function)), replace(BATCH, inputs={**ROWS, "anchor": anchor}))
    assert found.mismatch is None
    assert "rows of anchor that hold NaN or infinity" in found.sentences[0]


# Nothing to compare


def test_options_that_one_does_not_have_as_the_other_works_are_said():
    with pytest.raises(Incomparable, match="does not offer triplet_margin_loss with swap = true, with which"):
        pair_of(theirs(reference.triplet_margin_loss, limits={"swap": [False]}), theirs(plain(), fixed={"swap": True}))


def test_an_option_that_the_loss_lacks_is_said():
    with pytest.raises(Incomparable, match="circle_loss has no swap = true"):
        pair_of(ours("circle_loss", swap=True), ours("circle_loss"), "circle_loss")


def test_a_batch_in_a_dtype_that_not_both_have_is_not_compared():
    with pytest.raises(Incomparable, match="not both work in float32; both have float64"):
        on_batch(pair_of(ours(), ours()), replace(BATCH, dtype="float32"))


def test_a_batch_that_one_does_not_answer_is_not_compared():
    def function(anchor, positive, negative, cotangent=None):
        if len(anchor) > 3:
            raise MemoryError("no room")
        return reference.triplet_margin_loss(anchor, positive, negative, cotangent=cotangent)

    with pytest.raises(Incomparable, match="B does not answer the batch: raised MemoryError: no room"):
        on_batch(pair_of(ours(), theirs(function)), BATCH)


# One case in all of them


def table_of(case, *sides):
    own = losses_known([case.loss])[case.loss]
    return [row(side, case, own) for side in sides]


VECTOR = read_case("TM-v1")  # eps at its default, which is added to the difference


def test_each_implementation_is_within_budget_or_not():
    broken, right, with_other_eps = table_of(
        VECTOR,
        theirs(lambda anchor, positive, negative, reduction="mean", cotangent=None: larger(
            reference.triplet_margin_loss(anchor, positive, negative, reduction=reduction, cotangent=cotangent))),
        ours(),
        theirs(plain(), fixed={"eps": 0.0}),
    )  # fmt: skip
    assert [entry.says for entry in (broken, right, with_other_eps)] == [WRONG, RIGHT, NOTHING]
    assert broken.words.startswith("no: loss[0] is ")
    assert right.words.startswith("yes, ")
    assert with_other_eps.words == "unsupported: eps = 1e-06, it works with 0"


def test_the_row_of_the_page_is_its_own_answer():
    frozen = next(vector for vector in vectors(LOSS) if vector.id == "TM-v1")
    shown = page_row(VECTOR)
    assert np.allclose(shown.arrays["loss"].astype(float), frozen.value, rtol=1e-15, atol=0)
    assert shown.arrays.keys() == {"loss", *(f"gradient of {name}" for name in frozen.gradients)}


def test_an_error_is_said_in_its_row():
    def function(anchor, positive, negative, reduction="mean", cotangent=None):
        raise RuntimeError("not today")

    (entry,) = table_of(VECTOR, theirs(function))
    assert (entry.says, entry.words) == (WRONG, "errored: raised RuntimeError: not today")


def test_nobody_is_wrong_where_a_decision_is_undecided():
    tied = replace(TIED, parameters={"margin": 0.3}, cotangent=np.ones(()))
    first, last = table_of(tied, ours(TIED.loss), theirs(last_of_ties, TIED.loss))
    assert not np.array_equal(first.arrays["gradient of embeddings"], last.arrays["gradient of embeddings"])
    assert {(entry.says, entry.words) for entry in (first, last)} == {(UNSAID, "undecided: hardest negative at [0]")}


def test_somebody_is_wrong_beside_an_undecided_decision():
    tied = replace(TIED, parameters={"margin": 0.3}, cotangent=np.ones(()))

    def wrong(embeddings, labels, margin=0.3, reduction="mean", cotangent=None):
        return larger(last_of_ties(embeddings, labels, margin=margin, reduction=reduction, cotangent=cotangent))

    assert table_of(tied, theirs(wrong, TIED.loss))[0].says == WRONG


# Processes that are none


class Crashing(InProcess):
    """Answers plain calls, and crashes on the others."""

    def ask(self, case):
        plain_call = case.inputs["anchor"].ravel()[:2].tolist() == [1.0, 2.0]
        return super().ask(case) if plain_call else Answer(failure="crashed (exit status 7)")


def test_a_process_that_dies_again_and_again_ends_the_search():
    dying = Side("", "dying", Crashing(Implementation({LOSS: reference.triplet_margin_loss}), "numpy"), False)
    pair = pair_of(ours(), dying)
    with pytest.raises(Crashed, match="exit status 7"):
        search(pair, LOSS)
    assert pair.stopped == {"B": "crashed (exit status 7)"}


def test_a_process_that_dies_is_said_in_its_row():
    dying = Side("", "dying", Crashing(Implementation({LOSS: reference.triplet_margin_loss}), "numpy"), False)
    (entry,) = table_of(replace(VECTOR, inputs=ROWS, cotangent=np.ones(5)), dying)
    assert (entry.says, entry.words) == (WRONG, "errored: crashed (exit status 7)")
