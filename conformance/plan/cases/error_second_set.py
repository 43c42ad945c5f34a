"""What can be wrong with a second set of rows: the same questions for every loss that takes one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lossproof.conformance.host.arrays import HALVES
from lossproof.conformance.plan.cases.wrong import (
    Change,
    Wrong,
    no_features,
    not_one_a_unit,
    same,
    twice_as_wide,
    typed,
)

ARGUMENTS = ("candidates", "candidate_labels", "candidate_mask", "candidate_index")
ROWS, LABELS, MASK, INDEX = ARGUMENTS
_BOTH = (ROWS, LABELS)


def wrong() -> Iterator[Wrong]:
    """Yield second sets that are none: CV-26, CV-29 to CV-31, PW-13."""
    yield Wrong("PW-13", "candidates without labels", missing=(LABELS,), beside=_BOTH)
    for name in (LABELS, MASK, INDEX):
        absent = tuple(n for n in _BOTH if n != name)
        yield Wrong("PW-13", f"{name} without candidates", missing=absent, beside=(*_BOTH, name))
    yield from _rows()
    yield from _labels()
    for dtype, word in (("float32", "numbers"), ("int64", "integers"), ("uint8", "bytes")):
        yield _changed("CV-29", f"{MASK} of {word}", MASK, typed(dtype), dtype)
    yield from not_one_a_unit("CV-30", MASK, "M", (*_BOTH, MASK))
    for dtype, word in (("float32", "numbers"), ("bool", "booleans")):
        yield _changed("PW-13", f"{INDEX} of {word}", INDEX, typed(dtype), dtype)
    yield from not_one_a_unit("PW-13", INDEX, "B", (*_BOTH, INDEX))


def _rows() -> Iterator[Wrong]:
    yield _changed("PW-13", "candidates one axis", ROWS, lambda a: a[:, 0])
    yield _changed("PW-13", "candidates three axes", ROWS, lambda a: a[:, None])
    for change in (twice_as_wide, lambda a: a[:, :1], no_features):
        yield _changed("PW-13", "candidates of another width", ROWS, change)
    for dtype, word in (("int64", "integer"), ("bool", "boolean")):
        yield _changed("CV-26", f"{word} candidates", ROWS, typed(dtype), dtype)
    yield Wrong("CV-26", "candidates narrower than embeddings", {ROWS: same}, {ROWS: HALVES[0]}, beside=_BOTH)


def _labels() -> Iterator[Wrong]:
    for dtype in ("float32", "float64"):
        yield _changed("CV-31", "float labels of candidates", LABELS, lambda a: a.astype(float), dtype)
    yield _changed("CV-31", "boolean labels of candidates", LABELS, lambda a: a > 0, "bool")
    yield _changed("CV-31", "labels of candidates (M, 1)", LABELS, lambda a: a[:, None])
    yield _changed("CV-31", "too few labels of candidates", LABELS, lambda a: a[:-1])
    yield _changed("CV-31", "too many labels of candidates", LABELS, lambda a: np.append(a, a[:1]))
    yield _changed("CV-31", "one label for all candidates", LABELS, lambda a: a[:1])


def _changed(clause: str, label: str, name: str, change: Change, dtype: str = "") -> Wrong:
    """Return a call in which one argument of the second set is changed."""
    return Wrong(clause, label, {name: change}, {name: dtype} if dtype else {}, beside=(*_BOTH, name))
