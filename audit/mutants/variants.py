"""Correct losses written differently on purpose: a judge that accuses one of them is wrong.

Of every loss the implementation that the mutants are made of, written apart from the backends; the same in wider
arithmetic, and with the rows of the batch in reversed order; and what has another algorithm, another order of summation or
another subgradient where there is no derivative. `python -m audit alarms variants` asks all of them fresh cases.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from audit.mutants import variants_triplet_margin
from audit.mutants.batch_hard import BatchHard
from audit.mutants.circle import Circle
from audit.mutants.class_weights import Labelled, Shared
from audit.mutants.cosface import CosFace
from audit.mutants.cross_entropy import CrossEntropy
from audit.mutants.pairs import Mined, gram
from audit.mutants.soft_cross_entropy import SoftCrossEntropy
from lossproof.conformance.host.implementation import Implementation
from lossproof.spec import losses


def _reversed(loss: Callable[..., Tensor], aligned: tuple[str, ...]) -> Callable[..., Tensor]:
    """Return the loss with the rows of its batch in reversed order, as `none` gives them back."""

    @functools.wraps(loss.__call__)  # type: ignore[operator]  # for its signature
    def function(**given: Any) -> Tensor:
        value = loss(**{n: x.flip(0) if n in aligned and x is not None and x.ndim > 0 else x for n, x in given.items()})
        axes = value.ndim + 2 - given[aligned[0]].ndim  # two where a unit is a pair of rows
        return value.flip(tuple(range(axes))) if given.get("reduction") == "none" else value

    return function


def _centred(loss: Mined, rows: Tensor, distance: str, floor: float = 0.0) -> Tensor:
    """Return the Gram form of rows less the mean of those that are finite and not 0, as masked ones are."""
    some = rows.detach()[(rows != 0).any(-1) & rows.isfinite().all(-1)]
    shift = len(some) and distance != "cosine"
    return gram(loss, rows - some.mean(0) if shift else rows, distance, floor)


def _by_sorting(loss: BatchHard, candidates: Tensor, *, largest: bool) -> Tensor:
    """Return the place of the largest, of those that tie the last, or of the smallest."""
    order = candidates.argsort(dim=-1, stable=True)
    return order[..., -1] if largest else order[..., 0]


def _softplus(loss: Circle, p: Tensor, n: Tensor, both: Tensor) -> Tensor:
    return torch.where(both, torch.nn.functional.softplus(p + n, threshold=40.0), 0.0)


def _one_hot(loss: CosFace, x: Tensor, w: Tensor, labels: Tensor, scale: float, margin: float, beyond: str) -> Tensor:
    own = torch.nn.functional.one_hot(labels, len(w)).to(x.dtype)
    return scale * torch.nn.functional.linear(x, w) - scale * margin * own


def _by_library(loss: CrossEntropy, z: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    if smoothing == 1:  # 0 times an infinite cost: CE-9
        return CrossEntropy.terms(loss, z, labels, smoothing)
    return torch.nn.functional.cross_entropy(z, labels, reduction="none", label_smoothing=smoothing)


def _of_probabilities(loss: SoftCrossEntropy, z: Tensor, t: Tensor, smoothing: float) -> Tensor:
    if torch.isneginf(z).any():  # 0 times an infinite cost: ST-9
        return SoftCrossEntropy.terms(loss, z, t, smoothing)
    return torch.nn.functional.cross_entropy(z, t, reduction="none", label_smoothing=smoothing)


def _by_weight(kind: type[Labelled]) -> Any:
    """Return torch's own function with its `weight` renamed; it has no mask, and multiplies 0 by an infinite cost."""

    class Renamed(kind):  # type: ignore[valid-type, misc]
        def answer(self, logits: Tensor, given: Tensor, **options: Any) -> Tensor:
            found: Tensor = super().answer(logits, given, **options)  # which refuses what is illegal
            c, rest = options.get("class_weights"), {n: options[n] for n in ("mask", "weights") if n in options}
            if c is None or any(value is not None for value in rest.values()) or not torch.isfinite(logits).all():
                return found
            if not len(logits) or (kind is Labelled and not c[given.long()].sum() > 0):  # torch divides by 0
                return found
            own = {n: options[n] for n in ("label_smoothing", "reduction") if n in options}
            z, c = logits.to(found.dtype), c.detach().to(found.dtype)
            given = given.long() if kind is Labelled else given.to(found.dtype)
            return torch.nn.functional.cross_entropy(z, given, weight=c, **own)

    return Renamed()


def _of(name: str) -> Any:
    return importlib.import_module(f"audit.mutants.{losses()[name].name}").CORRECT


def _variant(loss: str, label: str, grade: str = "direct", **methods: Any) -> Implementation:
    correct = type("Variant", (type(_of(loss)),), methods)()
    return Implementation({loss: correct}, name=f"{loss}: {label}", grade=grade)


def _all() -> Iterator[tuple[str, Implementation]]:
    for loss, page in losses().items():
        short = page.name
        yield f"{short}_plain", _variant(loss, "plain")
        yield f"{short}_wide", _variant(loss, "float64 inside", arithmetic=lambda s, dtype: torch.float64)
        turned = _reversed(_of(loss), page.aligned)
        yield f"{short}_reversed", Implementation({loss: turned}, name=f"{loss}: rows in reversed order")
    for loss in ("batch_all_triplet_loss", "semi_hard_triplet_loss"):
        yield f"{losses()[loss].name}_centred", _variant(loss, "Gram form of centred rows", "centred", matrix=_centred)
    cosine = variants_triplet_margin.library_cosine
    yield "contrastive_normalize", _variant("contrastive_loss", "normalize", cosine=cosine)
    yield "contrastive_chord", _variant("contrastive_loss", "chord", cosine=variants_triplet_margin.chord)
    yield "circle_softplus", _variant("circle_loss", "softplus", terms=_softplus)
    yield "cosface_one_hot", _variant("cosface_loss", "margin times one-hot", logits=_one_hot)
    yield "cross_entropy_library", _variant("cross_entropy_loss", "cross_entropy of torch", terms=_by_library)
    yield (
        "soft_cross_entropy_library",
        _variant("soft_cross_entropy_loss", "cross_entropy of torch", terms=_of_probabilities),
    )
    for kind, loss in ((Labelled, "cross_entropy_loss"), (Shared, "soft_cross_entropy_loss")):
        short = losses()[loss].name
        yield f"{short}_classes", Implementation({loss: kind()}, name=f"{loss}: class weights")
        yield f"{short}_weight", Implementation({loss: _by_weight(kind)}, name=f"{loss}: weight of torch")
    yield "batch_hard_sorted", _variant("batch_hard_triplet_loss", "sorted candidates", first=_by_sorting)
    yield from variants_triplet_margin.VARIANTS.items()


VARIANTS = dict(_all())


def __getattr__(name: str) -> Implementation:
    """Return a variant by name, so that `...variants:circle_plain` is a target."""
    if name in VARIANTS:
        return VARIANTS[name]
    raise AttributeError(name)
