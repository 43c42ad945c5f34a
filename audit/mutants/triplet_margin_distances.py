"""Mutants that are wrong in the value of a distance, or in its accuracy."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import torch
from torch import Tensor

from audit.mutants.correct import Distance, TripletMargin, broken


def _eps_at_root(loss: TripletMargin, x: Tensor, y: Tensor, options: Distance) -> Tensor:
    if options.name == "p_norm" and options.p < inf and options.eps_at == "difference":
        options = Distance("p_norm", options.p, options.eps, "root")
    return TripletMargin.distance(loss, x, y, options)


def _eps_after_root(loss: TripletMargin, t: Tensor, p: float, root: float, floor: float) -> Tensor:
    return TripletMargin.p_norm(loss, t, p, 0.0, floor) + root


def _eps_per_coordinate(loss: TripletMargin, t: Tensor, p: float, root: float, floor: float) -> Tensor:
    return TripletMargin.p_norm(loss, t, p, root * t.shape[-1], floor)


def _floor_of_root(loss: TripletMargin, t: Tensor, p: float, root: float, floor: float) -> Tensor:
    return TripletMargin.p_norm(loss, t, p, root, 0.0).clamp(min=floor)


def _floor_of_coordinates(loss: TripletMargin, t: Tensor, p: float, root: float, floor: float) -> Tensor:
    raised = torch.where(t.abs() ** p < floor, floor ** (1 / p), t) if floor else t
    return TripletMargin.p_norm(loss, raised, p, root, 0.0)


def _gram(x: Tensor, y: Tensor) -> Tensor:
    return ((x * x).sum(-1) + (y * y).sum(-1) - 2 * (x * y).sum(-1)).clamp(min=0)


def _by_gram(loss: TripletMargin, x: Tensor, y: Tensor, options: Distance) -> Tensor:
    if options.name != "p_norm" or options.p != 2 or options.eps:
        return TripletMargin.distance(loss, x, y, options)
    total = _gram(x, y)
    zero = total <= 0
    return torch.where(zero, 0.0, total.masked_fill(zero, 1.0).sqrt())


def _narrow(loss: TripletMargin, a: Tensor, pos: Tensor, neg: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return a.float().to(a.dtype), pos.float().to(a.dtype), neg.float().to(a.dtype)


def _odd_powers(loss: TripletMargin, t: Tensor, p: float) -> Tensor:
    return t.pow(p) if p not in (1, 2) else TripletMargin.powers(loss, t, p)


def _unrooted(loss: TripletMargin, total: Tensor, p: float) -> Tensor:
    return total if p == 2 else TripletMargin.root(loss, total, p)


def _infinity_as(p: float) -> Callable[..., Tensor]:
    return lambda loss, t: TripletMargin.p_norm(loss, t, p, 0.0, 0.0)


def _bare_cosine(loss: TripletMargin, x: Tensor, y: Tensor) -> Tensor:
    return 1 - (x * y).sum(-1) / ((x * x).sum(-1) * (y * y).sum(-1)).sqrt()


DISTANCES = (
    broken("eps-at-root", "eps goes to the sum under the root, not to the difference", "DI-4",
        distance=_eps_at_root, seen="optax and MLX, in this place on purpose",
    ),
    broken("eps-fixed", "eps is 1e-7 whatever was asked", "DI-4",
        difference=lambda loss, x, y, eps: x - y + 1e-7,
    ),
    broken("eps-ignored", "eps is not added to the difference", "DI-4",
        difference=lambda loss, x, y, eps: x - y,
    ),
    broken("eps-after-absolute-value", "eps is added to |x - y|", "DI-4",
        difference=lambda loss, x, y, eps: (x - y).abs() + eps,
        seen="ports of torch that read the formula of its documentation",
    ),
    broken("eps-subtracted", "eps is subtracted from the difference", "DI-4",
        difference=lambda loss, x, y, eps: x - y - eps,
    ),
    broken("eps-shared", "eps is divided among the coordinates", "DI-4",
        difference=lambda loss, x, y, eps: x - y + eps / x.shape[-1],
    ),
    broken("eps-before-the-difference",
        "(x + eps) - y, which rounds away eps far from the origin", "CV-15", "DI-4",
        difference=lambda loss, x, y, eps: (x + eps) - y,
    ),
    broken("root-after-root", "the eps of root is added to the distance", "DI-5", p_norm=_eps_after_root),
    broken("root-per-coordinate", "the eps of root is added once a coordinate", "DI-5",
        p_norm=_eps_per_coordinate,
    ),
    broken("floor-of-the-distance", "the distance is raised to eps, not the sum", "DI-6",
        p_norm=_floor_of_root,
    ),
    broken("floor-of-each-coordinate", "each power is raised to eps, not their sum", "DI-6",
        p_norm=_floor_of_coordinates,
    ),
    broken("no-absolute-value", "powers are taken of the signed difference", "DI-1",
        powers=_odd_powers, seen="oneflow and MLX, fixed",
    ),
    broken("wrong-root", "the square root is taken for every p but 1", "DI-1",
        root=lambda loss, total, p: TripletMargin.root(loss, total, min(p, 2.0)),
    ),
    broken("squared-for-plain", "p = 2 has no root", "DI-1", "TM-1",
        root=_unrooted, seen="chainer, gluon and FaceNet mean the squared distance",
    ),
    broken("euclidean-squared", "euclidean has no root", "DI-9",
        euclidean=lambda loss, x, y: loss.squared(x, y),
    ),
    broken("mean-of-absolute-values", "with p = 1 the mean over the features, not the sum", "DI-2",
        powers=lambda loss, t, p: TripletMargin.powers(loss, t, p) / (t.shape[-1] if p == 1 else 1),
    ),
    broken("infinity-as-two", "p = inf is taken for p = 2", "DI-3", largest=_infinity_as(2.0)),
    broken("infinity-as-fifty", "p = inf is taken for p = 50", "DI-3", largest=_infinity_as(50.0)),
    broken("infinity-signed", "p = inf takes the largest signed difference", "DI-3",
        largest=lambda loss, t: t.amax(-1),
    ),
    broken("plain-for-squared", "squared_euclidean has a root", "DI-7",
        squared=lambda loss, x, y: loss.euclidean(x, y),
    ),
    broken("half-squared", "squared_euclidean has a factor of one half", "DI-7",
        squared=lambda loss, x, y: TripletMargin.squared(loss, x, y) / 2,
    ),
    broken("mean-of-squares", "squared_euclidean takes the mean over the features", "DI-7",
        squared=lambda loss, x, y: TripletMargin.squared(loss, x, y) / x.shape[-1],
    ),
    broken("cosine-of-unit-rows", "cosine takes rows for unit rows: 1 - x.y", "DI-8",
        cosine=lambda loss, x, y: 1 - (x * y).sum(-1),
        seen="TensorFlow Similarity; TensorFlow Addons only asks for unit rows",
    ),
    broken("cosine-halved", "cosine is (1 - cos) / 2", "DI-8",
        cosine=lambda loss, x, y: TripletMargin.cosine(loss, x, y) / 2,
    ),
    broken("cosine-as-angle", "cosine returns the angle", "DI-8",
        cosine=lambda loss, x, y: torch.arccos((1 - TripletMargin.cosine(loss, x, y)).clamp(-0.999, 0.999)),
        seen="insightface",
    ),
    broken("cosine-zero-row", "under cosine a zero row is 0/0", "DI-10", cosine=_bare_cosine),
    broken("powers-unscaled", "powers are taken without a scale, so p = 7 leaves the range", "DI-19",
        unit=lambda loss, t, p, least: torch.ones_like(t[..., 0]), seen="torch, optax, MLX", ours=True,
    ),
    broken("gram", "p = 2 by |x|^2 + |y|^2 - 2 x.y", "CV-15",
        distance=_by_gram,
        seen="TensorFlow Addons, open-reid, torchreid, fast-reid, sentence-transformers; torch.cdist beyond 25 rows",
    ),
    broken("gram-squared", "squared_euclidean by |x|^2 + |y|^2 - 2 x.y", "CV-15",
        squared=lambda loss, x, y: _gram(x, y), seen="the same",
    ),
    broken("narrow-for-float64", "float64 rows are rounded to float32", "CV-15",
        rows=_narrow, seen="masks cast to float32 in TensorFlow Addons and TensorFlow Similarity",
    ),
    broken("half-arithmetic", "half rows are compared in half arithmetic", "CV-17",
        arithmetic=lambda loss, dtype: dtype, seen="torch",
    ),
    broken("autocast-cosine", "the cosine is a matmul, which autocast rounds to bfloat16", "CV-20",
        inner=lambda loss, u, w: (u.unsqueeze(-2) @ w.unsqueeze(-1))[..., 0, 0],
        seen="sentence-transformers switches autocast off for this",
    ),
)  # fmt: skip
