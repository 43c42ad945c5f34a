"""OIM loss and the update of its memory (spec/oim.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lossproof.backends.torch.arrays import (
    as_label,
    as_wide,
    batch,
    describe,
    in_range,
    on_host,
    plain,
    real,
    same_device,
    table,
)
from lossproof.backends.torch.distributed import Group, agreed, every_row, joined, refuse_alone
from lossproof.backends.torch.products import products
from lossproof.backends.torch.reductions import reduce
from lossproof.backends.torch.weights import unit_weights
from lossproof.spec.arguments import (
    REDUCTIONS,
    check_bool,
    check_choice,
    check_head,
    check_label_range,
    check_unlabelled,
)


def oim_loss(
    embeddings: Tensor,
    labels: Tensor,
    lookup_table: Tensor,
    queue: Tensor,
    *,
    temperature: float | Tensor = 0.1,
    unlabelled: int = -1,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
    reduction: str = "mean",
    process_group: Group | None = None,
    combine: str = "mean",
    check: bool = False,
) -> Tensor:
    """Return the OIM loss of a batch.

    ``logsumexp_j(<x, w_j> / temperature) - <x, w_y> / temperature`` for each labelled row x, over the rows w of the
    table and then of the queue.

    Args:
        embeddings: rows of shape (B, D); float16, bfloat16, float32 or float64; expected to be of unit length, and not
            normalised here.
        labels: integers of shape (B,), in [0, C) or `unlabelled`.
        lookup_table: one row for each identity, (C, D), in the dtype of the embeddings or a wider one.
        queue: rows without an identity, (Q, D), likewise; Q may be 0.
        temperature: (0, inf); a tensor of shape () is used as it is and not checked.
        unlabelled: the label of rows without an identity, outside [0, C); they are no terms.
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        weights: floats of shape (B,), [0, inf), as wide as the embeddings or wider: each multiplies its term, and a
            mean divides by their sum. Others: an error on the host, and on a device (or compiled) the term is NaN.
        reduction: "none", "sum" or "mean" (over the labelled rows that take part).
        process_group: the processes over which the batch is spread, such as ``torch.distributed.group.WORLD``, each of
            which gives its own rows. None: this one has them all.
        combine: how the gradients of the processes are combined. "mean", as DistributedDataParallel does: a scalar is
            the share of this process times their number. "sum": it is the share.
        check: compare dtypes, widths and options with those of the other processes first, and raise on all where they
            differ; for finding a fault.

    Returns:
        The loss: shape (B,) for "none", else (); float64 if an input is float64, else float32. Its gradient reaches the
        embeddings alone.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it. Any other label raises
            in host memory, and makes its own term NaN elsewhere and in compiled code.

    Clauses OI-1 to OI-12, OI-24, CV-1 to CV-46, DD-1 to DD-19. Source: Xiao et al. (2017), eq. 3 and 4.
    """
    processes = joined(process_group, combine)
    if check:
        agreed(processes, locals())
    temperature = real("temperature", temperature, 0, above=True)  # OI-10
    check_choice("reduction", reduction, REDUCTIONS[:3])  # CV-27
    y, x = batch(mask, labels, lookup_table, queue, embeddings=embeddings)
    memory = [  # OI-9
        table("lookup_table", lookup_table, "embeddings", embeddings, x.dtype).detach(),
        table("queue", queue, "embeddings", embeddings, x.dtype, empty=True).detach(),  # OI-6, OI-12
    ]
    y, known, legal = _identities(y, labels.dtype, mask, lookup_table.shape[0], unlabelled)

    w = unit_weights(weights, known, embeddings=embeddings)  # OI-24
    known = known if w is None else known & (w != 0)
    x = x.masked_fill(~known.unsqueeze(-1), 0.0)  # OI-3
    limits = torch.finfo(x.dtype)
    tau = max(temperature, limits.tiny) if isinstance(temperature, float) else temperature
    limit = 0.5 * (limits.max / x.shape[1]) ** 0.5  # no finite input gives NaN (CV-19)
    x = (x / tau).clamp(-limit, limit)
    logits = torch.cat([products(x, _bounded(rows, limit)) for rows in memory], 1)  # OI-1, OI-2
    terms = cross_entropy(logits, y, reduction="none")  # OI-5, OI-8
    return reduce(terms.masked_fill(~legal, torch.nan), known, reduction, w, processes=processes)  # OI-3, CV-33


def _bounded(rows: Tensor, limit: float) -> Tensor:
    """Return rows cut off at a limit; where it can be seen that none reaches it, they are not copied."""
    if rows.numel() and plain(rows) and float(torch.linalg.vector_norm(rows, torch.inf)) <= limit:
        return rows
    return rows.clamp(-limit, limit)


def _identities(
    y: Tensor, dtype: torch.dtype, mask: Tensor | None, classes: int, unlabelled: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return labels kept within the table, who has an identity (and takes part), and whose is in the table."""
    check_unlabelled(unlabelled, classes)  # OI-11
    label = as_label(unlabelled, dtype)
    none = torch.zeros_like(y, dtype=torch.bool) if label is None else y == label  # OI-4
    y, legal = in_range(y.masked_fill(none, 0), 0, classes - 1, dtype)
    return y, ~none if mask is None else ~none & mask, legal


def update_oim_memory(
    lookup_table: Tensor,
    queue: Tensor,
    head: Tensor,
    embeddings: Tensor,
    labels: Tensor,
    *,
    momentum: float | Tensor = 0.5,
    normalise: bool = True,
    unlabelled: int = -1,
    mask: Tensor | None = None,
    process_group: Group | None = None,
    sizes: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return table, queue and head after one batch; nothing is differentiated.

    In the order of the batch, a row x of identity y moves the table, ``v_y = momentum * v_y + (1 - momentum) * x``, and
    v_y is divided by its norm; a row without an identity is written at the head of the queue, and the head goes on.

    Args:
        lookup_table: one row for each identity, (C, D); float16, bfloat16, float32 or float64.
        queue: rows without an identity, (Q, D), likewise; Q may be 0.
        head: where the queue is written next, an integer tensor of shape (), in [0, Q).
        embeddings: rows of shape (B, D); no wider than the tables.
        labels: integers of shape (B,), in [0, C) or `unlabelled`. Another one raises in host memory; elsewhere its row
            changes nothing.
        momentum: [0, 1]; a tensor of shape () is used as it is and not checked.
        normalise: divide a row of the table by its norm after every visit; a row that is zero stays zero.
        unlabelled: the label of rows without an identity, outside [0, C).
        mask: booleans of shape (B,); True takes part. What a masked row holds, NaN included, changes nothing.
        process_group: the processes over which the batch is spread, each of which gives its own rows; afterwards all
            hold the same. None: this one has all of them.
        sizes: the number of rows of each process, in order of rank; None: asked of the others, which waits for them.

    Returns:
        The new table (C, D), the new queue (Q, D) and the new head (), in their dtypes.

    Raises:
        TypeError, ValueError: an argument is not what is described here; the message names it.

    Takes as many steps as the most frequent identity has rows where the labels are in host memory, and one step a row
    of the batch elsewhere and in compiled code: nothing is read back. Each step moves all identities at once.
    Clauses OI-13 to OI-23. Source: Xiao et al. (2017), section 3.2.
    """
    embeddings, labels, mask = every_row(embeddings, labels, mask, joined(process_group, "sum"), sizes)  # DD-17
    gamma = real("momentum", momentum, 0, high=1)  # OI-22
    check_bool("normalise", normalise)
    y, x = batch(mask, labels, lookup_table, queue, embeddings=embeddings)
    v = table("lookup_table", lookup_table, "embeddings", embeddings, x.dtype).detach()  # OI-20
    q = table("queue", queue, "embeddings", embeddings, x.dtype, empty=True).detach()
    check_head(*describe("head", head))  # OI-21
    same_device("head", head, "embeddings", embeddings)
    if on_host(head):
        check_label_range("head", int(head), int(head), 0, max(q.shape[0] - 1, 0))
    y, known, legal = _identities(y, labels.dtype, mask, v.shape[0], unlabelled)
    x, gamma = x.detach(), gamma.detach() if isinstance(gamma, Tensor) else gamma
    pushed = ~known if mask is None else ~known & mask

    if x.shape[0]:
        v = _visited(v, x, y, known & legal, gamma, normalise)  # OI-19
    if x.shape[0] and q.shape[0]:
        q, head = _pushed(q, head, x, pushed)
    return v.to(lookup_table.dtype), q.to(queue.dtype), head


def _visited(v: Tensor, x: Tensor, y: Tensor, known: Tensor, gamma: float | Tensor, normalise: bool) -> Tensor:
    """Return the table after the rows that are `known` visited it, one identity's in their order (OI-15)."""
    number = torch.arange(x.shape[0], device=x.device)
    earlier = (y.unsqueeze(1) == y) & known & known.unsqueeze(1) & (number.unsqueeze(1) > number)
    before = torch.where(earlier, number, -1).amax(1)  # the row that visits the same identity before this one
    steps = int(earlier.sum(1).max()) + 1 if on_host(y) else x.shape[0]
    start = v[y]
    after = start
    for _ in range(steps):  # a row is right as soon as those before it are
        moved = gamma * torch.where((before < 0).unsqueeze(1), start, after[before]) + (1 - gamma) * x  # OI-13
        after = _unit(moved) if normalise else moved  # OI-14
    last = y.new_full((v.shape[0],), -1).scatter_reduce(0, y, torch.where(known, number, -1), "amax")
    return torch.where((last < 0).unsqueeze(1), v, after[last])  # identities without rows do not change


def _unit(rows: Tensor) -> Tensor:
    """Divide each row by its norm, in units of its largest size; a row that is zero stays zero (OI-16)."""
    largest = rows.abs().amax(1, keepdim=True)
    rows = rows / largest.masked_fill(largest < torch.finfo(rows.dtype).tiny, 1.0)
    square = (rows * rows).sum(1, keepdim=True)
    return rows / square.masked_fill(square == 0, 1.0).sqrt()


def _pushed(q: Tensor, head: Tensor, x: Tensor, pushed: Tensor) -> tuple[Tensor, Tensor]:
    """Return queue and head after the rows that are `pushed` were written one after the other (OI-17)."""
    count, size = pushed.sum(), q.shape[0]
    at = head.long()
    turn = (torch.arange(size, device=q.device) - at) % size  # which of the rows is written here first
    newest = turn + size * ((count - 1 - turn) // size)  # and which last: OI-18
    order = torch.argsort((~pushed).to(torch.uint8), stable=True)  # their places in the batch come first
    written = x[order[newest.clamp(0, x.shape[0] - 1)]]
    queue = torch.where((turn < count).unsqueeze(1), written, q)
    return queue, ((at + count) % size).to(head.dtype)


class OIMLoss(nn.Module):
    """`oim_loss` as a module: table, queue and head are its buffers, zero at first, and `update` moves them.

    The call returns the loss of the memory as it is. `update` writes into the buffers, so that memory which processes
    share stays shared; a backward pass that is still to come has a copy of the memory of its forward pass. The memory
    may be wider than the embeddings; a narrower one is widened for the call.

    Args:
        num_identities: rows of the table of identities, at least 1.
        queue_size: rows of the queue of unlabelled rows; 0 for none.
        num_features: length of a row of the embeddings.
        temperature: (0, inf).
        momentum: share that an identity keeps of its row in `update`, [0, 1].
        normalise: whether `update` brings a row to unit length.
        unlabelled: the label of rows without an identity, outside [0, C); they are no terms.
        reduction: "none", "sum" or "mean" (over the labelled rows that take part).
        process_group: the processes over which the batch is spread; None: this one has all of it.
        combine: "mean" where the gradients of the processes are averaged, as by DistributedDataParallel, "sum" where
            they are added up.
        check: compare dtypes, widths and options with those of the other processes in each call.
        device: where the memory is kept, as in every module of torch.
        dtype: dtype of the memory, as in every module of torch.

    Example:
        >>> import torch
        >>> from lossproof.backends.torch import OIMLoss
        >>> loss = OIMLoss(num_identities=2, queue_size=1, num_features=2, temperature=1.0)
        >>> rows, labels = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1])
        >>> round(float(loss(rows, labels)), 3)
        1.099
        >>> loss.update(rows, labels)
        >>> round(float(loss(rows, labels)), 3)
        0.395
    """

    lookup_table: Tensor
    queue: Tensor
    head: Tensor

    def __init__(
        self,
        num_identities: int,
        queue_size: int,
        num_features: int,
        *,
        temperature: float = 0.1,
        momentum: float = 0.5,
        normalise: bool = True,
        unlabelled: int = -1,
        reduction: str = "mean",
        process_group: Group | None = None,
        combine: str = "mean",
        check: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = {"temperature": temperature, "unlabelled": unlabelled, "reduction": reduction}
        self.memory_options: dict[str, Any] = {
            "momentum": momentum, "normalise": normalise, "unlabelled": unlabelled,
        }  # fmt: skip
        self.processes: dict[str, Any] = {"process_group": process_group, "combine": combine, "check": check}
        for name, rows in (("lookup_table", num_identities), ("queue", queue_size)):
            self.register_buffer(name, torch.zeros(rows, num_features, device=device, dtype=dtype))
        self.register_buffer("head", torch.zeros((), dtype=torch.int64, device=device))
        table_ = torch.zeros(num_identities, 1)
        nothing = table_[:0], torch.zeros(0, dtype=torch.long)
        legal = {"combine": combine, **self.options}  # an illegal option is refused here, not in training
        oim_loss(*nothing, table_, table_, **legal)
        update_oim_memory(table_, table_, nothing[1].sum(), *nothing, **self.memory_options)

    def forward(
        self, embeddings: Tensor, labels: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the loss of the rows; see `oim_loss`."""
        memory = self.lookup_table.clone(), self.queue.clone()  # `update` may come before the backward pass
        lookup_table, queue = as_wide(embeddings, *memory)
        options = {**self.options, **self.processes}
        return oim_loss(embeddings, labels, lookup_table, queue, mask=mask, weights=weights, **options)

    @torch.no_grad()
    def update(
        self, embeddings: Tensor, labels: Tensor, mask: Tensor | None = None, *, sizes: Sequence[int] | None = None
    ) -> None:
        """Move the memory as `update_oim_memory` does; call it after the forward pass.

        Beside other processes the module must know their group.
        """
        group = refuse_alone(self.processes["process_group"])  # DD-17
        lookup_table, queue = as_wide(embeddings, self.lookup_table, self.queue)
        options = {**self.memory_options, "mask": mask, "process_group": group, "sizes": sizes}
        moved = update_oim_memory(lookup_table, queue, self.head, embeddings, labels, **options)
        for buffer, new in zip((self.lookup_table, self.queue, self.head), moved, strict=True):
            buffer.copy_(new)

    def extra_repr(self) -> str:
        """Return the sizes of the memory and the options, for the printed module."""
        sizes = len(self.lookup_table), *self.queue.shape
        options = {**self.options, **self.memory_options}
        return ", ".join([*map(str, sizes), *(f"{name}={value!r}" for name, value in options.items())])
