"""The second oracle: the same losses in mpmath, one number at a time, typed apart from the reference.

The gradient is the numerical derivative of this value at 50 digits, so no formula for it is shared with the reference;
at a kink it means nothing, and the judge never asks there. Slow, for small cases only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.arrays import Array
from lossproof.conformance.case import Case

_DIGITS = 50
_STEP = "1e-17"  # central differences: error of the order of the square, far below what float64 can see

Row = list[Any]


def evaluate(case: Case, cotangent: Array) -> tuple[Array, dict[str, Array], dict[str, Array]]:
    """Return value, gradients and second derivatives of a case as its order asks."""
    with mpmath.workdps(_DIGITS):
        value = _value(case, case.inputs)
        gradients = _gradients(case, cotangent, case.inputs) if case.order else {}
        second = {}
        if case.order == 2:
            h = mpmath.mpf("1e-12")
            ahead, behind = (
                {n: _moved(a, case.tangents.get(n), s * h) for n, a in case.inputs.items()} for s in (1, -1)
            )
            up, down = _gradients(case, cotangent, ahead), _gradients(case, cotangent, behind)
            second = {name: (up[name] - down[name]) / (2 * h) for name in up}
        return (
            _floats(value),
            {n: _floats(g) for n, g in gradients.items()},
            {n: _floats(s) for n, s in second.items()},
        )


def _floats(numbers: Array) -> Array:
    return (
        np.array(np.vectorize(float, otypes=[np.float64])(numbers)) if np.size(numbers) else np.zeros(np.shape(numbers))
    )


def _moved(array: Array, tangent: Array | None, step: Any) -> Array:
    if tangent is None:
        return array
    return np.array(
        [
            mpmath.mpf(float(x)) + step * mpmath.mpf(float(t))
            for x, t in zip(array.ravel(), tangent.ravel(), strict=True)
        ],
        dtype=object,
    ).reshape(array.shape)


def _value(case: Case, inputs: Any) -> Array:
    terms, takes_part = _terms(case, inputs)
    return _reduced(terms, takes_part, case.parameters.get("reduction", "mean"))


def _terms(case: Case, inputs: Any) -> tuple[Array, Array]:
    a, p, n = (inputs[name] for name in ("anchor", "positive", "negative"))
    units = a.shape[:-1]
    takes_part = inputs.get("mask", np.ones(units, bool))
    terms = np.empty(units, object)
    for place in np.ndindex(units):
        terms[place] = _term(case, a[place], p[place], n[place]) if takes_part[place] else mpmath.mpf(0)
    return terms, takes_part


def _reduced(terms: Array, takes_part: Array, reduction: str) -> Array:
    if reduction == "none":
        return terms
    chosen = [t for t, takes in zip(terms.ravel(), takes_part.ravel(), strict=True) if takes]
    total = mpmath.fsum(chosen)
    count = {"sum": 1, "mean": len(chosen), "mean_nonzero": sum(not t <= 0 for t in chosen)}[reduction]
    return np.array(total / max(count, 1), dtype=object)


def _term(case: Case, a: Row, p: Row, n: Row) -> Any:
    options = case.parameters
    d = _distance(options)
    far = d(a, n)
    if options.get("swap", False):
        near = d(p, n)
        far = near if near < far else far
    term = mpmath.mpf(options.get("margin", 1.0)) + d(a, p) - far
    return mpmath.mpf(0) if term <= 0 else term


def _distance(options: Any) -> Callable[[Row, Row], Any]:
    name = options.get("distance", "p_norm")
    p, eps, eps_at = (
        options.get("p", 2.0),
        mpmath.mpf(options.get("eps", 1e-6)),
        options.get("eps_at", "difference"),
    )
    if name == "euclidean":
        p, eps = 2.0, mpmath.mpf(0)

    def minus(x: Row, y: Row) -> Row:
        return [mpmath.mpf(s) - mpmath.mpf(t) for s, t in zip(x, y, strict=True)]

    def norm(x: Row, y: Row) -> Any:
        sizes = [abs(t + (eps if eps_at == "difference" else 0)) for t in minus(x, y)]
        if any(mpmath.isnan(s) for s in sizes):
            return mpmath.nan
        if p == np.inf:
            return max(sizes)
        total = mpmath.fsum(s ** mpmath.mpf(p) if s else 0 for s in sizes)
        total = total + eps if eps_at == "root" else max(total, eps) if eps_at == "floor" else total
        return total ** (1 / mpmath.mpf(p)) if total else mpmath.mpf(0)

    def squared(x: Row, y: Row) -> Any:
        return mpmath.fsum(t * t for t in minus(x, y))

    def cosine(x: Row, y: Row) -> Any:
        u, w = [mpmath.mpf(s) for s in x], [mpmath.mpf(s) for s in y]
        size = mpmath.sqrt(mpmath.fsum(s * s for s in u) * mpmath.fsum(s * s for s in w))
        inner = mpmath.fsum(s * t for s, t in zip(u, w, strict=True))
        return 1 - (inner / size if size != 0 else inner)

    return {"p_norm": norm, "euclidean": norm, "squared_euclidean": squared, "cosine": cosine}[name]


def _gradients(case: Case, cotangent: Array, inputs: Any) -> dict[str, Array]:
    """Differentiate each term with respect to its own three rows, and weigh it as the reduction does."""
    terms, takes_part = _terms(case, inputs)
    reduction = case.parameters.get("reduction", "mean")
    chosen = (
        takes_part & np.array([not t <= 0 for t in terms.ravel()], bool).reshape(terms.shape)
        if reduction == "mean_nonzero"
        else takes_part
    )
    weight = 1 if reduction in ("none", "sum") else mpmath.mpf(1) / max(int(np.count_nonzero(chosen)), 1)
    names = ("anchor", "positive", "negative")
    gradients = {name: np.full(inputs[name].shape, mpmath.mpf(0), object) for name in names}
    h = mpmath.mpf(_STEP)
    for place in np.ndindex(terms.shape):
        if not takes_part[place] or terms[place] <= 0:
            continue
        rows = {name: [mpmath.mpf(x) for x in inputs[name][place]] for name in names}
        seed = mpmath.mpf(float(cotangent if reduction != "none" else cotangent[place])) * weight
        for name in names:
            for k, x in enumerate(rows[name]):
                ends = []
                for step in (h, -h):
                    moved = {**rows, name: [*rows[name][:k], x + step * max(abs(x), h), *rows[name][k + 1 :]]}
                    ends.append(_term(case, *moved.values()))
                gradients[name][(*place, k)] = seed * (ends[0] - ends[1]) / (2 * h * max(abs(x), h))
    return gradients
