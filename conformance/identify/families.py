"""What there is to be recognised: every candidate of every group of arguments, as data.

A group is what a function is called with: three rows, a pair and a label, rows with labels, and so on. A candidate is
one function of a group up to its numbers (margin, eps, scale), which `solve` finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import inf
from typing import Any

from lossproof.conformance.identify import circles, mined
from lossproof.conformance.identify.candidate import Candidate
from lossproof.conformance.identify.formulas import (
    by_a_power,
    easy_margin,
    of_products,
    over_the_others,
    pairs,
    to_centers,
    triplets,
)
from lossproof.spec.arguments import REDUCTIONS

MARGINS = (8.0,)  # every hinge is open there, and so its slack is linear in the margin
GRID = (8.0, 3.0, 1.0, 0.5, 0.3, 0.2, 0.1, 0.05)  # where what is picked, or counted, depends on the margin


@dataclass(frozen=True)
class Group:
    """Losses that are called with the same arrays."""

    losses: tuple[str, ...]
    candidates: Callable[[], Iterator[Candidate]]


DISTANCES: tuple[dict[str, Any], ...] = (
    *({"distance": "p_norm", "p": p, "eps": 0.0} for p in (2.0, 1.0, inf, 3.0, 4.0, 1.5)),
    {"distance": "squared_euclidean"},
    {"distance": "cosine"},
    {"distance": "euclidean"},
)
ROWS: tuple[dict[str, str], ...] = ({}, {"rows": "unit"})
OF_CLASSES = {"unit": "class_weights"}
SQUARED, OVER = {"distance": "squared_euclidean"}, {"over": "features"}
PER_FEATURE = "mean over the features"  # of the squared differences
HINGES: tuple[tuple[dict[str, Any], dict[str, Any], str, bool], ...] = (  # options, words, departs, with a margin
    ({}, {}, "", True),
    ({"soft_margin": True}, {"hinge": "soft"}, "", False),
    ({}, {"hinge": "soft"}, "margin and soft margin", True),
    ({}, {"hinge": "squared"}, "hinge squared", True),
    ({}, {"sign": "flipped"}, "sign flipped", True),
)


def _triplets() -> Iterator[Candidate]:
    spread: tuple[tuple[dict[str, Any], dict[str, Any], str], ...] = tuple((d, {}, "") for d in DISTANCES)
    signed = ({"distance": "p_norm", "p": p, "eps": 0.0} for p in (3.0, 1.0))
    spread += tuple((d, {"signed": True}, "differences not absolute") for d in signed)
    spread += ((SQUARED, OVER, PER_FEATURE),)
    for (d, own, of_distance), (options, words, departs, margin), rows, swap, reduction in product(
        spread, HINGES, ROWS, (False, True), REDUCTIONS
    ):
        soft = words.get("hinge") == "soft"
        if (of_distance and departs) or (rows and d["distance"] == "cosine") or (soft and reduction == "mean_nonzero"):
            continue
        yield Candidate(
            "triplet_margin_loss",
            {**d, **options, "swap": swap},
            {"margin": MARGINS} if margin else {},
            triplets,
            {**own, **words},
            rows,
            departs or of_distance,
            reduction,
        )


def _pairs() -> Iterator[Candidate]:
    forms = (("squared", ""), ("linear", "hinge not squared"), ("of the square", "hinge of the square"))
    for d, (form, departs), rows, labels, reduction in product(
        DISTANCES, forms, ROWS, ({}, {"labels": "similar"}), REDUCTIONS
    ):
        if not (rows and d["distance"] == "cosine"):
            starts = {"margin": (8.0, 1.0, 0.3, 0.05), "factor": (0.5,)}
            own: tuple[dict[str, str], ...] = ({}, OVER) if d == SQUARED and form == "squared" else ({},)
            for words in own:
                yield Candidate(
                    "contrastive_loss", d, starts, pairs, {"form": form, **words}, {**rows, **labels},
                    PER_FEATURE if words else departs, reduction,
                )  # fmt: skip


PAGES = {"all": "batch_all_triplet_loss", "hard": "batch_hard_triplet_loss", "semi-hard": "semi_hard_triplet_loss"}
NEAREST = {"hard, the anchor a positive": "batch_hard_triplet_loss"}  # else the semi-hard page


def _mined() -> Iterator[Candidate]:
    of_pairs = [d for d in DISTANCES if d["distance"] != "p_norm"]
    for way, d, (options, words, departs, margin), rows, reduction in product(
        mined.WAYS, of_pairs, HINGES, ROWS, (*REDUCTIONS, "rows")
    ):
        loss = PAGES.get(way) or NEAREST.get(way, "semi_hard_triplet_loss")
        own = {**options, "include_self": True} if way == "hard, the anchor a positive" else options
        apart = "" if way in PAGES or way in NEAREST else way
        soft = words.get("hinge") == "soft"
        if (rows and d["distance"] == "cosine") or (apart and departs) or (soft and reduction == "mean_nonzero"):
            continue
        if soft and way == "semi-hard within the margin":
            continue  # what it keeps depends on a margin
        if loss == "batch_all_triplet_loss" and options:
            own, departs = {}, "soft margin of all triplets"
        margins = GRID if way.startswith("semi-hard") or reduction == "mean_nonzero" else MARGINS
        starts = {"margin": margins} if margin else {}
        yield Candidate(
            loss, {**d, **own}, starts, mined.terms, {**words, "way": way}, rows, apart or departs, reduction
        )


def _circle() -> Iterator[Candidate]:
    starts = {"margin": (0.25, 0.4), "gamma": (16.0, 80.0, 256.0, 1.0)}
    for detach, reduction in product((True, False), REDUCTIONS):
        options, words = {"detach_weights": detach}, {"form": "the page's"}
        yield Candidate("circle_loss", options, starts, circles.terms, words, reduction=reduction)
    for departs, reduction in product(circles.FORMS, (*REDUCTIONS, "rows")):
        words = {"form": departs}
        yield Candidate("circle_loss", {}, starts, circles.terms, words, departs=departs, reduction=reduction)


def _batches() -> Iterator[Candidate]:
    yield from _mined()
    yield from _circle()


def _classes() -> Iterator[Candidate]:
    scales = (1.0, 16.0, 64.0)
    for reduction in REDUCTIONS[:3]:
        for beyond in ("keep", "linear", "continuous"):
            starts = {"scale": scales, "margin": (0.5, 0.1)}
            yield Candidate("arcface_loss", {"beyond_pi": beyond}, starts, reduction=reduction)
        yield Candidate(
            "arcface_loss", {}, {"scale": scales, "margin": (0.5, 0.1)}, easy_margin,
            departs="easy margin", reduction=reduction,
        )  # fmt: skip
        yield Candidate("cosface_loss", {}, {"scale": scales, "margin": (0.35, 0.1)}, reduction=reduction)
        for words, departs in (({}, "products in place of cosines"), (OF_CLASSES, "embeddings as long as they are")):
            yield Candidate(
                "cosface_loss", {"margin": 0.0}, {"scale": scales}, of_products, words,
                departs=departs, reduction=reduction,
            )  # fmt: skip


def _centers() -> Iterator[Candidate]:
    clamps: tuple[dict[str, float], ...] = ({}, {"ceiling": 1e12})  # the only one that anybody uses
    for rows, ceiling, reduction in product(ROWS, clamps, REDUCTIONS[:3]):
        yield Candidate("center_loss", ceiling, {"factor": (0.5,)}, convert=rows, reduction=reduction)
    for rows, reduction in product(ROWS, REDUCTIONS[:3]):
        for words, departs in ((OVER, PER_FEATURE), ({"norm": "euclidean"}, "distance not squared")):
            yield Candidate("center_loss", {}, {"factor": (0.5,)}, to_centers, words, rows, departs, reduction)


def _smoothed(loss: str) -> Callable[[], Iterator[Candidate]]:
    def candidates() -> Iterator[Candidate]:
        for reduction in REDUCTIONS[:3]:
            yield Candidate(loss, {}, {}, reduction=reduction)
            yield Candidate(loss, {}, {"label_smoothing": (0.1,)}, reduction=reduction)
            if loss == "cross_entropy_loss":
                starts, departs = {"label_smoothing": (0.1,)}, "smoothing over the others"
                yield Candidate(loss, {}, starts, over_the_others, departs=departs, reduction=reduction)
                powers, departs = {"power": (2.0, 0.5)}, "terms times a power of 1 - p"
                yield Candidate(loss, {}, powers, by_a_power, departs=departs, reduction=reduction)

    return candidates


def _memory() -> Iterator[Candidate]:
    for rows, reduction in product(ROWS, REDUCTIONS[:3]):
        yield Candidate("oim_loss", {}, {"temperature": (0.1, 1.0, 0.03)}, convert=rows, reduction=reduction)


def _joint() -> Iterator[Candidate]:
    starts = {"triplet_weight": (1.0,), "center_weight": (0.0005, 0.5, 2.0), "triplet_margin": (0.3, 1.0)}
    yield Candidate("joint_loss", {}, {**starts, "label_smoothing": (0.0, 0.1)})


GROUPS = (
    Group(("triplet_margin_loss",), _triplets),
    Group(("contrastive_loss",), _pairs),
    Group(("batch_hard_triplet_loss", "batch_all_triplet_loss", "semi_hard_triplet_loss", "circle_loss"), _batches),
    Group(("arcface_loss", "cosface_loss"), _classes),
    Group(("center_loss",), _centers),
    Group(("cross_entropy_loss",), _smoothed("cross_entropy_loss")),
    Group(("soft_cross_entropy_loss",), _smoothed("soft_cross_entropy_loss")),
    Group(("oim_loss",), _memory),
    Group(("joint_loss",), _joint),
)
