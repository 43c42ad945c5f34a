"""The rows of PyTorch: each loss beside torch's own, public libraries, and the arithmetic that it cannot avoid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import lossproof.backends.torch as ours
from benchmarks.rows import MATRIX, OURS, Row, Step

WIDTH = 128
MINED = {"batch_hard": ours.batch_hard_triplet_loss, "batch_all": ours.batch_all_triplet_loss}
MINED |= {"semi_hard": ours.semi_hard_triplet_loss, "circle": ours.circle_loss}


def rows() -> Iterator[Row]:
    """Yield the rows, from given rows to mined ones."""
    yield from _row_losses()
    yield from _classes()
    yield from _mined()
    yield from _large()


def made(inputs: Callable[[], tuple[Tensor, ...]], loss: Callable[..., Tensor]) -> Callable[[], Step]:
    """Return what makes a step: fixed inputs, and the gradients of a loss to those that ask for one."""

    def make() -> Step:
        given = inputs()
        asked = [tensor for tensor in given if tensor.requires_grad]

        def step() -> object:
            value = loss(*given)
            found = torch.autograd.grad(value if value.ndim == 0 else value.sum(), asked)
            if value.is_cuda:
                torch.cuda.synchronize()
            return found

        return step

    return make


def drawn(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Return float32 rows that ask for a gradient, the same on every device."""
    generator, device = torch.Generator("cpu").manual_seed(0), torch.get_default_device()
    rows = (torch.randn(shape, generator=generator, device="cpu") for shape in shapes)
    return tuple(row.to(device).requires_grad_() for row in rows)


def labelled(count: int, each: int, width: int = WIDTH) -> tuple[Tensor, Tensor]:
    """Return rows and labels, `each` rows of an identity."""
    return (*drawn((count, width)), torch.arange(count) % (count // each))  # type: ignore[return-value]


def _row_losses() -> Iterator[Row]:
    for count, width, aim in ((4096, 128, 0.6), (1024, 512, 0.6), (256, 128, 0.9)):
        triple = partial(drawn, *[(count, width)] * 3)
        for where, change, most in (("eager", _as_it_is, aim), ("compiled", torch.compile, 1.1)):
            steps = {
                "torch": made(triple, change(functional.triplet_margin_loss)),
                OURS: made(triple, change(ours.triplet_margin_loss)),
            }
            yield Row("triplet_margin", f"torch {where}", f"{count} × {width}", steps, most)
    pair = partial(drawn, (4096, 128), (4096, 128))
    apart = torch.arange(4096) % 2 == 0
    steps = {
        "composite": made(pair, partial(_contrastive, dissimilar=apart)),
        OURS: made(pair, partial(ours.contrastive_loss, dissimilar=apart, distance="euclidean")),
    }
    yield Row("contrastive", "torch eager", "4096 × 128", steps, 1.0)


def _contrastive(x: Tensor, y: Tensor, *, dissimilar: Tensor) -> Tensor:
    d = (x - y).norm(dim=-1)
    return 0.5 * torch.where(dissimilar, (1.0 - d).clamp(min=0) ** 2, d**2).mean()


def _classes() -> Iterator[Row]:
    count, classes, width = 256, 10_000, 512
    labels = torch.arange(count) * 37 % classes
    steps = {
        "torch": made(partial(drawn, (count, classes)), partial(functional.cross_entropy, target=labels)),
        OURS: made(partial(drawn, (count, classes)), partial(ours.cross_entropy_loss, labels=labels)),
    }
    yield Row("cross_entropy", "torch eager", f"{count} × {classes}", steps, 1.3)

    def tables() -> tuple[Tensor, ...]:
        return drawn((count, width), (classes, width))

    steps = {
        "products and softmax": made(tables, partial(_softmax, labels=labels)),
        OURS: made(tables, lambda x, w: ours.arcface_loss(x, labels, w)),
    }
    yield Row("arcface", "torch eager", f"{count} × {classes} classes × {width}", steps, 1.2)
    memory, queue = (tensor.detach() for tensor in drawn((5532, 256), (5000, 256)))
    steps = {
        "products and softmax": made(
            partial(drawn, (count, 256)), lambda x: _softmax(x, torch.cat([memory, queue]), labels=labels % 5532)
        ),
        OURS: made(partial(drawn, (count, 256)), lambda x: ours.oim_loss(x, labels % 5532, memory, queue)),
    }
    yield Row("oim", "torch eager", f"{count} × 10532 identities × 256", steps, 1.2)
    steps = {
        "composite": made(
            partial(drawn, (count, 2048), (751, 2048)),
            lambda x, c: 0.5 * ((x - c[labels % 751]) ** 2).sum(-1).mean(),
        ),
        OURS: made(partial(drawn, (count, 2048), (751, 2048)), lambda x, c: ours.center_loss(x, labels % 751, c)),
    }
    yield Row("center", "torch eager", f"{count} × 2048", steps, 1.0)


def _softmax(x: Tensor, w: Tensor, *, labels: Tensor) -> Tensor:
    return functional.cross_entropy(30 * functional.normalize(x) @ functional.normalize(w).T, labels)


def matrix(rows: Tensor, labels: Tensor) -> Tensor:
    """Return the distances of all pairs, from differences of rows: what every mined loss is made of."""
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")


def _mined() -> Iterator[Row]:
    aims = {
        ("batch_hard", 512, 4): (None, 0.5), ("batch_hard", 2048, 8): (None, 0.35),
        ("batch_all", 512, 4): (1.5, 1 / 3), ("batch_all", 1024, 8): (1.5, 1 / 7),
        ("batch_all", 1024, 32): (1.9, 1 / 40), ("batch_all", 2048, 8): (1.5, 1 / 12),
        ("semi_hard", 512, 4): (1.6, 0.2), ("semi_hard", 1024, 8): (1.6, 0.2),
        ("circle", 512, 4): (1.2, None), ("circle", 2048, 8): (1.2, None),
    }  # fmt: skip
    for (name, count, each), (beside_matrix, beside_peers) in aims.items():
        inputs, loss = partial(labelled, count, each), bounded(name, each)
        size = f"{count} / {each} × {WIDTH}"
        if beside_matrix:
            yield Row(
                name, "torch eager", size, {MATRIX: made(inputs, matrix), OURS: made(inputs, loss)}, beside_matrix
            )
        for peer, theirs in peers(name).items():
            steps = {peer: made(inputs, theirs), OURS: made(inputs, loss)}
            yield Row(name, f"torch eager beside {peer}", size, steps, beside_peers)


def bounded(name: str, each: int) -> Callable[..., Tensor]:
    """Return one of our losses, with the most positives where it takes that."""
    known = {"max_positives": each - 1} if name in ("batch_all", "semi_hard") else {}
    return partial(MINED[name], **known)


def peers(name: str) -> dict[str, Callable[..., Tensor]]:
    """Return the public losses that are installed, called on (rows, labels)."""
    found: dict[str, Callable[..., Tensor]] = {}
    try:
        from sentence_transformers import losses as sentence

        known: dict[str, Any] = {
            "batch_hard": sentence.BatchHardTripletLoss,
            "batch_all": sentence.BatchAllTripletLoss,
            "semi_hard": sentence.BatchSemiHardTripletLoss,
        }
        if name in known:
            of = {"batch_hard": "batch_hard_triplet_loss", "batch_all": "batch_all_triplet_loss"}
            method = of.get(name, "batch_semi_hard_triplet_loss")
            loss = known[name](None)
            found["sentence-transformers"] = lambda x, y: getattr(loss, method)(y, x)
    except ImportError:
        pass
    try:
        from pytorch_metric_learning import losses, miners

        if name == "circle":
            found["pytorch-metric-learning"] = losses.CircleLoss()
        elif name == "batch_hard":
            miner, hinge = miners.BatchHardMiner(), losses.TripletMarginLoss(margin=0.3)
            found["pytorch-metric-learning"] = lambda x, y: hinge(x, y, miner(x, y))
        elif name == "batch_all":
            found["pytorch-metric-learning"] = losses.TripletMarginLoss(margin=1.0)
    except ImportError:
        pass
    return found


def _large() -> Iterator[Row]:
    for name in MINED:
        for count in (256, 512, 1024, 2048, 4096, 8192):
            inputs = partial(labelled, count, 8)
            steps = {MATRIX: made(inputs, matrix), OURS: made(inputs, bounded(name, 8))}
            yield Row(name, "torch growth", f"{count} / 8 × {WIDTH}", steps, rows=count, memory=True)
    inputs = partial(labelled, 32768, 8)
    steps = {OURS: made(inputs, bounded("batch_hard", 8))}
    yield Row("batch_hard", "torch large", f"32768 / 8 × {WIDTH}", steps, memory=True)


def _as_it_is(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    return loss
