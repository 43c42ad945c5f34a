"""A second set of rows: the field `candidates` of the losses that compare the rows of a batch, filled with numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.plan.cases import batches
from lossproof.conformance.plan.cases.structures import Structure

OTHERS, MASKED, INDEXED, BOTH = "others", "masked", "indexed", "masked and indexed"
CANDIDATES = (None, OTHERS, MASKED, INDEXED, BOTH)
# Probes of their own ask for these
EMPTY, AS_MANY, AS_MANY_MASKED = "none at all", "as many", "as many, masked"
FEWER, CROWD, ITSELF = "fewer", "a crowd", "the rows themselves"
SECOND_SETS = (*CANDIDATES[1:], EMPTY, AS_MANY, AS_MANY_MASKED, FEWER, CROWD, ITSELF)
MORE = 2  # candidates beyond the number of anchors
CROWDED = 1031  # candidates, a prime, so that no block divides them


def second_set(structure: Structure, inputs: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return the arguments of the second set of a structure, if it has one.

    Where anchors are named, most named candidates hold the row of their anchor, and some hold anything with any label;
    one is named by two anchors. No other candidate holds the row of an anchor: they would be at distance 0.
    """
    kind = structure.get("candidates")
    if kind is None:
        return {}
    anchors, labels = inputs["embeddings"], inputs["labels"]
    if kind == ITSELF:  # and no index says so: each anchor is its own positive
        return {"candidates": anchors.copy(), "candidate_labels": labels.copy()}
    count = _count(kind, len(anchors))
    shape = (count, anchors.shape[1])
    rows, names = batches.embeddings({**structure, "shape": shape}, rng), _names(structure, labels, count, rng)
    if kind == CROWD:
        rows[-3:] *= 8.0  # the last are the hardest positives
    found = {"candidates": rows, "candidate_labels": names}
    if kind in (MASKED, BOTH, AS_MANY_MASKED):
        chosen = np.asarray(rng.random(count) < 0.7)
        found["candidate_mask"] = np.asarray(chosen | (np.arange(count) == rng.integers(count)))
    if kind in (INDEXED, BOTH):
        places, turn = rng.permutation(count)[: len(anchors)], rng.random(len(anchors))
        alike = turn < 0.6
        rows[places[alike]], names[places[alike]] = anchors[alike], labels[alike]
        found["candidate_index"] = np.where(turn < 0.8, places, -1)
        if len(anchors) > 2 and not alike[0]:
            found["candidate_index"][0] = places[1]  # two anchors name it
    return found


def _count(kind: str, anchors: int) -> int:
    alike = {EMPTY: 0, AS_MANY: anchors, AS_MANY_MASKED: anchors, FEWER: (anchors + 1) // 2, CROWD: CROWDED}
    return alike.get(kind, anchors + MORE)


def _names(structure: Structure, labels: Array, count: int, rng: np.random.Generator) -> Array:
    """Return labels of candidates: those of the anchors, and one that no anchor has."""
    known = np.unique(labels)
    if structure["identities"] == "one" or not len(known):
        return np.full(count, known[0] if len(known) else 0, np.int64)
    return np.asarray(rng.choice([*known, *known, int(known.max()) + 1], size=count), np.int64)


def open_beside(case: Case) -> dict[str, Array]:
    """Return what CV-11 leaves open with a second set: anchors that are in a term with NaN, and all candidates.

    Every candidate may be in a term with such an anchor; an anchor that holds no NaN and meets none is in none.
    """
    inputs = case.inputs
    bad = {name: ~np.isfinite(inputs[name]).all(axis=-1) for name in ("embeddings", "candidates")}
    met = bad["candidates"] & inputs.get("candidate_mask", np.array(True))
    index = inputs.get("candidate_index", np.full(len(inputs["labels"]), -1))
    meets = (met & (index[:, None] != np.arange(len(met)))).any(axis=-1)
    every = np.ones(len(met), bool)
    return {"embeddings": np.asarray(bad["embeddings"] | meets), "candidates": every}
