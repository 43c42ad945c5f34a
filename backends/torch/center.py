"""Center loss and the update of the centers (spec/center.md)."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import torch
from torch import Tensor, nn

from lossproof.backends.torch.arrays import as_wide, batch, in_range, on_host, real, rows_at, table
from lossproof.backends.torch.distances import quarter
from lossproof.backends.torch.distributed import Group, agreed, every_row, joined, refuse_alone
from lossproof.backends.torch.reductions import reduce
from lossproof.backends.torch.weights import unit_weights, weighing
from lossproof.spec.arguments import REDUCTIONS, check_choice, check_real


def center_loss(
    embeddings: Tensor,
    labels: Tensor,
    centers: Tensor,
    *,
    factor: float | Tensor = 0.5,
    floor: float = 0.0,
    ceiling: float = inf,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    reduction: str = "mean",
    process_group: Group | None = None,
    combine: str = "mean",
    check: bool = False,
) -> Tensor:
    """Return the center loss of a batch.

    ``factor * min(max(|x - c_y|^2, floor), ceiling)`` for each row x with label y.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64.
        labels: integers of shape (B,), in [0, C).
        centers: one row for each class, (C, D), in the dtype of the embeddings or a wider one.
        factor: [0, inf); 0.5 in the paper; a tensor of shape () is used as it is and not checked.
        floor: least squared distance that counts, [0, inf).
        ceiling: greatest squared distance that counts, [floor, inf].
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        reduction: "none", "sum" or "mean" (over the rows that take part).
        process_group: the processes over which the batch is spread, such as ``torch.distributed.group.WORLD``, each of
            which gives its own rows. None: this one has them all.
        combine: how the gradients of the processes are combined. "mean", as DistributedDataParallel does: a scalar is
            the share of this process times their number. "sum": it is the share.
        check: compare dtypes, widths and options with those of the other processes first, and raise on all where they
            differ; for finding a fault.

    Returns:
        The loss: shape (B,) for "none", else (); float64 if an input is float64, else float32.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it. A label outside [0, C)
            raises in host memory, and makes its own term NaN elsewhere and in compiled code.

    At or below the floor, and at or above the ceiling, the gradient is 0. Clauses CN-1 to CN-10, CV-1 to CV-46, DD-1 to
    DD-19. Source: Wen et al. (2016), eq. 2.
    """
    processes = joined(process_group, combine)
    if check:
        agreed(processes, locals())
    factor = real("factor", factor, 0)
    check_real("floor", floor, 0)  # CV-28
    check_real("ceiling", ceiling, float(floor), finite=False)  # CN-10
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    w = unit_weights(weights, mask, embeddings=embeddings)
    mask = weighing(mask, w)
    y, x = batch(mask, labels, centers, embeddings=embeddings)
    c = table("centers", centers, "embeddings", embeddings, x.dtype)
    y, legal = in_range(y, 0, c.shape[0] - 1, labels.dtype)

    t = quarter(x, rows_at(c, y))
    if mask is not None or not on_host(labels):
        t = t.masked_fill(~(legal if mask is None else legal & mask).unsqueeze(-1), 0.0)  # CN-3
    largest = torch.finfo(t.dtype).max
    most = largest / 4 / (max(factor, 1.0) if isinstance(factor, float) else 1.0)  # CV-19
    low, high = (min(float(bound), most) for bound in (floor, ceiling))
    square = 16 * (t * t).sum(-1)
    if low:
        square = square.masked_fill(square <= low, low)  # CN-2, CN-9
    square = square.masked_fill(square >= high, high)
    factor = min(factor, largest) if isinstance(factor, float) else factor
    terms = (factor * square).masked_fill(~legal, torch.nan)  # CN-1, CV-33
    return reduce(terms, mask, reduction, w, processes=processes)


def update_centers(
    centers: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    *,
    alpha: float | Tensor = 0.5,
    mask: Tensor | None = None,
    process_group: Group | None = None,
    sizes: Sequence[int] | None = None,
) -> Tensor:
    """Return the centers after one batch; nothing is differentiated.

    ``c_j + alpha * sum(x_i - c_j) / (1 + n_j)`` over the n_j rows with label j; a center without rows is unchanged.

    Args:
        centers: one row for each class, (C, D); float16, bfloat16, float32 or float64.
        embeddings: rows of shape (B, D), same dtype or a narrower one.
        labels: integers of shape (B,), in [0, C). Another one raises in host memory; elsewhere its row moves nothing.
        alpha: [0, 1]; a tensor of shape () is used as it is and not checked.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        process_group: the processes over which the batch is spread, each of which gives its own rows; afterwards all
            hold the same. None: this one has all of them.
        sizes: the number of rows of each process, in order of rank; None: asked of the others, which waits for them.

    Returns:
        The new centers, (C, D), in their dtype.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Clauses CN-11 to CN-16. Source: Wen et al. (2016), eq. 4.
    """
    embeddings, labels, mask = every_row(embeddings, labels, mask, joined(process_group, "sum"), sizes)  # DD-17
    alpha = real("alpha", alpha, 0, high=1)  # CN-16
    y, x = batch(mask, labels, centers, embeddings=embeddings)
    c = table("centers", centers, "embeddings", embeddings, x.dtype)
    y, legal = in_range(y, 0, c.shape[0] - 1, labels.dtype)
    x, c = x.detach(), c.detach()  # CN-14
    alpha = alpha.detach() if isinstance(alpha, Tensor) else alpha

    met = legal if mask is None else legal & mask  # CN-13
    rows = c.new_zeros(c.shape[0]).index_put((y,), met.to(c.dtype), accumulate=True)
    largest = torch.finfo(c.dtype).max
    steps = (x - c[y]).masked_fill(~met.unsqueeze(-1), 0.0).clamp(-largest, largest) / (1 + rows)[y].unsqueeze(-1)
    move = torch.zeros_like(c).index_put((y,), steps, accumulate=True)  # sorted on a device: the same bits every time
    moved = torch.where((rows > 0).unsqueeze(-1), c + alpha * move, c)  # CN-11, CN-12
    return moved.to(centers.dtype)


class CenterLoss(nn.Module):
    """`center_loss` as a module: the centers are its parameter, standard normal at first.

    Train them with the model's optimizer (S15); or call `update` after the forward pass and keep them out of the
    optimizer (S14). The centers may be wider than the embeddings; narrower ones are widened for the call.

    Args:
        num_classes: number of classes, at least 1.
        num_features: length of a row of the embeddings.
        factor: [0, inf); 0.5 in the paper.
        floor: least squared distance that counts, [0, inf).
        ceiling: greatest squared distance that counts, [floor, inf].
        reduction: "none", "sum" or "mean" (over the rows that take part).
        process_group: the processes over which the batch is spread; None: this one has all of it.
        combine: "mean" where the gradients of the processes are averaged, as by DistributedDataParallel, "sum" where
            they are added up.
        check: compare dtypes, widths and options with those of the other processes in each call.
        device: where the centers are kept, as in every module of torch.
        dtype: dtype of the centers, as in every module of torch.

    Example:
        >>> import torch
        >>> from lossproof.backends.torch import CenterLoss
        >>> loss = CenterLoss(num_classes=2, num_features=2)
        >>> tuple(loss(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1])).shape)
        ()
    """

    centers: nn.Parameter

    def __init__(
        self,
        num_classes: int,
        num_features: int,
        *,
        factor: float = 0.5,
        floor: float = 0.0,
        ceiling: float = inf,
        reduction: str = "mean",
        process_group: Group | None = None,
        combine: str = "mean",
        check: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {"factor": factor, "floor": floor, "ceiling": ceiling, "reduction": reduction}
        self.processes: dict[str, Any] = {"process_group": process_group, "combine": combine, "check": check}
        self.centers = nn.Parameter(torch.randn(num_classes, num_features, device=device, dtype=dtype))
        row = torch.zeros(1, 1)
        legal = {"combine": combine, **self.options}  # an illegal option is refused here
        center_loss(row, torch.zeros(1, dtype=torch.long), row, **legal)

    def forward(
        self, embeddings: Tensor, labels: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the loss of the rows; see `center_loss`."""
        (centers,) = as_wide(embeddings, self.centers)
        options = {**self.options, **self.processes}
        return center_loss(embeddings, labels, centers, mask=mask, weights=weights, **options)

    @torch.no_grad()
    def update(
        self,
        embeddings: Tensor,
        labels: Tensor,
        mask: Tensor | None = None,
        *,
        alpha: float | Tensor = 0.5,
        sizes: Sequence[int] | None = None,
    ) -> None:
        """Move the centers as `update_centers` does; beside other processes the module must know their group."""
        group = refuse_alone(self.processes["process_group"])  # DD-17
        (centers,) = as_wide(embeddings, self.centers)
        options: dict[str, Any] = {"alpha": alpha, "mask": mask, "process_group": group, "sizes": sizes}
        self.centers.copy_(update_centers(centers, embeddings, labels, **options))

    def extra_repr(self) -> str:
        """Return the size of the table and the options, for the printed module."""
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{', '.join(map(str, self.centers.shape))}, {options}"
