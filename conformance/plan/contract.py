"""The contract of a loss: everything that plan, judge and checks ask of its cases, in one typed place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lossproof.conformance.host.arrays import Array
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.plan.cases.causes import Cause
from lossproof.conformance.plan.cases.structures import Structure, terms_shape
from lossproof.conformance.plan.probe import Probe

Shape = tuple[int, ...]
Choices = Mapping[str, tuple[Any, ...]]  # of each field; the first is neutral
Clauses = Mapping[str, str]  # of a part: value, gradient, second


def _ordinary(case: Case) -> str:
    """Return the clause of a legal call that is refused."""
    return "CV-23"


@dataclass(frozen=True)
class LossCases:
    """What calls of a loss there are, which of them are asked, and what a wrong one says.

    Args:
        loss: its name in the spec.
        space: the choices of every field; a smallest case keeps the first of each where it can.
        basic: the fields that most probes vary.
        varied: options that the conventions are asked about.
        controlled: options that a control case shares with a special one.
        smaller_shapes: shapes that a smallest case may have.
        normal: makes a structure one that its dtype and its options can hold.
        parameters: the options of a call, those that the function has.
        judged_parameters: the options that the oracle works with, what the function has fixed among them.
        build: fills a structure with numbers, from a seed.
        legal: a plain legal call, the sibling of every wrong one.
        boundaries: the cases of a clause that lie exactly on a kink or a tie.
        value_boundaries: the clauses of those whose value is asked, `gradient_boundaries` those of a gradient.
        probes: the probes that the conventions do not bring.
        formula: the clause of a part that is wrong everywhere.
        blame: the clause that needed fields name, or None for the formula.
        refusal: the clause of a legal call that is refused.
        row_clause: the clause of a failure that needs more than one row.
        absolute: the clause of a small error that does not grow with the rows.
        gradient_of: an input -> the clause of its gradient, where those of earlier inputs are right.
        causes: experiments that tell clauses apart where plain calls are wrong.
        unspecified: what CV-11 and CV-12 leave open; None where one row reaches every term.
        terms_shape: the shape of the unreduced loss.
        vectorised: whether a batch is a stack of independent calls.
        few_rows: shapes of few rows with a term that is not 0; `sharp_rows` where budgets are sharpest.
        many: the shape of a large batch; `counted`, one with more terms than bfloat16, and than float16, can count.
    """

    loss: str
    space: Choices
    basic: Choices
    varied: Sequence[str]
    controlled: Sequence[str]
    smaller_shapes: Sequence[Shape]
    normal: Callable[[Structure, Offer], Structure]
    parameters: Callable[[Structure, Offer], dict[str, Any]]
    judged_parameters: Callable[[Structure, Offer], dict[str, Any]]
    build: Callable[[Structure, Offer, int, int], Case]
    legal: Callable[[Offer], Case]
    boundaries: Callable[[str, Offer, int], Iterator[Case]]
    value_boundaries: Sequence[str]
    gradient_boundaries: Sequence[str]
    probes: Callable[[], Iterator[Probe]]
    formula: Clauses
    blame: Callable[[str, Mapping[str, Any], bool], str | None]
    refusal: Callable[[Case], str] = _ordinary
    row_clause: str | None = None
    absolute: Clauses | None = None
    gradient_of: Mapping[str, str] = field(default_factory=dict)
    causes: Sequence[Cause] = ()
    unspecified: Callable[[Case], dict[str, Array]] | None = None
    terms_shape: Callable[[Case], Shape] = terms_shape
    vectorised: bool = True
    few_rows: tuple[Shape, ...] = ((2, 3), (5, 4))
    sharp_rows: tuple[Shape, ...] = ((1, 1), (1, 2), (2, 3))
    many: Shape = (601, 2)
    counted: tuple[Shape, Shape] = ((601, 2), (2051, 2))
