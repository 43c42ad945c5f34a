"""Exploration: hypothesis climbs towards the cases where an implementation is nearest to the edge of its budget.

A case is a structure with its numbers, and a few edits of single numbers; `hypothesis.target` is given the share of the
budget that the worst error of each part takes. What it finds can be kept as a frozen vector.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import hypothesis
import numpy as np
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from rich.markup import escape
from rich.table import Table

from lossproof.conformance.command_endings import end
from lossproof.conformance.command_options import DEVICE, FRAMEWORK, LOSSES, claimed, console_of, is_complete
from lossproof.conformance.command_targets import known_losses
from lossproof.conformance.host.arrays import rounded
from lossproof.conformance.host.case import Case
from lossproof.conformance.host.reproduce import line
from lossproof.conformance.host.session import Session, SessionError
from lossproof.conformance.judge.compare import against, unanswered
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.plan.cases.structures import Structure
from lossproof.conformance.plan.plan import losses_known
from lossproof.conformance.plan.probe import Probe
from lossproof.conformance.settings import NothingToJudge, Settings, command_of

EDITS = 6  # numbers of a case that are changed
FILLS = 16  # sets of numbers of a structure: few, so that edits have something to stand on
CLAUSES = {"value": "CV-15", "gradient": "CV-16"}  # of each part
ORDINARY = 2.0**-30, 2.0**30  # sizes that an edit may leave: squares of squares are finite in float32
EXACT = ("float64", "float32")  # where a share says something of the arithmetic, not of the last rounding


@dataclass(frozen=True)
class Worst:
    """The worst case found of one part in one dtype, as the oracle sees it."""

    target: str
    loss: str
    part: str
    dtype: str
    share: float
    case: Case
    asked: Case | None = None  # as the implementation was asked, where it has fixed options
    reproduce: str = ""  # the line that shows the call without the judge


def explore(settings: Settings, cases: int) -> list[Worst]:
    """Return the worst case of each loss, part and dtype among `cases` calls for each loss and dtype."""
    session = Session(command_of(settings))
    try:
        known, ours = losses_known(settings.losses), settings.ours
        judge = Judge.of(session, known, ours=ours, exact_only=settings.exact_only, seed=settings.seed)
        losses = [loss for loss in known if loss in judge.offers]
        if not losses:
            raise NothingToJudge(f"{settings.target} has none of the losses asked for")
        dtypes = {loss: [d for d in EXACT if d in judge.offers[loss].dtypes] for loss in losses}
        return [
            replace(worst, target=settings.target, reproduce=line(settings.target, session.hello, worst.asked))
            for loss in losses
            for dtype in dtypes[loss]
            for worst in _climb(judge, loss, dtype, cases)
            if worst.asked is not None
        ]
    finally:
        session.close()


def _climb(judge: Judge, loss: str, dtype: str, cases: int) -> list[Worst]:
    """Return the worst cases of one loss in one dtype."""
    offer, own = judge.offers[loss], judge.losses[loss]
    vary = {**own.space, "mode": tuple(offer.modes[:1]), "order": (1,), "dtype": (dtype,)}
    choices = judge.choices(Probe(loss, "explore", "CV-15", vary=vary))
    worst: dict[str, Worst] = {}

    @hypothesis.seed(judge.seed)
    @hypothesis.settings(
        max_examples=cases, phases=[Phase.generate, Phase.target], database=None, deadline=None,
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    @hypothesis.given(
        st.fixed_dictionaries({n: st.sampled_from(v) for n, v in choices.items()}),
        st.integers(0, FILLS - 1),
        st.lists(st.tuples(st.integers(0, 255), st.integers(-12, 12), st.floats(-1.0, 1.0)), max_size=EDITS),
    )
    def climb(structure: Structure, fill: int, edits: list[tuple[int, int, float]]) -> None:
        structure = own.normal({**structure, "variant": 0}, offer)
        case = edited(own.build(structure, offer, judge.seed, fill), edits)
        for part, share in _shares(judge, case, judge.judged(case, structure)).items():
            hypothesis.target(min(share, 1e6), label=part)
            if share > worst.get(part, Worst("", loss, part, dtype, 0.0, case)).share:
                worst[part] = Worst("", loss, part, dtype, share, judge.judged(case, structure), case)

    climb()
    return list(worst.values())


def edited(case: Case, edits: list[tuple[int, int, float]]) -> Case:
    """Return the case with single numbers scaled by a power of two and moved by a part of themselves, to no extreme."""
    inputs = {name: array.copy() for name, array in case.inputs.items()}
    floats = [array for array in inputs.values() if array.dtype.kind == "f" and array.size]
    for place, exponent, part in edits if floats else ():
        array = floats[place % len(floats)].reshape(-1)
        index = place // len(floats) % array.size
        with np.errstate(all="ignore"):
            number = rounded(np.ldexp(array[index], exponent) * (1.0 + part), case.dtype)
        if number == 0 or ORDINARY[0] < abs(number) < ORDINARY[1]:
            array[index] = number
    return replace(case, inputs=inputs)


def _shares(judge: Judge, case: Case, judged: Case) -> dict[str, float]:
    """Return the worst share of the budget of each part; none where the case is undecided or the answer no number."""
    if judge.oracle.undecided(judged):
        return {}
    answer = judge.ask(case)
    if answer.unsupported or unanswered(answer):
        return {}
    found: dict[str, float] = {}
    expected: Any = judge.oracle.expected(judged)
    for part in list(CLAUSES)[: 1 + case.order]:
        mismatch, worst = against(judged, answer, expected, (part,), judge.grade_of(judged))
        found |= {part: mismatch.excess} if mismatch else worst
    return found


def kept(found: Iterable[Worst], folder: Path, date: str) -> Iterator[tuple[Worst, str | None]]:
    """Add the worst plain case of each loss and part to the frozen vectors; yield it with its id, or None."""
    from audit.vectors import keep, plain

    worst: dict[str, dict[str, Worst]] = {}
    for one in sorted(found, key=lambda w: (plain(w.case) is not None, w.share)):
        worst.setdefault(one.loss, {})[one.part] = one  # the last is the worst of those that a vector can hold
    for loss, of_loss in worst.items():
        parts = {part: of_loss[part] for part in CLAUSES if part in of_loss}
        cases = {part: case for part, one in parts.items() if (case := plain(one.case))}
        origins = {
            part: f"worst {part} found in {parts[part].target}, {parts[part].share:.2f} of its budget, {date}"
            for part in cases
        }
        added = keep(loss, [(case, CLAUSES[part], origins[part]) for part, case in cases.items()], folder)
        ids = {part: vector.id for part, vector in zip(cases, added, strict=True)}
        yield from ((one, ids.get(part)) for part, one in parts.items())


def worst_table(found: Sequence[Worst]) -> Table:
    """Return the table of an exploration: a line for the worst case of each loss, part and dtype."""
    table = Table(title="Worst errors found", title_justify="left")
    for heading in ("loss", "part", "dtype", "target", "share of the budget", "options"):
        table.add_column(heading, justify="right" if heading.startswith("share") else "left", overflow="fold")
    for worst in found:
        style = "red" if worst.share > 1 else "green"
        share = f"[{style}]{worst.share:.2f}[/]"
        table.add_row(
            worst.loss, worst.part, worst.dtype, escape(worst.target), share, str(dict(worst.case.parameters))
        )
    return table


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="TARGET...")
@FRAMEWORK
@LOSSES
@claimed
@DEVICE
@click.option(
    "--cases", type=click.IntRange(min=1), default=500, show_default=True, help="Cases for each loss and dtype."
)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed climbs the same way.")
@click.option("--keep", is_flag=True, help="Add the worst cases to spec/vectors/ of this checkout.")
def main(targets: tuple[str, ...], framework: str | None, cases: int, keep: bool, **options: Any) -> None:
    """Climb towards the worst errors of each TARGET; exit status 1 where one is beyond its budget."""
    console, folder, found = console_of(), Path("spec/vectors"), []
    known_losses(options["losses"])  # another name is said before anything starts
    for target in targets:
        is_complete(target, framework, "")
    if keep and not folder.is_dir():
        end("--keep writes spec/vectors/: run it in a checkout")
    try:
        for target in targets:
            with console.status(f"{target}: climbing"):
                found += explore(Settings(target=target, framework=framework or target, **options), cases)
    except (NothingToJudge, SessionError) as problem:
        end(str(problem), getattr(problem, "details", ""))
    console.print(worst_table(found))
    for worst in (worst for worst in found if worst.share > 1):
        console.print(f"{worst.loss}, {worst.part}, {worst.dtype}: beyond its budget", highlight=False)
        console.print(worst.reproduce, markup=False, highlight=False, soft_wrap=True)
    if keep:
        for worst, name in kept(found, folder, datetime.now(UTC).date().isoformat()):
            console.print(f"{worst.loss}, {worst.part}: {name or 'no vector: not a plain case'}", highlight=False)
    raise SystemExit(1 if any(worst.share > 1 for worst in found) else 0)
