"""Drawings of calls that name their rows: triplets, pairs, distances of triplets."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from docs.generate.drawing.options import option
from docs.generate.drawing.scene import At, Drawing, Line, Point, Scene, finite, number, subscript
from lossproof.reference.distances import metric
from lossproof.spec import Example

TRIPLET = "● anchor, ■ positive, ▲ negative; the band is what a negative must lie beyond, d(a, p) + m from the anchor."
PAIR = (
    "● one row, ■ the other where they are similar, ▲ where they are not; the band is the margin of a dissimilar pair."
)

RATES = "● a distance of one identity, ■ of two, ◆ a threshold."


def distance_of(example: Example) -> Any:
    """Return the distance that an example names."""
    words = [option(example, name) for name in ("distance", "p", "eps", "eps_at")]
    return metric(str(words[0]), float(words[1]), float(words[2]), str(words[3]))


def radius(example: Example, bound: float, width: int) -> float | None:
    """Return how far from a row of one or two features a distance reaches; None where that is no ball."""
    name, p, eps = (option(example, key) for key in ("distance", "p", "eps"))
    if name == "squared_euclidean":
        return sqrt(bound)
    round_ = name == "euclidean" or (name == "p_norm" and (width == 1 or p == 2.0) and eps <= 1e-6)
    return bound if round_ else None


def hinge(example: Example, near: float, far: float) -> str:
    """Return a term as it is computed."""
    if option(example, "soft_margin"):
        return f"ln(1 + exp({number(near)} − {number(far)}))"
    margin = float(option(example, "margin"))
    return f"max(0, {number(margin)} + {number(near)} − {number(far)}) = {number(max(0.0, margin + near - far))}"


def triplets(example: Example) -> Drawing:
    """Return a scene for each given triplet."""
    d, scenes, notes = distance_of(example), [], []
    rows = [np.asarray(example.inputs[name], float) for name in ("anchor", "positive", "negative")]
    rows = [row.reshape(-1, row.shape[-1]) for row in rows]
    mask = np.ravel(example.inputs.get("mask", [True] * len(rows[0])))
    for index, (a, p, n) in enumerate(zip(*rows, strict=True)):
        if not (finite(a) and finite(p) and finite(n)):
            notes.append(f"Row {index} holds NaN or infinity and has no place.")
            continue
        ap, an, pn = (float(d(x[None], y[None]).value[0]) for x, y in ((a, p), (a, n), (p, n)))
        swapped = bool(option(example, "swap")) and pn < an
        start, far = (p, pn) if swapped else (a, an)
        places: list[At] = [tuple(map(float, row)) for row in (a, p, n)]
        points = tuple(Point(name, at, tone) for tone, (name, at) in enumerate(zip("apn", places, strict=True)))
        lines = (
            Line(places[0], places[1], "near", number(ap)),
            Line(tuple(map(float, start)), places[2], "far", number(far)),
        )
        margin = 0.0 if option(example, "soft_margin") else float(option(example, "margin"))
        reach = None if option(example, "soft_margin") else radius(example, ap + margin, len(a))
        title = f"row {index}: " + (hinge(example, ap, far) if mask[index] else "masked out")
        centre = tuple(map(float, start))
        scenes.append(Scene(title, points, lines, None if reach is None else (centre, reach)))
    return Drawing(tuple(scenes), TRIPLET, tuple(notes))


def pairs(example: Example) -> Drawing:
    """Return a scene for each given pair."""
    d, scenes, notes = distance_of(example), [], []
    first, second = (np.asarray(example.inputs[name], float) for name in ("x1", "x2"))
    for index, (x, y) in enumerate(zip(first, second, strict=True)):
        if not (finite(x) and finite(y)):
            notes.append(f"Row {index} holds NaN or infinity and has no place.")
            continue
        apart, far = bool(np.ravel(example.inputs["dissimilar"])[index]), float(d(x[None], y[None]).value[0])
        at: list[At] = [tuple(map(float, row)) for row in (x, y)]
        reach = radius(example, float(option(example, "margin")), len(x)) if apart else None
        points = (Point("x₁", at[0]), Point("x₂", at[1], 2 if apart else 1))
        line = Line(at[0], at[1], "far" if apart else "near", number(far))
        title = f"row {index}: {'dissimilar' if apart else 'similar'}, d = {number(far)}"
        scenes.append(Scene(title, points, (line,), None if reach is None else (at[0], reach)))
    return Drawing(tuple(scenes), PAIR, tuple(notes))


def distances(example: Example) -> Drawing:
    """Return a scene for each triplet of which only the distances are given: the anchor is at 0."""
    scenes, notes = [], []
    margin = float(option(example, "margin"))
    for index, (ap, an) in enumerate(zip(*(np.ravel(example.inputs[n]) for n in ("d_ap", "d_an")), strict=True)):
        if not finite((ap, an)):
            notes.append(f"Triplet {index} has a distance that is no number.")
            continue
        points = (Point("a", (0.0,)), Point("p", (float(ap),), 1), Point("n", (float(an),), 2))
        lines = (Line((0.0,), (float(ap),), "near", number(ap)), Line((0.0,), (float(an),), "far", number(an)))
        scenes.append(Scene(f"triplet {index}", points, lines, ((0.0,), float(ap + margin))))
    return Drawing(tuple(scenes), TRIPLET, tuple(notes))


def thresholds(example: Example) -> Drawing:
    """Return the distances of pairs with the thresholds that accept them."""
    names = ("distances", "same", "thresholds")
    of, same, at = (np.ravel(example.inputs.get(name, ())).tolist() for name in names)
    if len(of) != len(same):
        return Drawing(notes=("Distances and labels do not agree.",))
    points = [Point("", (float(d),), 0 if s else 1) for d, s in zip(of, same, strict=True) if finite((d,))]
    marks = [Point(f"t{subscript(i)}", (float(t),), 3) for i, t in enumerate(at) if finite((t,))]
    return Drawing((Scene("", (*points, *marks)),), RATES) if points else Drawing(notes=("No distance is a number.",))
