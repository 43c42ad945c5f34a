"""Broken batches over processes in PyTorch: right losses, spread over a group in ways that were seen, or could be."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

import lossproof.backends.torch as right
from audit.mutants import Mutant, table
from lossproof.conformance.host.ranks import Ranks

Given = dict[str, Any]
Loss = Callable[..., Tensor]
LOSSES: dict[str, Loss] = {
    "hard": right.batch_hard_triplet_loss,
    "margin": right.triplet_margin_loss,
    "center": right.center_loss,
}
NAMES = {"hard": "batch_hard_triplet_loss", "margin": "triplet_margin_loss", "center": "center_loss"}
SHARE, SCALED, TOTAL, OWN_MEAN = Ranks(), Ranks("scaled", "mean"), Ranks("total", "mean"), Ranks("own mean", "mean")
BROKEN = SimpleNamespace()  # by name, where the processes of a group find them
SEEN = {
    "open_clip": "open_clip ClipLoss, gather_with_grad=False",
    "pylate": "PyLate Contrastive",
    "flag": "FlagEmbedding, GradCache distributed loss",
    "pml": "pytorch-metric-learning wrapper, efficient=True",
}


class Spread:
    """A loss that is right by itself, and spread over a group by `way`, which gets the loss, the group and the call."""

    def __init__(self, loss: Callable[..., Tensor], way: Callable[..., Tensor]):
        self.loss, self.way = loss, way

    def __call__(self, *, process_group: Any = None, **given: Any) -> Tensor:
        """Return the loss of one process, or what this one returns of a batch over several."""
        return self.loss(**given) if process_group is None else self.way(self.loss, process_group, given)


def every(x: Tensor, group: Any) -> list[Tensor]:
    """Return what each process holds, without gradient."""
    found: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(found, x.detach(), group=group)
    return found


def gathered(x: Tensor | None, group: Any) -> Tensor | None:
    """Return the rows of all processes: floats with gradient, the others as they are."""
    if x is None:
        return None
    return right.gather_rows(x, group) if x.ndim == 2 and x.is_floating_point() else torch.cat(every(x, group))


def whole(given: Given, group: Any, **changed: Any) -> Given:
    """Return the call with the rows of all processes in place of its own; a mask where one process has one."""
    mask = given.get("mask")
    mask = torch.ones(len(given["labels"]), dtype=torch.bool) if mask is None else mask
    rows = {name: gathered(given.get(name), group) for name in ("embeddings", "labels", "weights")}
    return {**given, **rows, "mask": gathered(mask, group), **changed}


def second(given: Given, group: Any, **changed: Any) -> Given:
    """Return the call of the local anchors beside the rows of all processes as a second set."""
    all_rows, count = whole(given, group), len(given["labels"])
    first = sum(len(part) for part in every(given["labels"], group)[: dist.get_rank(group)])
    names = {"embeddings": "candidates", "labels": "candidate_labels", "mask": "candidate_mask"}
    beside = {new: all_rows[old] for old, new in names.items()}
    return {**given, **beside, "candidate_index": torch.arange(first, first + count), **changed}


def shared(loss: Callable[..., Tensor], group: Any, call: Given, among: Given) -> Tensor:
    """Return the share: the terms of a call, over what the loss of `among`, the union, divides by."""
    if call.get("reduction", "mean") in ("none", "sum"):
        return loss(**call)
    with torch.no_grad():
        total, mean = loss(**{**among, "reduction": "sum"}), loss(**among)
    over = torch.where(mean == 0, 1.0, total / torch.where(mean == 0, 1.0, mean))
    return loss(**{**call, "reduction": "sum"}) / over


def by_second(change: Callable[[Given, Any], Given], among: Callable[[Given, Any], Given] | None = None) -> Any:
    """Return a way in which the second set is changed before the share is taken."""

    def way(loss: Callable[..., Tensor], group: Any, given: Given) -> Tensor:
        return shared(loss, group, change(second(given, group), group), (among or whole)(given, group))

    return way


def _detached(loss: Loss, group: Any, given: Given) -> Tensor:
    parts = every(given["embeddings"], group)
    parts[dist.get_rank(group)] = given["embeddings"]
    return _of_own(loss, group, given, loss(**whole(given, group, embeddings=torch.cat(parts))))


def _of_own(loss: Loss, group: Any, given: Given, value: Tensor) -> Tensor:
    """Return the terms of the own rows, or a scalar as it is."""
    if not value.ndim:
        return value
    sizes = [len(part) for part in every(given["labels"], group)]
    return value.split_with_sizes(sizes)[dist.get_rank(group)]


def _everywhere(loss: Loss, group: Any, given: Given) -> Tensor:
    return _of_own(loss, group, given, loss(**whole(given, group)))


def _alone(loss: Loss, group: Any, given: Given) -> Tensor:
    """No row of another process is met."""
    return loss(**given) * (dist.get_world_size(group) if given.get("reduction", "mean") == "sum" else 1)


def _deduplicated(call: Given, group: Any) -> Given:
    rows, names = call["candidates"].detach(), call["candidate_labels"]
    alike = (rows[:, None] == rows).all(-1) & (names[:, None] == names)
    earlier = alike & (torch.arange(len(rows))[:, None] > torch.arange(len(rows)))
    own = call["candidate_index"]
    kept = call["candidate_mask"] & ~earlier.any(-1)
    kept[own[call["candidate_mask"][own]]] = True
    return {**call, "candidate_mask": kept}


def _own_first(call: Given, group: Any) -> Given:
    index, count = call["candidate_index"], len(call["candidates"])
    order = torch.cat([index, torch.tensor([i for i in range(count) if i not in {*index.tolist()}], dtype=torch.long)])
    moved = {name: call[name][order] for name in ("candidates", "candidate_labels", "candidate_mask")}
    return {**call, **moved, "candidate_index": torch.arange(len(index))}


def _times_rank(call: Given, group: Any) -> Given:
    count = len(call["labels"])
    index = torch.arange(count) + dist.get_rank(group) * count
    return {**call, "candidate_index": index.clamp(max=max(len(call["candidates"]) - 1, 0))}


def _padded(call: Given, group: Any) -> Given:
    sizes = [len(part) for part in every(call["labels"], group)]
    short = sum(max(sizes) - size for size in sizes)
    rows = torch.cat([call["candidates"], call["candidates"].new_zeros(short, call["candidates"].shape[1])])
    names = torch.cat([call["candidate_labels"], call["candidate_labels"].new_zeros(short)])
    mask = torch.cat([call["candidate_mask"], torch.ones(short, dtype=torch.bool)])
    return {**call, "candidates": rows, "candidate_labels": names, "candidate_mask": mask}


def _as_float(call: Given, group: Any) -> Given:
    names = {name: call[name].float().double().long() for name in ("labels", "candidate_labels")}
    return {**call, **names}


def _times_mask(call: Given, group: Any) -> Given:
    mask = call["candidate_mask"]
    spoilt = (call["candidates"].detach() * (~mask)[:, None]).sum(0)
    return {**call, "candidates": torch.where(mask[:, None], call["candidates"] + 0 * spoilt, 0.0)}


def _nan_stays(call: Given, group: Any) -> Given:
    own = torch.zeros(len(call["candidates"]), dtype=torch.bool)
    own[call["candidate_index"]] = True
    rows = call["candidates"]
    return {**call, "candidates": torch.where(own[:, None] | ~rows.isnan(), rows, 0.0)}


def _skips(loss: Loss, group: Any, given: Given) -> Tensor:
    if not len(given["labels"]) or not (given.get("mask") is None or bool(given["mask"].any())):
        return loss(**given)  # there is nothing to do, and nobody is told
    return loss(**given, process_group=group, combine="sum")


def _unseen(loss: Loss, group: Any, given: Given) -> Tensor:
    rows = _Unseen.apply(given["embeddings"], group)  # type: ignore[no-untyped-call]
    return shared(loss, group, {**second(given, group), "candidates": rows}, whole(given, group))


def _prunes(loss: Loss, group: Any, given: Given) -> Tensor:
    call = second(given, group)
    sizes = [len(part) for part in every(given["labels"], group)]
    most, rows = max(sizes), given["embeddings"]
    block = torch.nn.functional.pad(rows, (0, 0, 0, most - len(rows)))
    blocks = _gather(block, group).view(len(sizes), most, -1)
    beside = torch.cat([part[:size] for part, size in zip(blocks, sizes, strict=True)])
    return shared(loss, group, {**call, "candidates": beside}, whole(given, group))


def _gather(block: Tensor, group: Any) -> Tensor:
    found: Tensor = _Gather.apply(block, group)  # type: ignore[no-untyped-call]
    return found


class _Gather(torch.autograd.Function):
    """A gather that is differentiated twice, on the processes whose own terms depend on it."""

    @staticmethod
    def forward(ctx: Any, block: Tensor, group: Any) -> Tensor:
        ctx.group = group
        return torch.cat(every(block, group)).to(block.dtype)

    @staticmethod
    def backward(ctx: Any, *received: Tensor) -> tuple[Tensor, None]:
        return _Scatter.apply(received[0], ctx.group), None  # type: ignore[no-untyped-call]


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, received: Tensor, group: Any) -> Tensor:
        ctx.group = group
        total = received.clone()
        dist.all_reduce(total, group=group)
        return total.chunk(dist.get_world_size(group))[dist.get_rank(group)].clone()

    @staticmethod
    def backward(ctx: Any, *received: Tensor) -> tuple[Tensor, None]:
        return _gather(received[0], ctx.group), None


class _Unseen(torch.autograd.Function):
    """A gather whose backward pass communicates where no second derivative sees it."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, group: Any) -> Tensor:
        ctx.group, ctx.sizes = group, [len(part) for part in every(rows, group)]
        return torch.cat(every(rows, group)).to(rows.dtype)

    @staticmethod
    def backward(ctx: Any, *received: Tensor) -> tuple[Tensor, None]:
        total = sum(every(received[0], ctx.group), torch.zeros_like(received[0]))
        own = total.split_with_sizes(ctx.sizes)[dist.get_rank(ctx.group)]
        mine = received[0].split_with_sizes(ctx.sizes)[dist.get_rank(ctx.group)]
        return mine + (own - mine).detach(), None


def _of_rows(*, combine: str = "sum", change: Callable[[Tensor, Any, Given], Tensor]) -> Any:
    """Return a way in which the right share is changed."""

    def way(loss: Callable[..., Tensor], group: Any, given: Given) -> Tensor:
        return change(loss(**given, process_group=group, combine=combine), group, given)

    return way


def _shuffled(loss: Loss, group: Any, given: Given) -> Tensor:
    if given.get("reduction", "mean") == "none":
        return loss(**given, process_group=group, combine="sum")
    weight = loss(**{**given, "reduction": "none"})
    exact = loss(**given, process_group=group, combine="sum")
    order = weight[torch.randperm(weight.numel(), generator=_SEEDLESS)].sum()
    return (
        exact + 64 * (order - weight.sum()).detach() + exact.detach() * 2.0**-40 * torch.rand((), generator=_SEEDLESS)
    )


_SEEDLESS = torch.Generator()
_SEEDLESS.seed()


def _table_summed(loss: Loss, group: Any, given: Given) -> Tensor:
    centers = given["centers"]
    if centers.requires_grad:
        centers = centers * 1.0
        centers.register_hook(lambda g: sum(every(g, group), torch.zeros_like(g)))
    return loss(**{**given, "centers": centers}, process_group=group, combine="sum")


def _mutant(
    key: str, bug: str, clauses: tuple[str, ...], way: Any, ranks: Ranks = SHARE, seen: str = "", **more: Any
) -> Mutant:
    """Return a mutant; the first word of its name says of which loss."""
    name = key.replace("-", "_")
    kind = key.split("-")[0]
    setattr(BROKEN, name, Spread(LOSSES[kind], way))
    target = f"{__name__}:BROKEN.{name}"
    return Mutant(
        f"ranks-{key}", bug, clauses, getattr(BROKEN, name), seen, loss=NAMES[kind], ranks=ranks, target=target, **more
    )


VALUES = ("DD-1", "DD-2", "DD-3", "DD-7")
MUTANTS = table(
    _mutant("hard-alone", "each process compares its rows with its own alone", ("DD-1",), _alone, OWN_MEAN),
    _mutant("hard-detached", "rows of other processes have no gradient", ("DD-4",), _detached, TOTAL, SEEN["open_clip"]),
    _mutant("hard-constant", "the candidates of an anchor are constants", ("DD-4",),
            by_second(lambda call, group: {**call, "candidates": call["candidates"].detach()}), SHARE, SEEN["pml"]),
    _mutant("hard-total", "the total is differentiated on each process, and the gradients are added up", ("DD-4",),
            _everywhere, Ranks("total", "sum"), SEEN["pylate"]),
    _mutant("hard-averaged", "the share is not multiplied by W where gradients are averaged", ("DD-6",),
            _of_rows(change=lambda value, group, given: value), SCALED, SEEN["flag"]),
    _mutant("margin-scaled-none", "terms are multiplied by W too", ("DD-2",),
            _of_rows(change=lambda value, group, given: value * dist.get_world_size(group)), SCALED),
    _mutant("margin-means", "the mean of the means of the processes", ("DD-3", "DD-7"),
            lambda loss, group, given: loss(**given), OWN_MEAN),
    _mutant("center-summed", "the gradient of the centers is added up by the loss, and then again", ("DD-5",),
            _table_summed),
    _mutant("hard-padded", "rows of zeros that fill up a block are candidates", ("DD-7",), by_second(_padded)),
    _mutant("hard-times-rank", "a row finds itself at rank times its own number of rows", ("DD-7",),
            by_second(_times_rank)),
    _mutant("hard-times-mask", "gathered rows are multiplied by their mask", ("DD-8",), by_second(_times_mask)),
    _mutant("margin-shuffled", "terms are added up in the order in which they happen to come", ("DD-10",), _shuffled),
    _mutant("hard-own-first", "the own rows come first, so that ties go to them", ("DD-11",), by_second(_own_first),
            ours=True),
    _mutant("hard-equal", "rows that hold the same numbers are one row", ("DD-12",), by_second(_deduplicated)),
    _mutant("hard-float-labels", "labels travel as float32", ("DD-13",), by_second(_as_float)),
    _mutant("hard-nan-stays", "NaN of another process is taken for 0", ("DD-14",), by_second(_nan_stays)),
    _mutant("hard-skips", "a process without rows that take part leaves the exchanges out", ("DD-15",), _skips),
    _mutant("hard-unseen", "the gather's backward pass communicates unseen by the second derivative", ("DD-16",),
            _unseen),
    _mutant("hard-prunes", "where no term depends on gathered rows, the second derivative makes no exchange", ("DD-15", "DD-16"),
            _prunes),
)  # fmt: skip

# right ones, each in another way: a judge that accuses one of them is wrong


def _own_mean(anchor: Tensor, positive: Tensor, negative: Tensor, *, margin: float = 1.0) -> Tensor:
    return right.triplet_margin_loss(anchor, positive, negative, margin=margin)


RIGHT = SimpleNamespace(
    share=Spread(LOSSES["hard"], by_second(lambda call, group: call)),
    total=Spread(LOSSES["hard"], _everywhere),
    own_mean=_own_mean,
    none=Spread(LOSSES["center"], _of_rows(combine="mean", change=lambda value, group, given: value)),
)
DECLARED = {
    "share": ("hard", SHARE),
    "total": ("hard", TOTAL),
    "own_mean": ("margin", Ranks("own mean", "mean", even=True)),
    "none": ("center", SCALED),
}
