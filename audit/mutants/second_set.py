"""Broken second sets of rows in PyTorch: a right loss that is handed another second set than the caller gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import lossproof.backends.torch as right
from audit.mutants import Mutant, table

Loss = Callable[..., Tensor]
Given = dict[str, Any]
Change = Callable[[Given], Given]
LOSSES: dict[str, Loss] = {
    "all": right.batch_all_triplet_loss,
    "hard": right.batch_hard_triplet_loss,
    "semi": right.semi_hard_triplet_loss,
    "circle": right.circle_loss,
}
NAMES = {"all": "batch_all_triplet_loss", "hard": "batch_hard_triplet_loss", "semi": "semi_hard_triplet_loss"}


class Changed:
    """A loss whose call is changed where it has a second set, or a part of one."""

    def __init__(self, loss: Loss, change: Change, *, always: bool = False):
        self.loss, self.change, self.always = loss, change, always

    def __call__(
        self,
        embeddings: Tensor,
        labels: Tensor,
        *,
        candidates: Any = None,
        candidate_labels: Any = None,
        candidate_mask: Any = None,
        candidate_index: Any = None,
        **rest: Any,
    ) -> Tensor:
        """Return the loss of the changed call."""
        given = {
            "embeddings": embeddings,
            "labels": labels,
            "candidates": candidates,
            "candidate_labels": candidate_labels,
            "candidate_mask": candidate_mask,
            "candidate_index": candidate_index,
            **rest,
        }
        whole = candidates is not None and candidate_labels is not None
        if not whole and not self.always:
            return self.loss(**given)
        if whole and not self.always:
            self.loss(**given)  # refuses what is illegal
        return self.loss(**self.change(given))


def _with(**changes: Callable[[Given], Any]) -> Change:
    """Return a change that computes some arguments anew from those that were given."""
    return lambda given: {**given, **{name: change(given) for name, change in changes.items()}}


def _mutant(key: str, bug: str, clauses: tuple[str, ...], change: Change, *, always: bool = False) -> Mutant:
    """Return a mutant; the first word of its name says of which loss."""
    loss = key.split("-")[0]
    name = NAMES.get(loss, "circle_loss")
    return Mutant(f"second-{key}", bug, clauses, Changed(LOSSES[loss], change, always=always), loss=name)


def _index(given: Given) -> Tensor:
    """Return the index of a call, -1 where there is none."""
    index = given["candidate_index"]
    return torch.full(given["labels"].shape, -1) if index is None else index.long()


def _where_named(given: Given, change: Callable[[Tensor, Tensor], Tensor]) -> Any:
    """Return the index with the entries that name a candidate changed; `change` gets them and the rows."""
    index = _index(given)
    if not len(given["candidates"]):
        return given["candidate_index"]
    named = index >= 0
    return torch.where(named, change(index, index.clamp(0, len(given["candidates"]) - 1)), index)


def _present(given: Given) -> Tensor:
    """Return which candidates take part."""
    mask = given["candidate_mask"]
    return torch.ones(len(given["candidates"]), dtype=torch.bool) if mask is None else mask


def _without_named(given: Given) -> Tensor:
    named = torch.zeros(len(given["candidates"]), dtype=torch.bool)
    index = _index(given)
    named[index[(index >= 0) & (index < len(named))]] = True
    return _present(given) & ~named


def _batch_too(given: Given) -> Given:
    """Compare the anchors with one another, too."""
    count, index = len(given["labels"]), torch.arange(len(given["labels"]))
    mask = torch.ones(count, dtype=torch.bool) if given.get("mask") is None else given["mask"]
    rows = torch.cat([given["embeddings"].to(given["candidates"].dtype), given["candidates"]])
    names = torch.cat([given["labels"].long(), given["candidate_labels"].long()])
    second = {"candidates": rows, "candidate_labels": names, "candidate_mask": torch.cat([mask, _present(given)])}
    return {**given, **second, "candidate_index": index}


def _of_both(given: Given) -> Any:
    """Return the mask of the anchors; where there are as many candidates, together with theirs."""
    mask, other = given.get("mask"), given["candidate_mask"]
    if other is None or len(other) != len(given["labels"]):
        return mask
    return other if mask is None else mask & other


def _diagonal(given: Given) -> Any:
    """Return the index; where there is none and there are as many candidates as rows, that of a batch with itself."""
    count, index = len(given["labels"]), given["candidate_index"]
    return torch.arange(count) if index is None and len(given["candidates"]) == count else index


def _once(index: Tensor, place: Tensor) -> Tensor:
    """Return the index with every candidate named by its first anchor alone."""
    earlier = (index[:, None] == index) & (torch.arange(len(index))[:, None] > torch.arange(len(index)))
    return torch.where(earlier.any(-1), -1, index)


def _itself_reaches(given: Given) -> Tensor:
    """Return the anchors plus 0 times the candidate that each names."""
    index, rows = _index(given), given["embeddings"]
    assert isinstance(rows, Tensor)
    if not len(given["candidates"]):
        return rows
    own = given["candidates"].detach()[index.clamp(0, len(given["candidates"]) - 1)]
    return rows + torch.where((index >= 0)[:, None], 0 * own, 0.0).to(rows.dtype)


def _far(name: str) -> Callable[[Given], Tensor]:
    """Return rows that have been moved far away and back, and lost their last digits on the way."""

    def moved(given: Given) -> Tensor:
        rows: Tensor = given[name]
        step = 2048 * rows.detach().abs().amax().clamp(min=1e-30) if rows.numel() else 1.0
        return rows + (((rows + step) - step) - rows).detach()

    return moved


def _most(given: Given) -> Any:
    return max(len(given["labels"]) - 1, 1) if given.get("max_positives") is None else given["max_positives"]


def _uncounted(given: Given) -> Tensor:
    """Batch-all whose `mean_nonzero` leaves out what is NaN."""
    plain: Tensor = right.batch_all_triplet_loss(**given)
    spoilt = given["embeddings"].detach().isnan().any(-1)
    if given["candidates"] is None or given.get("reduction", "mean") != "mean_nonzero" or not bool(spoilt.any()):
        return plain
    mask = ~spoilt if given.get("mask") is None else given["mask"] & ~spoilt
    others: Tensor = right.batch_all_triplet_loss(**{**given, "mask": mask})
    return others + (plain - others).detach()


def _over(given: Given) -> Tensor:
    """Circle with a mean over the candidates."""
    plain: Tensor = right.circle_loss(**given)
    if given["candidates"] is None or given.get("reduction", "mean") != "mean":
        return plain
    total: Tensor = right.circle_loss(**{**given, "reduction": "sum"})
    return total / _present(given).sum().clamp(min=1)


def _in_halves(given: Given) -> Tensor:
    """Circle that returns a loss of half rows in their dtype where there is a second set."""
    found: Tensor = right.circle_loss(**given)
    narrow = given["candidates"] is not None and given["candidates"].dtype.itemsize == 2
    return found.to(given["candidates"].dtype) if narrow else found


def _is_the_batch(given: Given) -> Any:
    """Return the index; where there is none and the candidates are the rows, that of a batch with itself."""
    rows, others, index = given["embeddings"].detach(), given["candidates"].detach(), given["candidate_index"]
    return torch.arange(len(rows)) if index is None and torch.equal(rows, others) else index


def _padded(given: Given) -> Given:
    """Add candidates of zeros without a label until there are as many as rows."""
    missing = len(given["labels"]) - len(given["candidates"])
    if missing <= 0 or not len(given["candidates"]) or given["candidate_mask"] is not None:
        return given
    rows = torch.nn.functional.pad(given["candidates"], (0, 0, 0, missing))
    return {
        **given,
        "candidates": rows,
        "candidate_labels": torch.nn.functional.pad(given["candidate_labels"], (0, missing), value=-1),
    }


def _whole_blocks(given: Given) -> Tensor:
    """Leave out what comes after the last whole block of 512 candidates."""
    count = len(given["candidates"])
    kept = torch.arange(count) < (count // 512 * 512 or count)
    return _present(given) & kept


def _ambient_rows(given: Given) -> Tensor:
    """Return anchors as a matrix product under autocast reads them."""
    rows: Tensor = given["embeddings"]
    return rows.bfloat16().to(rows.dtype) if torch.is_autocast_enabled("cpu") else rows


def _no_rows(given: Given) -> Tensor:
    """Batch-all whose mean over no rows is NaN where there is a second set."""
    found: Tensor = right.batch_all_triplet_loss(**given)
    mean = given.get("reduction", "mean").startswith("mean")
    return found * torch.nan if mean and given["candidates"] is not None and not len(given["labels"]) else found


def _named_in_floats(given: Given) -> Tensor:
    """Batch-hard whose gradient is that of labels that were read as float32."""
    found: Tensor = right.batch_hard_triplet_loss(**given)
    labels = given["labels"]
    if labels.dtype != torch.int64 or not found.requires_grad:
        return found
    other: Tensor = right.batch_hard_triplet_loss(
        **{**given, "labels": labels.float().clamp(-(2.0**62), 2.0**62).long()}
    )
    return found.detach() + other - other.detach()


def _nobody(given: Given) -> bool:
    """Whether there is a second set and no anchor takes part."""
    return given["candidates"] is not None and given.get("mask") is not None and not bool(given["mask"].any())


def _no_anchor(given: Given) -> Tensor:
    """Batch-hard whose mean over no anchor is NaN where there is a second set."""
    found: Tensor = right.batch_hard_triplet_loss(**given)
    mean = given.get("reduction", "mean").startswith("mean")
    return found * torch.nan if mean and _nobody(given) else found


def _no_anchor_gradient(given: Given) -> Tensor:
    """Circle whose mean over no anchor has a gradient of NaN for the candidates."""
    found: Tensor = right.circle_loss(**given)
    nothing = (0 * given["candidates"]).sum().sqrt() if _nobody(given) else 0.0  # its slope is infinite
    return found + nothing if given.get("reduction", "mean").startswith("mean") else found


def _steep(squared: Tensor) -> Tensor:
    """Return 0, with a gradient of NaN where a square is 0: that of a root whose slope is infinite."""
    return 0 * torch.where(squared.detach() == 0, squared, 1.0).sqrt().sum()


def _no_slope(loss: Loss, default: str) -> Callable[[Given], Tensor]:
    """Return a loss whose gradient is NaN where a candidate lies on an anchor that does not name it."""

    def changed(given: Given) -> Tensor:
        found = loss(**given)
        candidates, rows = given["candidates"], given["embeddings"]
        if candidates is None or given.get("distance", default) != "euclidean":
            return found
        squared = (rows[:, None] - candidates).square().sum(-1)
        named = _index(given)[:, None] == torch.arange(len(candidates))
        return found + _steep(torch.where(named, 1.0, squared)).to(found.dtype)

    return changed


def _no_direction(given: Given) -> Tensor:
    """Circle whose gradient is NaN where a candidate is 0."""
    found: Tensor = right.circle_loss(**given)
    if given["candidates"] is None:
        return found
    return found + _steep(given["candidates"].square().sum(-1)).to(found.dtype)


def _over_pairs(given: Given) -> Tensor:
    """Semi-hard whose `none` has a row for each candidate."""
    found: Tensor = right.semi_hard_triplet_loss(**given)
    return found.T if found.ndim == 2 and given["candidates"] is not None else found


def _as_a_call(function: Callable[[Given], Tensor]) -> Loss:
    """Return a function of the arguments of a call as a loss."""
    return Changed(lambda **given: function(given), lambda given: given)


MUTANTS = table(
    _mutant("all-ignored", "the second set is accepted and not looked at", ("PW-9",), _with(candidates=lambda g: None, candidate_labels=lambda g: None, candidate_mask=lambda g: None, candidate_index=lambda g: None)),
    _mutant("hard-mask-of-both", "with as many candidates as rows their mask is that of the anchors, too", ("PW-9",), _with(mask=_of_both)),
    _mutant("all-diagonal", "with as many candidates as rows an anchor does not meet the one of its number", ("PW-9",), _with(candidate_index=_diagonal)),
    _mutant("semi-is-the-batch", "a second set of the same rows is taken for the batch, where no row meets itself", ("PW-9",), _with(candidate_index=_is_the_batch)),
    _mutant("semi-padded", "fewer candidates than rows are filled up with zeros", ("PW-9", "SH-13"), _padded),
    _mutant("hard-whole-blocks", "candidates after the last whole block of 512 are left out", ("PW-9",), _with(candidate_mask=_whole_blocks)),
    _mutant("circle-ambient", "the anchors meet the candidates in bfloat16 under autocast", ("CV-20",), _with(embeddings=_ambient_rows)),
    Mutant("second-all-no-rows", "a mean over no rows is NaN", ("CV-5",), _as_a_call(_no_rows), loss="batch_all_triplet_loss"),
    Mutant("second-hard-gradient-labels", "the gradient is that of labels read as float32", ("CV-32",), _as_a_call(_named_in_floats), loss="batch_hard_triplet_loss"),
    _mutant("hard-batch-too", "the anchors are compared with one another, too", ("PW-9",), _batch_too),
    _mutant("semi-mask-ignored", "masked candidates are compared", ("PW-9", "CV-8", "CV-9"), _with(candidate_mask=lambda g: None)),
    _mutant("all-masked-are-zero", "a masked candidate is compared as a row of zeros", ("PW-9",), _with(candidates=lambda g: torch.where(_present(g)[:, None], g["candidates"], 0.0), candidate_mask=lambda g: None)),
    _mutant("circle-mask-implied", "a candidate that a masked anchor names is left out", ("PW-10", "PW-9"), _with(candidate_mask=lambda g: _present(g) if g.get("mask") is None else _present(g) & ~(_index(g)[~g["mask"]][:, None] == torch.arange(len(g["candidates"]))).any(0))),
    _mutant("all-index-ignored", "the candidate that is the anchor stays its positive or its negative", ("PW-10",), _with(candidate_index=lambda g: None)),
    _mutant("hard-index-masks", "a candidate that is an anchor is compared with no other one either", ("PW-10",), _with(candidate_mask=_without_named)),
    _mutant("semi-index-positive", "the candidate that is the anchor is left out of the positives alone", ("PW-10",), _with(candidate_index=lambda g: _where_named(g, lambda i, p: torch.where(g["candidate_labels"].long()[p] == g["labels"].long(), i, -1)))),
    _mutant("circle-index-wraps", "an entry of -1 names the last candidate", ("PW-10",), _with(candidate_index=lambda g: g["candidate_index"] if g["candidate_index"] is None or not len(g["candidates"]) else g["candidate_index"] % len(g["candidates"]))),
    _mutant("all-index-once", "a candidate is the anchor of one row at most", ("PW-10",), _with(candidate_index=lambda g: None if g["candidate_index"] is None else _where_named(g, _once))),
    _mutant("all-detached", "the candidates are constants", ("PW-11",), _with(candidates=lambda g: g["candidates"].detach())),
    _mutant("hard-anchors-detached", "the anchors are constants", ("PW-11",), _with(embeddings=lambda g: g["embeddings"].detach())),
    _mutant("semi-half-gradient", "the candidates receive half of their gradient", ("PW-11",), _with(candidates=lambda g: 0.5 * g["candidates"] + 0.5 * g["candidates"].detach())),
    _mutant("all-own-nan", "NaN in the candidate that is the anchor reaches its terms", ("PW-12",), _with(embeddings=_itself_reaches)),
    _mutant("semi-nan-everywhere", "NaN in one anchor reaches all of them", ("PW-12",), _with(embeddings=lambda g: g["embeddings"] + 0 * g["embeddings"].detach().sum(0))),
    _mutant("hard-nan-left-out", "a candidate that holds NaN is left out", ("PW-12",), _with(candidates=lambda g: torch.where(g["candidates"].isnan(), 0.0, g["candidates"]), candidate_mask=lambda g: _present(g) & ~g["candidates"].detach().isnan().any(-1))),
    _mutant("all-labels-optional", "without labels of their own the candidates have those of the anchors", ("PW-13",), lambda g: g if g["candidates"] is None or g["candidate_labels"] is not None else {**g, "candidate_labels": g["labels"][: len(g["candidates"])]}, always=True),
    _mutant("semi-index-alone", "an index without candidates is not looked at", ("PW-13",), lambda g: g if g["candidates"] is not None else {**g, "candidate_index": None}, always=True),
    _mutant("hard-width", "candidates of one feature are repeated", ("PW-13",), lambda g: g if g["candidates"] is None or g["candidates"].ndim != 2 or g["candidates"].shape[1] != 1 else {**g, "candidates": g["candidates"].expand(-1, g["embeddings"].shape[-1])}, always=True),
    _mutant("circle-narrow", "candidates of any float dtype are read in that of the anchors", ("CV-26", "CV-15"), lambda g: g if g["candidates"] is None or not g["candidates"].is_floating_point() else {**g, "candidates": g["candidates"].to(g["embeddings"].dtype)}, always=True),
    _mutant("all-labels-wrap", "the labels of the candidates are read in the dtype of the labels", ("PW-13",), _with(candidate_labels=lambda g: g["candidate_labels"].to(g["labels"].dtype))),
    _mutant("hard-labels-bits", "labels without a sign are read as labels with one", ("PW-13",), _with(candidate_labels=lambda g: g["candidate_labels"].to(torch.int64), labels=lambda g: g["labels"].to(torch.int64))),
    _mutant("semi-index-clipped", "an index that is no candidate counts as none", ("PW-14",), lambda g: g if g["candidate_index"] is None or g["candidates"] is None or g["candidate_index"].is_floating_point() or g["candidate_index"].dtype == torch.bool else {**g, "candidate_index": torch.where((g["candidate_index"] < -1) | (g["candidate_index"] >= len(g["candidates"])), -1, g["candidate_index"])}, always=True),
    _mutant("all-index-clamped", "an index that is no candidate names the nearest one", ("PW-14",), lambda g: g if g["candidate_index"] is None or g["candidates"] is None or g["candidate_index"].is_floating_point() or g["candidate_index"].dtype == torch.bool or not len(g["candidates"]) else {**g, "candidate_index": g["candidate_index"].clamp(-1, len(g["candidates"]) - 1)}, always=True),
    _mutant("all-far", "the rows are centred on a point far away", ("PW-6", "PW-7", "CV-15"), _with(embeddings=_far("embeddings"), candidates=_far("candidates"))),
    _mutant("hard-far", "the rows of a second set lose digits", ("BH-5", "CV-15", "CV-16"), _with(candidates=_far("candidates"))),
    _mutant("all-most-of-batch", "an anchor may have no more positives than the batch has rows", ("PW-8", "CV-23"), _with(max_positives=_most)),
    _mutant("hard-no-self", "include_self has no part with a second set", ("BH-12",), _with(include_self=lambda g: False)),
    _mutant("hard-self-apart", "with include_self the own positive is as far as the candidate stands", ("BH-12",), _with(candidate_index=lambda g: None if g.get("include_self") else g["candidate_index"])),
    Mutant("second-all-nan-uncounted", "mean_nonzero leaves out the triplets that are NaN", ("BA-4", "CV-11"), _as_a_call(_uncounted), loss="batch_all_triplet_loss"),
    Mutant("second-semi-turned", "none has a row for each candidate", ("SH-13",), _as_a_call(_over_pairs), loss="semi_hard_triplet_loss"),
    Mutant("second-circle-half", "the loss of half rows has their dtype where there is a second set", ("CV-18",), _as_a_call(_in_halves), loss="circle_loss"),
    Mutant("second-circle-by-candidates", "the mean is over the candidates", ("CI-17",), _as_a_call(_over), loss="circle_loss"),
    Mutant("second-hard-no-anchor", "a mean over no anchor is NaN", ("CV-5",), _as_a_call(_no_anchor), loss="batch_hard_triplet_loss"),
    Mutant("second-hard-no-slope", "the gradient is NaN where a candidate lies on an anchor", ("DI-15",), _as_a_call(_no_slope(LOSSES["hard"], "euclidean")), loss="batch_hard_triplet_loss"),
    Mutant("second-all-no-slope", "the gradient is NaN where a candidate lies on an anchor", ("DI-15",), _as_a_call(_no_slope(LOSSES["all"], "euclidean")), loss="batch_all_triplet_loss"),
    Mutant("second-circle-no-direction", "the gradient is NaN where a candidate is 0", ("CI-12",), _as_a_call(_no_direction), loss="circle_loss"),
    Mutant("second-circle-no-anchor", "a mean over no anchor has a gradient of NaN", ("CV-6",), _as_a_call(_no_anchor_gradient), loss="circle_loss"),
    _mutant("circle-nonzero", "the mean is over the anchors that have a positive and a negative", ("CI-17",), _with(reduction=lambda g: "mean_nonzero" if g.get("reduction", "mean") == "mean" else g["reduction"])),
)  # fmt: skip
