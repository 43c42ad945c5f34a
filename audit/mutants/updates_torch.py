"""Broken updates, kinds and rates in PyTorch: what numpy does not have, a gradient, half formats and tensors changed in place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import lossproof.reference as reference
from audit.mutants import Mutant, table


class Centers:
    """`update_centers`."""

    def __call__(
        self, centers: Tensor, embeddings: Tensor, labels: Tensor, *, alpha: float = 0.5, mask: Any = None
    ) -> Tensor:
        """Return the new centers."""
        self.check(centers, embeddings, labels, alpha, mask)
        part = torch.ones_like(labels, dtype=torch.bool) if mask is None else mask
        y = self.index(torch.where(part, labels, 0).long(), len(centers))
        c, x = self.wide(self.apart(centers)), self.wide(self.apart(embeddings))
        steps = torch.where(part[:, None], x - c[y], 0.0)
        count = self.count(torch.zeros(len(c), dtype=c.dtype), y, part)
        moved = c + alpha * torch.zeros_like(c).index_add(0, y, steps) / (1 + count[:, None])
        return self.given(centers, self.kept(count[:, None] > 0, moved, c))

    def check(self, centers: Tensor, rows: Tensor, labels: Tensor, alpha: float, mask: Any) -> None:
        """Refuse what is illegal."""
        if centers.ndim != 2 or rows.ndim != 2 or centers.shape[1] != rows.shape[1] or centers.dtype != rows.dtype:
            raise ValueError("centers and embeddings: expected tables of one width and dtype")
        if not rows.is_floating_point() or labels.is_floating_point() or labels.dtype == torch.bool:
            raise TypeError("embeddings: expected floats; labels: expected integers")
        if labels.shape != rows.shape[:1] or not 0 <= alpha <= 1:
            raise ValueError("labels: expected one a row; alpha: expected a number of [0, 1]")
        if mask is not None and (mask.dtype != torch.bool or mask.shape != labels.shape):
            raise TypeError("mask: expected booleans, one a row")
        self.check_range(labels, mask, len(centers))

    def check_range(self, labels: Tensor, mask: Any, classes: int) -> None:
        """Refuse a label of a row that takes part and is no row of the table."""
        own = labels if mask is None else labels[mask]
        if bool(((own < 0) | (own >= classes)).any()):
            raise ValueError(f"labels: expected integers of [0, {classes})")

    def index(self, labels: Tensor, classes: int) -> Tensor:
        """Return the rows of the table."""
        return labels

    def apart(self, tensor: Tensor) -> Tensor:
        """Return a tensor outside the graph."""
        return tensor.detach()

    def wide(self, tensor: Tensor) -> Tensor:
        """Return a tensor in the dtype of the arithmetic."""
        return tensor if tensor.dtype == torch.float64 else tensor.float()

    def count(self, nothing: Tensor, y: Tensor, part: Tensor) -> Tensor:
        """Return the number of rows of each class."""
        return nothing.index_add(0, y, part.to(nothing.dtype))

    def kept(self, met: Tensor, moved: Tensor, old: Tensor) -> Tensor:
        """Return the new centers where there are rows, else the old."""
        return torch.where(met, moved, old)

    def given(self, centers: Tensor, moved: Tensor) -> Tensor:
        """Return the result."""
        return moved.to(centers.dtype)


def _in_place(s: Centers, centers: Tensor, moved: Tensor) -> Tensor:
    with torch.no_grad():
        return centers.copy_(moved)


def _buffered(s: Centers, centers: Tensor, moved: Tensor) -> Tensor:
    kept: Tensor = vars(s).setdefault("buffers", {}).setdefault((moved.shape, centers.dtype), moved.to(centers.dtype))
    return kept.copy_(moved)


def _half_count(s: Centers, nothing: Tensor, y: Tensor, part: Tensor) -> Tensor:
    return Centers.count(s, nothing.bfloat16(), y, part).to(nothing.dtype)


def _all_in_range(s: Centers, labels: Tensor, mask: Any, classes: int) -> None:
    Centers.check_range(s, labels, None, classes)


def _best(distances: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best accuracy and its threshold."""
    if not len(distances) or bool(distances.isnan().any()):
        return distances.new_tensor(torch.nan), distances.new_tensor(torch.nan)
    t = torch.cat([torch.tensor([-torch.inf], dtype=distances.dtype), distances.sort()[0]])
    right = ((distances <= t[:, None]) == same).to(distances.dtype).mean(1)
    return right[right.argmax()], t[right.argmax()]  # the threshold keeps its gradient


def _memory(lookup_table: Tensor, queue: Tensor, head: Tensor, embeddings: Tensor, labels: Tensor, **given: Any) -> Any:
    """Return the right memory, in which the rows of the batch leave a gradient."""
    like = {"lookup_table": lookup_table, "queue": queue, "head": head, "embeddings": embeddings, "labels": labels}
    arrays: dict[str, Any] = {
        name: (t.double() if t.is_floating_point() else t).numpy(force=True) for name, t in like.items()
    }
    options: dict[str, Any] = {
        name: value.numpy() if isinstance(value, Tensor) else value for name, value in given.items()
    }
    if len({t.dtype for t in like.values() if t.is_floating_point()}) > 1 or not embeddings.is_floating_point():
        raise TypeError("embeddings: expected floats, in the dtype of the tables")
    new = [torch.as_tensor(a) for a in reference.update_oim_memory(**arrays, **options)]
    trace = (embeddings - embeddings.detach()).nan_to_num().sum()
    return new[0].to(lookup_table.dtype) + trace, new[1].to(queue.dtype), new[2].to(head.dtype)


def _half_kinds(d_ap: Tensor, d_an: Tensor, *, margin: float) -> Tensor:
    """Return the codes."""
    if d_ap.shape != d_an.shape or d_ap.dtype != d_an.dtype or not d_ap.is_floating_point() or not margin >= 0:
        raise ValueError("d_ap and d_an: expected floats of one shape and dtype; margin: expected 0 or more")
    code = (1 + (d_an <= d_ap).long()).masked_fill(margin + d_ap <= d_an, 0)
    return code.masked_fill(d_ap.isnan() | d_an.isnan(), -1)


def _centers(key: str, bug: str, *names: str, seen: str = "", **methods: Any) -> Mutant:
    return Mutant(key, bug, names, type(key, (Centers,), methods)(), seen, loss="update_centers")


MUTANTS = table(
    _centers("uc-gradient", "the new centers carry a gradient", "CN-14", seen="updates without detach", apart=lambda s, t: t),
    _centers("uc-gradient-of-rows", "the rows carry a gradient into the centers", "CN-14", apart=lambda s, t: t.detach() if t.ndim == 2 and len(t) == 2 else t),
    _centers("uc-in-place", "the centers are changed in place", "CV-21", seen="buffers updated in the forward pass", given=_in_place),
    _centers("uc-buffer", "the new centers are written into the buffer of the last call", "CV-21", given=_buffered),
    _centers("uc-half", "half centers move in half arithmetic", "CV-17", wide=lambda s, t: t),
    _centers("uc-half-count", "rows are counted in bfloat16", "CN-11", "CV-17", count=_half_count),
    _centers("uc-dtype", "half centers come back in float32", "CN-16", given=lambda s, c, moved: moved),
    _centers("uc-sign", "a center of -0 without rows becomes 0", "CN-12", kept=lambda s, met, moved, old: moved),
    _centers("uc-masked-label", "the label of a row that is masked out is looked at", "CV-33", check_range=_all_in_range),
    _centers("uc-wrapped", "a label of -1 is the last class", "CV-33", seen="Python's negative indices", check_range=lambda s, y, m, c: None, index=lambda s, y, c: y % c),
    Mutant("um-gradient", "the rows carry a gradient into the table", ("OI-20",), _memory, loss="update_oim_memory"),
    Mutant("mi-half-kinds", "half distances are compared in their own format", ("CV-17",), _half_kinds, loss="classify_triplets"),
    Mutant("ve-gradient", "the threshold keeps the gradient of its distance", ("VE-12",), _best, loss="best_accuracy"),
)  # fmt: skip

CORRECT = {"update_centers": Centers()}
__all__ = ["CORRECT", "MUTANTS"]
