"""A batch that is spread over processes: rows gathered with their gradient, totals, shares (spec/distributed.md)."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from lossproof.backends.torch.arrays import arithmetic, batch, describe
from lossproof.backends.torch.candidates import Sets
from lossproof.spec.arguments import check_choice, check_sizes

COMBINE = ("mean", "sum")
Group = Any  # a torch.distributed.ProcessGroup, a class that a build of torch without it lacks
_GATHER: Any = getattr(dist, "all_gather_single", None) or getattr(dist, "all_gather_into_tensor", None)  # before 2.13
_SCATTER: Any = getattr(dist, "reduce_scatter_single", None) or getattr(dist, "reduce_scatter_tensor", None)


@dataclass(frozen=True)
class Processes:
    """The group over which a batch is spread, and how the gradients of its processes are combined."""

    group: Group
    rank: int
    world: int
    combine: str

    def share(self, value: Tensor) -> Tensor:
        """Return a share as it is handed out: W times where the processes average their gradients (DD-6)."""
        return value * self.world if self.combine == "mean" else value

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of a number over the processes, without gradient: a denominator (DD-3)."""
        return _summed(value.detach(), self.group)


def joined(process_group: Group | None, combine: str) -> Processes | None:
    """Return the processes of a group, or None where this one is alone (DD-9)."""
    check_choice("combine", combine, COMBINE)
    if process_group is None:
        return None
    if not dist.is_available() or not dist.is_initialized():
        raise RuntimeError("process_group needs torch.distributed.init_process_group, which nobody has called")
    rank, world = dist.get_rank(process_group), dist.get_world_size(process_group)
    if rank < 0:
        raise ValueError("process_group must be a group that this process is in, got one of others")  # DD-18
    return None if world == 1 else Processes(process_group, rank, world, combine)


def over(processes: Processes | None, value: Tensor) -> Tensor:
    """Return what a mean divides by: that of all processes, where there are some."""
    return value if processes is None else processes.total(value)


def share(processes: Processes | None, value: Tensor) -> Tensor:
    """Return a reduced loss as this process hands it out."""
    return value if processes is None else processes.share(value)


def union(sets: Sets, processes: Processes | None, sizes: Sequence[int] | None, wire: torch.dtype) -> Sets:
    """Return the same anchors beside the rows of all processes, as a second set in which each is its own candidate.

    Rows travel in the dtype `wire`, in which they were given; labels and masks travel exactly, in one exchange.
    """
    if processes is None:
        return sets
    if sets.second:
        raise ValueError("candidates must be left out with a process_group, whose rows are the candidates")  # DD-18
    count = sets.rows.shape[0]
    every = sizes_of(count, processes, sizes, sets.rows.device)
    takes_part = torch.ones_like(sets.labels) if sets.takes_part is None else sets.takes_part.long()
    known = _gathered(torch.stack([sets.labels, takes_part], 1), every, processes.group, torch.int64)  # DD-13
    rows = gathered(sets.rows, every, processes, wire)
    first = sum(every[: processes.rank])
    named = torch.arange(first, first + count, device=rows.device)  # DD-12
    return Sets(
        sets.rows, sets.takes_part, sets.labels, rows, known[:, 1].bool(), known[:, 0].contiguous(),
        named if rows.shape[0] else None, None, True,
    )  # fmt: skip


def every_row(
    embeddings: Tensor, labels: Tensor, mask: Tensor | None, processes: Processes | None, sizes: Sequence[int] | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the rows, labels and masks of all processes, without gradient, as they were given: DD-17."""
    if processes is None:
        return embeddings, labels, mask
    batch(mask, labels, embeddings=embeddings)
    every = sizes_of(embeddings.shape[0], processes, sizes, embeddings.device)
    takes_part = torch.ones_like(labels, dtype=torch.int64) if mask is None else mask.long()
    known = _gathered(torch.stack([labels.long(), takes_part], 1), every, processes.group, torch.int64)
    rows = _gathered(embeddings.detach(), every, processes.group, embeddings.dtype)
    return rows, known[:, 0].to(labels.dtype), known[:, 1].bool()


def refuse_alone(process_group: Group | None) -> Group | None:
    """Return the group of a module whose state moves; beside other processes that it does not know, raise: DD-17."""
    if process_group is None and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        raise RuntimeError(
            "update needs the process_group of the module: without it the state of each process goes its own way. "
            "Where that is meant, give each a group of its own, torch.distributed.new_group([rank])"
        )
    return process_group


def sizes_of(count: int, processes: Processes, sizes: Sequence[int] | None, device: torch.device) -> list[int]:
    """Return the number of rows of each process: as given, or asked of the others, which waits for the device.

    Under a compiler nothing is asked: all hold equally many.
    """
    if sizes is not None:
        every = [int(size) for size in sizes]
        check_sizes(every, processes.world, processes.rank, count)  # DD-18
        return every
    if torch.compiler.is_compiling():
        return [count] * processes.world
    own = torch.tensor([count], device=device)
    return [int(n) for n in _AllGather.apply(own, processes.group).tolist()]  # type: ignore[no-untyped-call]


def gathered(rows: Tensor, sizes: Sequence[int], processes: Processes, wire: torch.dtype) -> Tensor:
    """Return the rows of all processes in order of rank; what reaches them is added up and goes back (DD-4).

    Every process takes part in that, also one whose rows need no gradient (DD-15).
    """
    if torch.is_grad_enabled() and not rows.requires_grad:
        rows = rows.detach().requires_grad_()
    return _gathered(rows, sizes, processes.group, wire)


def _gathered(rows: Tensor, sizes: Sequence[int], group: Group, wire: torch.dtype) -> Tensor:
    """Return the blocks of all processes after one another; they travel filled up to one size."""
    most = max(sizes)
    short = most - rows.shape[0]
    block = torch.nn.functional.pad(rows, (0, 0, 0, short)) if short else rows
    every: Tensor = _AllGather.apply(block.contiguous(), group, wire)  # type: ignore[no-untyped-call]
    if all(size == most for size in sizes):
        return every
    blocks = every.view(len(sizes), most, *every.shape[1:])
    return torch.cat([block[:size] for block, size in zip(blocks, sizes, strict=True)])


def weak(group: Group) -> Any:
    """Return a group as a graph keeps it.

    Whoever holds a group keeps its threads; a loss that is still there when a program ends must not. One of them that
    lets go of a tensor while the interpreter ends would abort the program.
    """
    return group if torch.compiler.is_compiling() else weakref.ref(group)


def alive(kept: Any) -> Group:
    """Return the group that a graph keeps."""
    group = kept() if isinstance(kept, weakref.ref) else kept
    if group is None:
        raise RuntimeError("a backward pass over processes needs its process_group, which has been destroyed")
    return group


class _AllGather(torch.autograd.Function):
    """Blocks of one size of all processes; the derivative is `_ReduceScatter`, which has one in turn (DD-16)."""

    @staticmethod
    def forward(ctx: Any, block: Tensor, group: Group, wire: torch.dtype | None = None) -> Tensor:
        sent = block.to(wire or block.dtype).contiguous()
        every = sent.new_empty(sent.shape[0] * dist.get_world_size(group), *sent.shape[1:])
        if every.numel():
            _GATHER(every, sent, group=group)
        every = every.to(block.dtype)
        ctx.group = weak(group)
        ctx.save_for_backward(block, every)
        return every

    @staticmethod
    def backward(ctx: Any, *received: Tensor) -> tuple[Tensor, None, None]:
        found: Tensor = _ReduceScatter.apply(received[0], *ctx.saved_tensors, alive(ctx.group))  # type: ignore[no-untyped-call]
        return found, None, None


class _ReduceScatter(torch.autograd.Function):
    """The sum over the processes of this process's block of what each of them has for all.

    It is a function of the block and of the gathered rows too, though a constant one: where what one process has does
    not depend on them, as without a term, its second derivative makes the same exchanges as that of the others (DD-15).
    """

    @staticmethod
    def forward(ctx: Any, received: Tensor, block: Tensor, every: Tensor, group: Group) -> Tensor:
        ctx.group = weak(group)
        ctx.save_for_backward(block, every)
        total = torch.empty_like(block)
        if received.numel():
            _SCATTER(total, received.contiguous(), group=group)
        return total

    @staticmethod
    def backward(ctx: Any, *received: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        block, every = ctx.saved_tensors
        found: Tensor = _AllGather.apply(received[0], alive(ctx.group))  # type: ignore[no-untyped-call]
        return found, torch.zeros_like(block), torch.zeros_like(every), None


def _summed(value: Tensor, group: Group) -> Tensor:
    total = value.clone()
    dist.all_reduce(total, group=group)
    return total


# what only a comparison shows


def agreed(processes: Processes | None, call: Mapping[str, Any]) -> None:
    """Raise on every process where one was called with another dtype, width or option: DD-18.

    What the arguments are travels over the host; nothing is read from a device.
    """
    if processes is None:
        return
    own = {name: _described(value) for name, value in call.items() if name not in _OF_THE_PROCESS}
    every: list[Any] = [None] * processes.world
    dist.all_gather_object(every, own, group=_on_host(processes.group))
    for name in own:
        for rank, other in enumerate(every):
            if other[name] != every[0][name]:
                found = f"{every[0][name]} on process 0 and {other[name]} on process {rank}"
                raise ValueError(f"{name} must be alike on all processes, got {found}")


_OF_THE_PROCESS = ("process_group", "processes", "sizes", "check", "mask", "weights")


def _described(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} rows of shape {tuple(value.shape[1:])}"
    return repr(value)


def _on_host(group: Group) -> Group:
    """Return a group of the same processes that talk over the host."""
    if dist.get_backend(group) == "gloo":
        return group
    if group not in _HOSTS:
        ranks = dist.get_process_group_ranks(group)
        _HOSTS[group] = dist.new_group(ranks, backend="gloo", use_local_synchronization=True)
    return _HOSTS[group]


_HOSTS: Any = weakref.WeakKeyDictionary()


# for losses of one's own


def gather_rows(rows: Tensor, process_group: Group, *, sizes: Sequence[int] | None = None) -> Tensor:
    """Return the rows of all processes of a group, in order of rank, with the gradient of one device (DD-4).

    Args:
        rows: rows of shape (n, D), n the number of this process; float16, bfloat16, float32 or float64.
        process_group: the group, for instance ``torch.distributed.group.WORLD``.
        sizes: the number of rows of each process, in order of rank; None: asked of the others, which waits for them.

    Returns:
        The rows (N, D) in their dtype. The derivative adds up, in float32 or wider, what every process sends to a row,
        so that a loss that each process takes of its *own* terms among them has the gradient of one device.

    Raises:
        TypeError, ValueError, RuntimeError: an argument is not what is described here, or there is no such group.

    Every process calls it, and takes its backward pass, in each step (DD-15). It may be differentiated twice.
    """
    describe("rows", rows)
    processes = joined(process_group, "sum")
    if processes is None:
        return rows
    every = sizes_of(rows.shape[0], processes, sizes, rows.device)
    return gathered(rows.to(arithmetic(rows)), every, processes, rows.dtype).to(rows.dtype)


def total_loss(share: Tensor, process_group: Group, *, combine: str = "mean") -> Tensor:
    """Return the loss of the union from the shares of all processes, without gradient: the number to log (DD-15).

    Args:
        share: what a loss of this package returned for a scalar reduction, of shape ().
        process_group: the group that the loss was given.
        combine: the word that the loss was given, "mean" or "sum".

    Returns:
        The loss, the same on every process.
    """
    processes = joined(process_group, combine)
    if processes is None:
        return share.detach()
    found = processes.total(share)
    return found / processes.world if combine == "mean" else found


def combine_gradients(parameters: Any, process_group: Group, *, combine: str = "mean") -> None:
    """Bring the gradients of parameters that no reducer sees to those of one device, on every process (DD-5).

    DistributedDataParallel averages the gradients of the model that it wraps. The centers or class weights of a loss
    module beside the model are none of these: either the module is wrapped too, or its gradients pass here.

    Args:
        parameters: the parameters, for instance ``loss.parameters()``; one without a gradient counts as 0.
        process_group: the group that the loss was given.
        combine: the word that the loss was given: "mean" averages the gradients, "sum" adds them up.
    """
    processes = joined(process_group, combine)
    if processes is None:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        found = processes.total(parameter.grad.to(arithmetic(parameter)))
        parameter.grad.copy_(found / processes.world if combine == "mean" else found)
