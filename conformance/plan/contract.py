"""The contract of a loss: everything that plan, judge and checks ask of its cases, in one typed place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lossproof.conformance.host.arrays import Array, rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.offer import Offer
from lossproof.conformance.host.ranks import world_of
from lossproof.conformance.plan.blame import Blames, blamed
from lossproof.conformance.plan.cases.causes import Cause
from lossproof.conformance.plan.cases.structures import (
    COTANGENTS,
    Shape,
    Structure,
    generator,
    held,
    mask,
    split_of,
    terms_shape,
    weights,
)
from lossproof.conformance.plan.probe import Options, Probe
from lossproof.spec import Page, losses

Choices = Mapping[str, tuple[Any, ...]]  # of each field; the first is neutral
Clauses = Mapping[str, str]  # of a part: value, gradient, second
OF_THE_CALL = ("mode", "order")  # fields that change no number
SELDOM = ("scale", "offset", "candidates", *OF_THE_CALL)  # fields that have probes of their own


def _as_it_is(structure: Structure) -> Structure:
    return structure


def _ordinary(case: Case) -> str:
    return "CV-23"


def _no_second_set(structure: Structure, inputs: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    return {}


def _as_given(parameters: dict[str, Any], inputs: Mapping[str, Array]) -> dict[str, Any]:
    return parameters


def _no_boundaries(clause: str, offer: Offer, seed: int) -> Iterator[Case]:
    yield from ()


def _no_probes() -> Iterator[Probe]:
    yield from ()


@dataclass(frozen=True)
class Boundaries:
    """Cases that lie exactly on a kink or a tie, and the clauses whose value, or whose gradient, is asked there."""

    cases: Callable[[str, Offer, int], Iterator[Case]] = _no_boundaries
    value: Sequence[str] = ()
    gradient: Sequence[str] = ()

    @property
    def clauses(self) -> tuple[str, ...]:
        """Return the clauses of both kinds."""
        return (*self.value, *self.gradient)


@dataclass(frozen=True)
class LossCases:
    """What calls of a loss there are, which of them are asked, and what a wrong one says.

    The module `space` of a loss builds it; the folder adds what its modules `boundaries` and `probes` hold.

    Args:
        loss: its name in the spec.
        space: the choices of every field; a smallest case keeps the first of each where it can.
        basic: the fields that most probes vary.
        varied: options that the conventions are asked about.
        controlled: options that a control case shares with a special one.
        smaller_shapes: shapes that a smallest case may have.
        inputs: fills a structure with numbers: every input but the mask.
        legal_inputs: those of a plain legal call, the sibling of every wrong one.
        formula: the clause of a part that is wrong everywhere.
        blames: the fields that name another clause where a failure needs them, those asked first above the others.
        normal: makes a structure one that its dtype and its options can hold.
        grown: gives the options that grow with the rows in units of these.
        refusal: the clause of a legal call that is refused.
        row_clause: the clause of a failure that needs more than one row.
        gradient_of: an input -> the clause of its gradient, where those of earlier inputs are right.
        causes: experiments that tell clauses apart where plain calls are wrong.
        unspecified: what CV-11 and CV-12 leave open; None where one row reaches every term.
        second_set: fills the arguments of a second set of rows, from the first.
        fitted: gives the options of a call that depend on its rows.
        vectorised: whether a batch is a stack of independent calls.
        few_rows: shapes of few rows with a term that is not 0; `sharp_rows` where budgets are sharpest.
        many: the shape of a large batch; `counted`, one with more terms than bfloat16, and than float16, can count.
        boundaries: the cases that lie exactly on a kink or a tie.
        probes: the probes that the conventions do not bring.
    """

    loss: str
    space: Choices
    basic: Choices
    varied: Sequence[str]
    controlled: Sequence[str]
    smaller_shapes: Sequence[Shape]
    inputs: Callable[[Structure, np.random.Generator], dict[str, Array]]
    legal_inputs: Mapping[str, Array]
    formula: Clauses
    blames: Sequence[Blames]
    normal: Callable[[Structure, Offer], Structure] = held
    grown: Callable[[Structure], Structure] = _as_it_is
    refusal: Callable[[Case], str] = _ordinary
    row_clause: str | None = None
    gradient_of: Mapping[str, str] = field(default_factory=dict)
    causes: Sequence[Cause] = ()
    unspecified: Callable[[Case], dict[str, Array]] | None = None
    second_set: Callable[[Structure, Mapping[str, Array], np.random.Generator], dict[str, Array]] = _no_second_set
    fitted: Callable[[dict[str, Any], Mapping[str, Array]], dict[str, Any]] = _as_given
    vectorised: bool = True
    few_rows: tuple[Shape, ...] = ((2, 3), (5, 4))
    sharp_rows: tuple[Shape, ...] = ((1, 1), (1, 2), (2, 3))
    many: Shape = (601, 2)
    counted: tuple[Shape, Shape] = ((601, 2), (2051, 2))
    boundaries: Boundaries = Boundaries()
    probes: Callable[[], Iterator[Probe]] = _no_probes

    @property
    def page(self) -> Page:
        """Return the page of the loss."""
        return losses()[self.loss]

    @property
    def options(self) -> tuple[str, ...]:
        """Return the options that are fields; another has probes of its own."""
        return tuple(name for name in self.page.parameters if name in self.space)

    @property
    def everything(self) -> dict[str, tuple[Any, ...]]:
        """Return what a probe varies that mixes every field."""
        return {name: values for name, values in self.space.items() if name not in SELDOM}

    def vary(self, **fields: tuple[Any, ...]) -> dict[str, tuple[Any, ...]]:
        """Return the fields that most probes vary, and these."""
        return {**self.basic, **fields}

    def each(
        self, check: str, name: str, choices: Sequence[Any], options: Options | None = None, **fields: tuple[Any, ...]
    ) -> Iterator[Probe]:
        """Yield a probe for each choice of a field, of the clause that the choice blames."""
        for choice in choices:
            clause = self.blame(check, {name: choice})
            assert clause is not None
            vary = self.vary(**{name: (choice,)}, **fields)
            yield Probe(self.loss, check, clause, vary=vary, options=options or Options())

    def blame(self, kind: str, needed: Mapping[str, Any]) -> str | None:
        """Return the clause that the fields name without which a failure goes away; None: that of the formula."""
        return self.formula["second"] if kind == "second" else blamed(self.blames, kind, needed)

    def parameters(self, structure: Structure, offer: Offer) -> dict[str, Any]:
        """Return the options of a call: those that apply and that the function has."""
        if structure.get("defaults"):
            return {}
        grown = self.grown(structure)
        return {n: grown[n] for n in self.page.parameters if n in grown and offer.has(n) and self._applies(n, grown)}

    def fixed(self, structure: Structure, offer: Offer) -> dict[str, Any]:
        """Return the options that apply and that the function has no argument for, with what it has instead."""
        return {n: v for n, v in offer.fixed.items() if not offer.has(n) and self._applies(n, structure)}

    def _applies(self, option: str, structure: Structure) -> bool:
        """Whether the distance of a structure has the option."""
        distance = structure.get("distance")
        return bool(self.page.parameters[option].get("applies_to", distance) == distance)

    def build(self, structure: Structure, offer: Offer, seed: int, fill: int) -> Case:
        """Fill a structure with numbers."""
        rng = generator(seed, {n: v for n, v in structure.items() if n not in OF_THE_CALL}, fill)
        inputs, dtype = self.inputs(structure, rng), structure["dtype"]
        inputs |= mask(structure, rng, structure["shape"][:-1]) | weights(structure, rng, structure["shape"][:-1])
        inputs |= self.second_set(structure, inputs, rng)
        order = structure["order"] if "second" in self.formula else min(structure["order"], 1)
        parameters = self.fitted(self.parameters(structure, offer), inputs)
        case = Case(self.loss, inputs, dtype, parameters, structure["mode"], order)
        reduced = structure.get("reduction") != "none" or structure.get("defaults")
        cotangent = np.asarray(rng.choice(COTANGENTS, size=() if reduced else terms_shape(case)))
        rows = {name: array.shape for name, array in inputs.items() if array.dtype.kind == "f" and order == 2}
        tangents = {name: rounded(np.asarray(rng.standard_normal(shape)), dtype) for name, shape in rows.items()}
        if "weights" in tangents:
            tangents["weights"] = np.zeros(rows["weights"])  # they are constants: CV-44
        world = world_of(structure["mode"])
        split = (
            split_of(structure.get("split"), structure["shape"][0], world, rng, even=offer.even) if world > 1 else ()
        )
        return replace(case, cotangent=cotangent, tangents=tangents, split=split)

    def legal(self, offer: Offer) -> Case:
        """Return a plain legal call, the sibling of every wrong one."""
        inputs = {name: array.copy() for name, array in self.legal_inputs.items()}
        mode = "eager" if "eager" in offer.modes else str(offer.modes[-1])
        return Case(self.loss, inputs, offer.choices("dtype", ["float32", "float64"])[0], {}, mode, 0)
