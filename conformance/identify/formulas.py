"""Distances, triplets and pairs in every variant that is recognised, in numpy, and values alone.

What is a setting of a page is confirmed with the reference, on fresh batches. This is for the search, which asks
thousands of times, and for what no page has.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array

Options = Mapping[str, Any]


class Batch(dict[str, Array]):
    """The arrays of one call, and what was computed of them: thousands of candidates ask for the same distances."""

    def __init__(self, arrays: Mapping[str, Array]):
        super().__init__(arrays)
        self._known: dict[Any, Any] = {}

    def once(self, what: Hashable, compute: Callable[[], Any]) -> Any:
        """Return what is computed of the arrays, and compute it where nobody has."""
        if what not in self._known:
            if len(self._known) > MOST:
                self._known.clear()
            self._known[what] = compute()
        return self._known[what]


MOST = 2000  # things that are remembered of one call


def kind_of(o: Options) -> tuple[Any, ...]:
    """Return what a distance depends on."""
    return tuple(o.get(name) for name in ("distance", "p", "eps", "eps_at", "signed", "floor", "over"))


def unit(rows: Array) -> Array:
    """Return rows divided by their norms; a row of zeros stays."""
    norm = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(norm > 0, norm, 1))


def distance(x: Array, y: Array, o: Options) -> Array:
    """Return the distances of rows: those of the page, and a norm whose differences are not absolute."""
    kind, p, eps, place = o.get("distance", "p_norm"), o.get("p", 2.0), o.get("eps", 0.0), o.get("eps_at", "difference")
    if kind == "cosine":
        return np.asarray(1 - np.sum(unit(x) * unit(y), axis=-1))
    t = x - y
    if kind in ("squared_euclidean", "euclidean"):
        squared = np.maximum(np.sum(t * t, axis=-1), o.get("floor", 0.0))
        squared = squared / t.shape[-1] if o.get("over") == "features" else squared
        return np.asarray(squared if kind == "squared_euclidean" else np.sqrt(squared))
    t = t + eps if place == "difference" else t
    t = t if o.get("signed") else np.abs(t)
    if np.isinf(p):
        power = np.max(t, axis=-1, initial=0.0)
        return np.asarray(power + eps if place == "root" else np.maximum(power, eps) if place == "floor" else power)
    power = np.sum(t**p, axis=-1)
    power = power + eps if place == "root" else np.maximum(power, eps) if place == "floor" else power
    return np.asarray(power ** (1 / p))


def hinge(slack: Array, o: Options) -> Array:
    """Return the term of a slack m + d(a, p) - d(a, n)."""
    kind = o.get("hinge", "hinge")
    if kind == "soft":
        return np.logaddexp(0.0, slack)
    positive = np.where(slack <= 0, 0.0, slack)  # NaN stays
    return positive * positive if kind == "squared" else positive


def triplets(inputs: Batch, o: Options) -> tuple[Array, Array]:
    """Return the terms of given triplets, and that all of them take part."""

    def gap() -> Array:
        a, p, n = (inputs[name] for name in ("anchor", "positive", "negative"))
        ap, an = distance(a, p, o), distance(a, n, o)
        return np.asarray(ap - (np.minimum(an, distance(p, n, o)) if o.get("swap") else an))

    found = inputs.once((*kind_of(o), o.get("swap")), gap)
    terms = hinge(o.get("margin", 0.0) + (-found if o.get("sign") == "flipped" else found), o)
    return terms, np.ones(terms.shape, bool)


def pairs(inputs: Batch, o: Options) -> tuple[Array, Array]:
    """Return the terms of given pairs: squared as on the page, or linear, or with the legacy hinge of a square."""
    d = inputs.once(kind_of(o), lambda: distance(inputs["x1"], inputs["x2"], o))
    margin, form, apart = o.get("margin", 1.0), o.get("form", "squared"), inputs["dissimilar"]
    left = margin - (d * d if form == "of the square" else d)
    beyond = np.where(left <= 0, 0.0, left)
    beside = d if "near" not in o else np.where(d <= o["near"], 0.0, d - o["near"])
    near = beside if form == "linear" else beside * beside
    terms = o.get("factor", 0.5) * np.where(apart, beyond * beyond if form == "squared" else beyond, near)
    return terms, np.ones(terms.shape, bool)


def over_the_others(inputs: Batch, o: Options) -> tuple[Array, Array]:
    """Return cross-entropies whose smoothing goes to the K - 1 other classes alone."""
    logits, labels, eps = inputs["logits"], inputs["labels"], o["label_smoothing"]
    logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    own = np.eye(logits.shape[1])[labels]
    terms = -np.sum(logs * (own * (1 - eps) + (1 - own) * eps / (logits.shape[1] - 1)), axis=1)
    return terms, np.ones(terms.shape, bool)


def by_a_power(inputs: Batch, o: Options) -> tuple[Array, Array]:
    """Return focal terms: cross-entropies times a power of 1 - p, where p is the probability of the label."""
    logs = inputs["logits"] - np.logaddexp.reduce(inputs["logits"], axis=1, keepdims=True)
    own = np.eye(logs.shape[1], dtype=bool)[inputs["labels"]]
    terms = -logs[own] * (-np.expm1(logs[own])) ** o["power"]
    return terms, np.ones(terms.shape, bool)


def of_products(inputs: Batch, o: Options) -> tuple[Array, Array]:
    """Return cross-entropies of products of rows: none is divided by its norm, or those of the classes alone are."""
    weights = inputs["class_weights"]
    products = inputs["embeddings"] @ (unit(weights) if o.get("unit") == "class_weights" else weights).T
    logs = o["scale"] * products
    terms = np.logaddexp.reduce(logs, axis=1) - logs[np.eye(logs.shape[1], dtype=bool)[inputs["labels"]]]
    return terms, np.ones(terms.shape, bool)


def to_centers(inputs: Batch, o: Options) -> tuple[Array, Array]:
    """Return the terms of rows and the centers of their labels, without the page's floor and ceiling."""
    own = {"distance": o.get("norm", "squared_euclidean"), "over": o.get("over")}
    terms = o["factor"] * distance(inputs["embeddings"], inputs["centers"][inputs["labels"]], own)
    return terms, np.ones(terms.shape, bool)


def easy_margin(inputs: Batch, o: Options) -> tuple[Array, Array]:
    """Return cross-entropies in which the label's angle has a margin where it is below a right angle alone."""
    cosines = unit(inputs["embeddings"]) @ unit(inputs["class_weights"]).T
    shifted = np.cos(np.arccos(np.clip(cosines, -1, 1)) + o["margin"])
    own = np.eye(cosines.shape[1], dtype=bool)[inputs["labels"]]
    logits = o["scale"] * np.where(own & (cosines > 0), shifted, cosines)
    terms = np.logaddexp.reduce(logits, axis=1) - logits[own]
    return terms, np.ones(terms.shape, bool)


def reduced(terms: Array, part: Array, how: str, rows: int) -> Array:
    """Return terms as a reduction has them: those of the page, and "rows", their sum over the number of rows."""
    if how == "none":  # of triplets the page gives the sum of each anchor
        own = np.where(part, terms, 0.0)
        return own.sum(axis=(1, 2)) if own.ndim == 3 else own
    total = terms[part].sum()
    if how == "sum":
        return np.asarray(total)
    over = rows if how == "rows" else int(part.sum() if how == "mean" else (terms[part] > 0).sum())
    return np.asarray(total / over if over else total)
