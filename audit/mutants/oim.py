"""Broken OIM losses, each the correct one with a method replaced."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from audit.mutants import Mutant, table
from audit.mutants.center import Center
from audit.mutants.correct import REDUCTIONS, TripletMargin, narrowed, with_default


class OIM(Center):
    """The loss; arguments and reductions are those of the other correct losses."""

    def __call__(  # type: ignore[override]
        self,
        embeddings: Tensor,
        labels: Tensor,
        lookup_table: Tensor,
        queue: Tensor,
        *,
        temperature: float = 0.1,
        unlabelled: int = -1,
        mask: Tensor | None = None,
        reduction: str = "mean",
    ) -> Tensor:
        """Return the loss of a batch (B, D)."""
        self.check_temperature(temperature)
        self.check_choice("reduction", reduction, REDUCTIONS[:3])
        self.check_batch(embeddings, labels)
        self.check_tables(embeddings, lookup_table, queue)
        self.check_unlabelled(unlabelled, len(lookup_table))
        if mask is not None:
            mask = self.checked_mask(mask, embeddings.shape[:1])
            labels = labels.masked_fill(~mask, 0)
        known = self.known(labels, unlabelled)
        takes_part = known if mask is None else known & mask
        x = self.prepare(embeddings, takes_part)
        labels = self.in_range(labels.masked_fill(~known, 0), len(lookup_table))
        memory = [self.memory(rows) for rows in self.moved(lookup_table, queue, x, labels, takes_part)]
        x, *memory = self.widened(x, *(rows.to(self.arithmetic(rows.dtype)) for rows in memory))
        terms = self.terms(self.logits(x, self.scaled(temperature), *memory), labels)
        return self.reduce(terms, takes_part, reduction)

    def check_temperature(self, temperature: float) -> None:
        """OI-10."""
        self.check_number("temperature", temperature, 5e-324)

    def check_unlabelled(self, unlabelled: int, classes: int) -> None:
        """OI-11."""
        if not isinstance(unlabelled, int) or 0 <= unlabelled < classes:
            raise ValueError(f"unlabelled must be an integer outside [0, {classes}), got {unlabelled}")

    def known(self, labels: Tensor, unlabelled: int) -> Tensor:
        """Return which rows have an identity: OI-3, OI-4."""
        return labels.long() != unlabelled  # -1 is 255 where it is compared with bytes

    def memory(self, rows: Tensor) -> Tensor:
        """OI-9."""
        return rows.detach()

    def moved(self, table: Tensor, queue: Tensor, x: Tensor, y: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return the memory of the softmax."""
        return table, queue

    def scaled(self, temperature: float) -> float:
        """Return what the inner products are divided by."""
        return temperature

    def logits(self, x: Tensor, temperature: float, table: Tensor, queue: Tensor) -> Tensor:
        """Return one logit for each row of the table, then of the queue: OI-1, OI-2."""
        limit = 0.5 * (torch.finfo(x.dtype).max / x.shape[1]) ** 0.5
        x = (x / temperature).clamp(-limit, limit)
        rows = torch.cat([table, queue]).clamp(-limit, limit)
        return (x.unsqueeze(1) * rows).sum(-1)  # no product of matrices, which autocast would take: CV-20

    def terms(self, logits: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]
        """OI-1, OI-5."""
        return logits.logsumexp(1) - logits.gather(1, labels.long().unsqueeze(1)).squeeze(1)


def _mutant(
    name: str, bug: str, *clauses: str, seen: str = "", ours: bool = False, **methods: Callable[..., Any]
) -> Mutant:
    unknown = [method for method in methods if not hasattr(OIM, method)]
    if unknown:
        raise ValueError(f"{name}: OIM has no {', '.join(unknown)}")
    return Mutant(name, bug, clauses, type("Broken", (OIM,), methods)(), seen, ours, "oim_loss")


@functools.wraps(OIM.__call__)
def _wrapped(loss: OIM, embeddings: Tensor, labels: Tensor, *tables: Tensor, **options: Any) -> Tensor:
    signed = labels.view(torch.int64) if labels.dtype == torch.uint64 else labels
    return OIM.__call__(loss, embeddings, signed, *tables, **options)


def _update_first(
    loss: OIM, table_: Tensor, queue: Tensor, x: Tensor, y: Tensor, known: Tensor
) -> tuple[Tensor, Tensor]:
    rows = x.detach().to(table_.dtype)
    table_ = table_.clone()
    for i in torch.arange(len(rows))[known]:
        table_[y[i]] = torch.nn.functional.normalize(0.5 * table_[y[i]] + 0.5 * rows[i], dim=0)
    return table_, queue


def _without_empty(loss: OIM, x: Tensor, temperature: float, table_: Tensor, queue: Tensor) -> Tensor:
    empty = torch.cat([torch.zeros(len(table_), dtype=torch.bool), (queue == 0).all(1)])
    return OIM.logits(loss, x, temperature, table_, queue).masked_fill(empty, -torch.inf)


def _no_pivot(loss: OIM, logits: Tensor, labels: Tensor) -> Tensor:
    return logits.exp().sum(1).log() - logits.gather(1, labels.long().unsqueeze(1)).squeeze(1)


def _others_only(loss: OIM, logits: Tensor, labels: Tensor) -> Tensor:
    own = torch.nn.functional.one_hot(labels.long(), logits.shape[1]).bool()
    others = logits.masked_fill(own, -1e30)
    return others.logsumexp(1) - logits.gather(1, labels.long().unsqueeze(1)).squeeze(1)


def _whole_blocks(loss: OIM, logits: Tensor, labels: Tensor) -> Tensor:
    count = logits.shape[1]
    whole = logits[:, : count // 512 * 512] if count > 512 else logits
    return whole.logsumexp(1) - logits.gather(1, labels.long().unsqueeze(1)).squeeze(1)


def _replaced(loss: OIM, labels: Tensor, unlabelled: int) -> Tensor:
    known = OIM.known(loss, labels, unlabelled)
    if unlabelled > 0:
        labels[~known] = 0
    return known


def _no_pull(loss: OIM, logits: Tensor, labels: Tensor) -> Tensor:
    return logits.logsumexp(1) - logits.detach().gather(1, labels.long().unsqueeze(1)).squeeze(1)


def _uncounted(loss: OIM, terms: Tensor, mask: Tensor | None, reduction: str) -> Any:
    assert mask is not None
    return mask.sum()


def _fit(loss: OIM, rows: Tensor, *tables: Tensor) -> None:
    Center.check_tables(loss, rows, *(t if t.ndim == 2 and t.shape[1] == rows.shape[1] else rows for t in tables))


def _cut(loss: OIM, x: Tensor, temperature: float, table_: Tensor, queue: Tensor) -> Tensor:
    fits = queue.ndim == 2 and queue.shape[1] == x.shape[1]
    return OIM.logits(loss, x, temperature, table_, queue if fits else table_[:0])


MUTANTS: dict[str, Mutant] = table(
    _mutant("oi-no-queue", "the queue is not in the softmax", "OI-1", seen="open-reid, which has none", logits=lambda s, x, t, v, q: OIM.logits(s, x, t, v, q[:0])),
    _mutant("oi-queue-first", "the queue comes before the table", "OI-1", logits=lambda s, x, t, v, q: OIM.logits(s, x, t, q, v)),
    _mutant("oi-last-block", "of more than 512 logits those after the last whole block of 512 are left out of the sum", "OI-1", terms=_whole_blocks),
    _mutant("oi-uint64-wrapped", "the greatest label of uint64 is taken for -1, the label of none", "CV-33", __call__=_wrapped),
    _mutant("oi-wrapped", "the label of none is cast to the dtype of the labels, in which it may be an identity", "CV-31", "OI-4", known=lambda s, y, u: y != torch.tensor(u).to(y.dtype)),
    _mutant("oi-labels-in-place", "the label of none is replaced where it lies", "CV-21", known=_replaced),
    _mutant("oi-temperature-factor", "the products are multiplied by the temperature", "OI-1", scaled=lambda s, t: 1 / t),
    _mutant("oi-temperature-fixed", "the temperature is 0.1 whatever is asked for", "OI-1", seen="factors written into the code", scaled=lambda s, t: 0.1),
    _mutant("oi-default-temperature", "the temperature is 1 where it is not given", "OI-7", seen="open-reid", __call__=with_default(OIM, temperature=1.0)),
    _mutant("oi-others-only", "the row's own identity is not in the sum", "OI-1", terms=_others_only),
    _mutant("oi-update-first", "the table moves before the loss is taken", "OI-1", "OI-8", "OI-9", moved=_update_first),
    _mutant("oi-normalised", "embeddings are normalised inside", "OI-2", "OI-1", prepare=lambda s, row, m: torch.nn.functional.normalize(TripletMargin.prepare(s, row, m), dim=-1)),
    _mutant("oi-without-empty", "rows of the queue that were never written are left out", "OI-2", logits=_without_empty),
    _mutant("oi-count-unlabelled", "the mean counts rows without an identity", "OI-3", count=lambda s, t, m, r: TripletMargin.count(s, t, None, r)),
    _mutant("oi-unlabelled-first", "rows without an identity count as the first one", "OI-3", known=lambda s, y, u: torch.ones_like(y, dtype=torch.bool), in_range=lambda s, y, n: y.clamp(min=0) % n),
    _mutant("oi-nothing-nan", "a mean over no labelled row is NaN", "OI-3", "CV-5", seen="cross_entropy with ignore_index", count=_uncounted),
    _mutant("oi-minus-one", "the label of rows without an identity is -1 whatever is asked for", "OI-4", known=lambda s, y, u: y != -1),
    _mutant("oi-any-negative", "every negative label is taken for none", "CV-33", "OI-4", seen="person_search, which maps -2 to -1", known=lambda s, y, u: (y != u) & (y >= 0)),
    _mutant("oi-past-the-table", "every label past the table is taken for none", "CV-33", "OI-4", seen="SeqNet", known=lambda s, y, u: (y != u) & (y < 6)),
    _mutant("oi-no-pivot", "the largest logit is not subtracted", "OI-5", "CV-19", terms=_no_pivot),
    _mutant("oi-queue-needed", "a queue without rows is refused", "OI-6", check_tables=lambda s, x, v, q: Center.check_tables(s, x, q, v)),
    _mutant("oi-no-pull", "the logit of the identity has no gradient", "OI-8", terms=_no_pull),
    _mutant("oi-gradient-scale", "the gradient is not divided by the temperature", "OI-8", logits=lambda s, x, t, v, q: OIM.logits(s, x.detach() + t * (x - x.detach()), t, v, q)),
    _mutant("oi-gradient-near", "the gradient is 1.001 times too large", "OI-8", "CV-16", prepare=lambda s, row, m: TripletMargin.prepare(s, row, m).detach() + 1.001 * (TripletMargin.prepare(s, row, m) - TripletMargin.prepare(s, row, m).detach())),
    _mutant("oi-memory-gradient", "the memory gets a gradient", "OI-9", memory=lambda s, rows: rows),
    _mutant("oi-temperature-zero", "a temperature that is not positive is accepted", "OI-10", check_temperature=lambda s, t: None),
    _mutant("oi-unlabelled-identity", "an identity is accepted as the label of none", "OI-11", check_unlabelled=lambda s, u, n: None),
    _mutant("oi-queue-width", "a queue of another width is left out", "OI-12", check_tables=_fit, logits=_cut),
    _mutant("oi-labels-clamped", "labels are moved into the range", "CV-33", in_range=lambda s, y, n: y.clamp(0, n - 1)),
    _mutant("oi-mask-times", "the mask is a factor", "CV-8", "CV-9", "OI-3", prepare=lambda s, row, m: row.to(s.arithmetic(row.dtype)), masked=lambda s, t, m: t * m),
    _mutant("oi-memory-nan-swallowed", "NaN in the memory counts as 0", "OI-2", seen="nan_to_num on a table with rows that were never written", memory=lambda s, rows: rows.detach().nan_to_num(0.0)),
    _mutant("oi-nan-swallowed", "NaN counts as 0", "CV-10", terms=lambda s, z, y: OIM.terms(s, z, y).nan_to_num(0.0)),
    _mutant("oi-empty-queue-width", "a queue without rows may be of any width", "OI-12", check_tables=lambda s, x, v, q: Center.check_tables(s, x, v, *([q] if len(q) else [])), moved=lambda s, v, q, x, y, known: (v, q if len(q) else q.new_zeros(0, v.shape[1]))),
    _mutant("oi-narrowed", "the memory is cast down to the dtype of the rows", "CV-15", "CV-16", seen="autocast", widened=narrowed),
    _mutant("oi-half-arithmetic", "half inputs are computed in their own dtype", "CV-17", "CV-18", arithmetic=lambda s, dtype: dtype),
)  # fmt: skip

CORRECT = OIM()
__all__ = ["CORRECT", "MUTANTS"]
