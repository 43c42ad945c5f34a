"""The second oracle: the same losses in mpmath, one number at a time, typed apart from the reference.

The module of a page gives `terms(inputs, options, frozen)`: the unreduced loss, from object arrays of 70-digit numbers.
What carries no gradient is computed from `frozen`, the inputs as they were given. A page whose mean does not divide by
the terms that take part gives `counted(terms, inputs, options)` too: how many of a mean's terms each term stands for;
or `of_units(inputs)`: what each unit counts for in a mean, besides its weight.

The gradient is the numerical derivative of this value at 70 digits, so no formula for it is shared with the reference;
at a kink it means nothing, and the judge never asks there. Where a term depends on its own row alone, all rows are
moved at once; elsewhere a few entries are drawn, and the others are NaN: not looked at. Slow, for small cases only.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from typing import Any

import mpmath
import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.spec import Page, losses

_DIGITS = 70  # so that a difference shows an entry far smaller than the loss
_STEP = "1e-17"  # central differences: error of the order of the square, far below what float64 can see
_DRAWN = 4  # entries of an input whose gradient is looked at, where every term may depend on every row


def evaluate(case: Case, cotangent: Array) -> tuple[Array, dict[str, Array], dict[str, Array]]:
    """Return value, gradients and second derivatives of a case as its order asks."""
    with mpmath.workdps(_DIGITS):
        inputs = {name: _exact(a) for name, a in case.inputs.items()}
        value = _loss(case, inputs, inputs, _over(case, inputs))
        gradients = _gradients(case, cotangent, inputs) if case.order else {}
        second = {}
        if case.order == 2:
            h = mpmath.mpf("1e-12")
            moved = [
                {n: a + s * h * _exact(case.tangents[n]) if n in case.tangents else a for n, a in inputs.items()}
                for s in (1, -1)
            ]
            up, down = (_gradients(case, cotangent, at) for at in moved)
            second = {name: (up[name] - down[name]) / (2 * h) for name in up}
        first, along = ({n: _floats(a) for n, a in found.items()} for found in (gradients, second))
        return _floats(value), first, along


def blur(case: Case, scale: Array) -> dict[str, Array]:
    """Return how far the last digits move each gradient entry, where the error scales of the loss are `scale`."""
    step, size = float(_STEP), np.sum(scale[np.isfinite(scale)], dtype=float)
    with np.errstate(invalid="ignore"):
        return {
            name: 10.0 ** (4 - _DIGITS) * size / (step * np.fmax(np.abs(a), step))
            for name, a in case.inputs.items()
            if a.dtype.kind == "f"
        }


def _exact(array: Array) -> Array:
    if array.dtype.kind != "f":
        return array
    return np.array([mpmath.mpf(float(x)) for x in array.ravel()], object).reshape(array.shape)


def _floats(numbers: Array) -> Array:
    return np.array([float(x) for x in np.ravel(numbers)], np.float64).reshape(np.shape(numbers))


def _module(case: Case) -> Any:
    return importlib.import_module(f"lossproof.conformance.judge.exact.{losses()[case.loss].name}")


def _loss(case: Case, inputs: Mapping[str, Array], frozen: Mapping[str, Array], over: Any) -> Array:
    """Return the reduced loss; `over`, its denominator, carries no gradient: it is that of `frozen`."""
    terms = _module(case).terms(inputs, case.parameters, frozen)
    if losses()[case.loss].front["unit"] != "batch":  # where the parts are weighed
        terms = _weighed(frozen, terms)
    return np.asarray(terms, object) if over is None else np.array(mpmath.fsum(terms.ravel()) / over, object)


def _weights(inputs: Mapping[str, Array], terms: Array) -> Array:
    """Return the weight of each term, that of its unit: a pair (a, p) has that of its anchor."""
    own = inputs.get("weights")
    if own is None or own.shape == terms.shape:
        return np.full(terms.shape, mpmath.mpf(1), object) if own is None else own
    return np.repeat(own, terms.size // max(own.size, 1)).reshape(terms.shape)


def _weighed(inputs: Mapping[str, Array], terms: Array) -> Array:
    """Return the terms times their weights; nothing is left of a term of weight 0."""
    pairs = zip(_weights(inputs, terms).ravel(), terms.ravel(), strict=True)
    products = [w * t if w and t != 0 else mpmath.mpf(0) for w, t in pairs]
    return np.array(products, object).reshape(terms.shape)


def _over(case: Case, inputs: Mapping[str, Array]) -> Any:
    """Return what the sum of the terms is divided by, 1 for a sum; None where the terms are not added."""
    reduction = case.parameters.get("reduction", losses()[case.loss].parameters.get("reduction", {}).get("default"))
    if reduction in (None, "none", "sum"):
        return 1 if reduction == "sum" else None
    module, terms = _module(case), _module(case).terms(inputs, case.parameters, inputs)
    if hasattr(module, "counted"):
        counted = module.counted(terms, inputs, case.parameters)
    else:
        counted = inputs.get("mask", np.ones(terms.shape, bool))
        if reduction == "mean_nonzero":
            counted = counted & np.array([not t <= 0 for t in terms.ravel()], bool).reshape(terms.shape)
    shares, nothing = _weights(inputs, terms), mpmath.mpf(1)
    if hasattr(module, "of_units") and (units := module.of_units(inputs)) is not None:
        shares, nothing = shares * units, mpmath.inf  # over nothing the mean is 0, whatever its terms are
    return mpmath.fsum(w * int(n) for w, n in zip(shares.ravel(), np.ravel(counted), strict=True) if n) or nothing


def apart(page: Page, name: str) -> bool:
    """Whether each row of an input reaches the term of its own unit alone."""
    return page.front["unit"] == "row" and name in page.aligned


def _gradients(case: Case, cotangent: Array, inputs: Mapping[str, Array]) -> dict[str, Array]:
    page = losses()[case.loss]
    names = [n for n, entry in page.inputs.items() if entry.get("differentiable") and n in inputs]
    over = _over(case, inputs)
    return {n: (_by_column if apart(page, n) else _by_entry)(case, cotangent, inputs, over, n) for n in names}


def _by_column(case: Case, cotangent: Array, inputs: Mapping[str, Array], over: Any, name: str) -> Array:
    """Move one column of all rows at once: each term then gives the derivative with respect to its own row."""
    seeds = np.broadcast_to(_exact(np.asarray(cotangent, float)), inputs[name].shape[:-1]) / (over or 1)
    gradient: Array = np.full(inputs[name].shape, mpmath.mpf(0), object)
    module = _module(case)
    for k in range(gradient.shape[-1]):
        ends = []
        steps = np.array([_step(x) for x in inputs[name][..., k].ravel()], object).reshape(gradient.shape[:-1])
        for sign in (1, -1):
            moved = inputs[name].copy()
            moved[..., k] = moved[..., k] + sign * steps
            ends.append(_weighed(inputs, module.terms({**inputs, name: moved}, case.parameters, inputs)))
        gradient[..., k] = seeds * (ends[0] - ends[1]) / (2 * steps)
    return gradient


def _by_entry(case: Case, cotangent: Array, inputs: Mapping[str, Array], over: Any, name: str) -> Array:
    """Move single entries, a few that the case draws."""
    gradient = np.full(inputs[name].shape, mpmath.nan, object)
    numbers = case.inputs[name].astype(np.float64).tobytes()
    rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(numbers, digest_size=8).digest(), "little"))
    drawn = rng.permutation(gradient.size)[:_DRAWN]
    seeds = _exact(np.asarray(cotangent, float))
    for place in (tuple(map(int, np.unravel_index(i, gradient.shape))) for i in drawn):
        ends, step = [], _step(inputs[name][place])
        for sign in (1, -1):
            moved = inputs[name].copy()
            moved[place] = moved[place] + sign * step
            ends.append(mpmath.fsum(np.ravel(seeds * _loss(case, {**inputs, name: moved}, inputs, over))))
        gradient[place] = (ends[0] - ends[1]) / (2 * step)
    return gradient


def _step(x: Any) -> Any:
    h = mpmath.mpf(_STEP)
    return h * max(abs(x), h) if mpmath.isfinite(x) else h
