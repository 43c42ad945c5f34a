"""Drawings of calls of a batch: the rows by class, and what each anchor or pair is compared with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from docs.generate.drawing.given import hinge, radius
from docs.generate.drawing.options import option
from docs.generate.drawing.scene import At, Drawing, Line, Point, Scene, finite, number, subscript
from lossproof.reference.batch_hard import largest
from lossproof.reference.candidates import as_sets
from lossproof.reference.pairwise import all_pairs, pair_metric
from lossproof.reference.semi_hard import preferred
from lossproof.spec import Example

_SETS = ("candidates", "candidate_labels", "candidate_mask", "candidate_index")
MINED = "A shape is a class. Solid: the positive; dashed: the negative that is taken; the band ends at d(a, p) + m."
ROWS = "A shape is a class; x is a row of the batch, c a candidate."
CENTERS = "A shape is a class. Filled: a row; hollow: the center of a class, joined with its rows."
RAYS = "A shape is a class. Filled: a row; hollow: the table of classes, q the queue. Directions are compared."


def picks(example: Example) -> Iterator[tuple[Any, ...]]:
    """Yield anchor, positive, negative and both distances of each term of a mined loss that takes part."""
    given = example.inputs
    sets = as_sets(given["embeddings"], given["labels"], given.get("mask"), *(given.get(name) for name in _SETS))
    hard = example.loss == "batch_hard_triplet_loss"
    d = all_pairs(sets, pair_metric(option(example, "distance"), float(option(example, "floor") or 0.0))).value
    positive, negative = sets.pairs(include_self=hard and option(example, "include_self"))
    anchors = np.flatnonzero(positive.any(-1) & negative.any(-1))
    if hard:
        near, far = largest(np.where(positive, d, -np.inf)), largest(np.where(negative, -d, -np.inf))
        yield from ((a, near[a], far[a], d[a, near[a]], d[a, far[a]]) for a in anchors)
    else:
        farther = (d[:, None, :] > d[:, :, None]) & negative[:, None, :]
        chosen = np.argmax(preferred(d, farther, negative), axis=-1)
        for a in anchors:
            yield from ((a, p, chosen[a, p], d[a, p], d[a, chosen[a, p]]) for p in np.flatnonzero(positive[a]))


def rows_of(example: Example, rows: str, labels: str, letter: str) -> list[Point | None]:
    """Return the rows of an array as points, by class; None where one has no place."""
    of = example.inputs.get(labels)
    classes = sorted({*example.inputs.get("labels", ()), *example.inputs.get("candidate_labels", ())})
    known = {label: tone for tone, label in enumerate(classes)}
    return [
        Point(f"{letter}{subscript(i)}", tuple(map(float, row)), known[of[i]] if of is not None else i)
        if finite(row)
        else None
        for i, row in enumerate(example.inputs[rows])
    ]


def notes(points: list[Point | None], words: str = "Row") -> tuple[str, ...]:
    """Return which rows have no place."""
    return tuple(f"{words} {i} holds NaN or infinity and has no place." for i, point in enumerate(points) if not point)


def mined(example: Example) -> Drawing:
    """Return a scene for each term of a mined loss."""
    own = rows_of(example, "embeddings", "labels", "x")
    second = "candidates" in example.inputs
    others = rows_of(example, "candidates", "candidate_labels", "c") if second else own
    scenes = []
    unknown = notes(own) + (notes(others, "Candidate") if second else ())
    for a, p, n, ap, an in () if unknown else picks(example):
        anchor, positive, negative = own[a], others[p], others[n]
        if not (anchor and positive and negative):
            continue
        used = {anchor, positive, negative}
        every = [point for point in dict.fromkeys([*own, *others]) if point]
        points = tuple(point if point in used else faded(point) for point in every)
        lines = (Line(anchor.at, positive.at, "near", number(ap)), Line(anchor.at, negative.at, "far", number(an)))
        reach = None if option(example, "soft_margin") else radius(example, float(ap + option(example, "margin")), 1)
        title = f"{anchor.name}, {positive.name}, {negative.name}: {hinge(example, float(ap), float(an))}"
        scenes.append(Scene(title, points, lines, None if reach is None else (anchor.at, reach)))
    return Drawing(tuple(scenes), MINED, unknown) if scenes else batch(example)


def faded(point: Point) -> Point:
    """Return a point that has no part in a term."""
    return Point(point.name, point.at, point.tone, faint=True, hollow=point.hollow)


def batch(example: Example) -> Drawing:
    """Return one scene of the rows of a batch."""
    own = rows_of(example, "embeddings", "labels", "x")
    others = rows_of(example, "candidates", "candidate_labels", "c") if "candidates" in example.inputs else []
    return one([*own, *others], (), ROWS, notes(own) + notes(others, "Candidate"))


def one(points: list[Point | None], lines: tuple[Line, ...], legend: str, unknown: tuple[str, ...]) -> Drawing:
    """Return a drawing of one scene; of none where no row has a place."""
    there = tuple(point for point in points if point)
    return Drawing((Scene("", there, lines),) if there else (), legend, unknown)


def centers(example: Example) -> Drawing:
    """Return the rows with the centers of their classes."""
    own, of = rows_of(example, "embeddings", "labels", "x"), rows_of(example, "centers", "", "c")
    labels: Any = example.inputs["labels"]
    table = [Point(c.name, c.at, _tone(example, i), hollow=True) if c else None for i, c in enumerate(of)]
    mine = [(x, table[k]) for x, k in zip(own, labels, strict=True) if 0 <= k < len(table)]
    lines = tuple(Line(x.at, c.at, "near") for x, c in mine if x and c)
    return one([*own, *table], lines, CENTERS, notes(own) + notes(of, "Center"))


def rays(example: Example) -> Drawing:
    """Return rows and classes as directions from the origin."""
    tables = {"class_weights": "w", "lookup_table": "w", "queue": "q"}
    own = rows_of(example, "embeddings", "labels", "x")
    others = [
        p for name, letter in tables.items() if name in example.inputs for p in rows_of(example, name, "", letter)
    ]
    tones = [_tone(example, i) if p and p.name[0] == "w" else 3 for i, p in enumerate(others)]
    table = [
        Point(p.name, p.at, tone, faint=p.name[0] == "q", hollow=True) if p else None
        for tone, p in zip(tones, others, strict=True)
    ]
    origin: At = (0.0,) * len(example.inputs["embeddings"][0])
    lines = tuple(Line(origin, p.at, "ray") for p in [*own, *table] if p)
    return one([*own, *table], lines, RAYS, notes(own) + notes(others, "Class"))


def _tone(example: Example, label: int) -> int:
    classes = sorted(set(example.inputs.get("labels", ())))
    return classes.index(label) if label in classes else len(classes)
