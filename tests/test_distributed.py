"""The reference against the worked examples of batches over processes, and what adds up whatever the split."""

import numpy as np
import pytest

import lossproof.reference as reference
from lossproof.conformance.host.case import inputs_of
from lossproof.spec import losses, page

EXAMPLES = {
    f"{clause.id}-{example.index}": example
    for clause in page("distributed").clauses.values()
    for example in clause.examples
}
every_example = pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
RNG = np.random.default_rng(0)
ROWS, LABELS = RNG.standard_normal((7, 3)), np.array([0, 1, 0, 2, 1, 0, 2])
TABLE, LOGITS = RNG.standard_normal((3, 3)), RNG.standard_normal((7, 3))


def inputs(name):
    """Return arrays for what every call of a loss has."""
    of_kind = {"label": LABELS, "bool": LABELS == 1}
    found = {}
    for key, entry in losses()[name].inputs.items():
        if not entry.get("optional"):
            rows = np.abs(LOGITS) if key == "targets" else LOGITS + len(found)
            found[key] = of_kind.get(entry["kind"], rows if entry["shape"].split()[0] in ("B", "...") else TABLE)
    return found


@every_example
def test_an_example_has_what_each_process_returns(example):
    call = inputs_of(example.loss, example.inputs)
    found = reference.shares(getattr(reference, example.loss), example.split, **call, **example.parameters)
    assert len(found) == len(example.split) == len(example.shares)
    for got, want in zip(found, example.shares, strict=True):
        np.testing.assert_array_equal(got, np.array(want))


@every_example
def test_an_example_is_that_of_one_device(example):
    call, loss = inputs_of(example.loss, example.inputs), getattr(reference, example.loss)
    value = loss(**call, **example.parameters)
    np.testing.assert_array_equal(value, np.array(example.value))
    _, gradients = loss(**call, **example.parameters, cotangent=np.ones_like(value))
    for name, want in example.gradient.items():
        np.testing.assert_array_equal(gradients[name], np.array(want))


@pytest.mark.parametrize("split", [[7], [3, 4], [0, 5, 2], [2, 0, 0, 5]], ids=str)
@pytest.mark.parametrize("name", losses())
def test_shares_add_up_to_the_loss(name, split):
    loss, call = getattr(reference, name), inputs(name)
    for reduction in losses()[name].front.get("reductions", [None]):
        options = {} if reduction is None else {"reduction": reduction}
        found, whole = reference.shares(loss, split, **call, **options), loss(**call, **options)
        together = np.concatenate(found) if reduction == "none" else sum(found)
        np.testing.assert_allclose(together, whole, rtol=1e-14)


def test_a_split_has_all_rows():
    with pytest.raises(ValueError, match="add up to 7 rows"):
        reference.shares(reference.circle_loss, [3, 3], embeddings=ROWS, labels=LABELS)
