"""Broken updates of the memory of OIM: the worked examples catch each."""

import numpy as np
import pytest

from lossproof.spec import clauses


def broken(*, again=None, normalise=None, push=None, old=False, momentum=None):
    """Return the loop with one thing wrong."""

    def update(v, q, head, x, y, gamma, unit, mask):
        v, q, first = v.copy(), q.copy(), v.copy()
        for row, label in zip(x[mask], y[mask], strict=True):
            if label >= 0:
                share = gamma if momentum is None else momentum(gamma)
                v[label] = share * (first if old else v)[label] + (1 - share) * row
                norm = np.linalg.norm(v[label])
                if normalise(unit) if normalise else unit:
                    v[label] = v[label] / (norm if again else norm or 1.0)
            elif push:
                head = push(q, head, row)
            else:
                q[head], head = row, (head + 1) % len(q)
        return v, q, head

    return update


def _stops(q, head, row):
    if head < len(q):
        q[head] = row
    return min(head + 1, len(q) - 1)


def _unit(q, head, row):
    q[head] = row / np.linalg.norm(row)
    return (head + 1) % len(q)


def _backwards(q, head, row):
    q[head] = row
    return (head - 1) % len(q)


BROKEN = {
    "not normalised": broken(normalise=lambda unit: False),
    "always normalised": broken(normalise=lambda unit: True),
    "from the old row each time": broken(old=True),
    "momentum and its complement swapped": broken(momentum=lambda gamma: 1 - gamma),
    "a zero row is divided by its norm": broken(again=True),
    "the queue does not go round": broken(push=_stops),
    "rows of the queue are normalised": broken(push=_unit),
    "the head goes backwards": broken(push=_backwards),
}


def fails(update):
    """Return the clauses of whose examples an update gives another result."""
    found = set()
    for key, clause in clauses().items():
        for example in clause.examples:
            if example.function == "update_oim_memory" and not example.raises:
                kinds = {"labels": int, "head": int, "mask": bool}
                given = {n: np.array(v, kinds.get(n, float)) for n, v in example.inputs.items()}
                mask = given.pop("mask", np.ones(len(given["labels"]), bool))
                options = example.parameters
                with np.errstate(all="ignore"):
                    got = update(*given.values(), options.get("momentum", 0.5), options.get("normalise", True), mask)
                pairs = zip(got, example.result, strict=True)
                if not all(np.allclose(g, np.array(w), rtol=0, atol=1e-12, equal_nan=True) for g, w in pairs):
                    found.add(key)
    return found


def test_the_right_update_is_not_accused():
    assert not fails(broken())


@pytest.mark.parametrize("wrong", BROKEN.values(), ids=BROKEN)
def test_a_broken_update_fails_an_example(wrong):
    assert fails(wrong)
