"""False alarms: a correct implementation, fresh seeds, one warm worker, as many cases as asked for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import click
from rich.console import Console

from lossproof.conformance.checks import CHECKS
from lossproof.conformance.command_endings import end
from lossproof.conformance.command_options import DEVICE, FRAMEWORK, LOSSES, claimed, is_complete
from lossproof.conformance.command_targets import known_losses
from lossproof.conformance.host.session import Session, SessionError
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import Result
from lossproof.conformance.plan.plan import losses_known, plan
from lossproof.conformance.report.certificate import worst
from lossproof.conformance.settings import NothingToJudge, Settings, command_of

FILLS = 12  # sets of numbers for each structure: three times those of a certificate, which pays for every structure
FILLS_IF_COMPILED = 18  # where a structure costs a compilation


@dataclass
class Alarms:
    """What a hunt found: alarms, and how much was asked."""

    cases: int = 0
    seeds: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    def summary(self) -> str:
        """Return one line: alarms, cases, the 95 % bound on the rate, and the worst shares of the budget."""
        bound = 3.0 / max(self.cases, 1) if not self.findings else float("nan")  # rule of three
        shares = worst(self.results)
        return (
            f"{len(self.findings)} alarms in {self.cases} cases over {self.seeds} seeds, {self.seconds:.0f} s; "
            f"rate below {bound:.1e} a case (95 %); worst shares {shares}"
        )


def hunts(settings: Settings, cases: int, seeds: int) -> Iterator[tuple[Settings, int, int]]:
    """Yield what is judged, with how many cases a loss and over how many seeds.

    That is the target, loss by loss, or each variant with its share of the cases of a loss and with seeds of its own.
    """
    if settings.target != "variants":
        each = settings.losses or (tuple(losses_known()) if settings.ours else ())
        alone = [replace(settings, losses=(loss,)) for loss in each]  # what one has shown is printed before the next
        yield from ((own, cases, seeds) for own in alone or [settings])
        return
    from audit.mutants import variants

    of_loss = Counter(loss for variant in variants.VARIANTS.values() for loss in variant.losses)
    earlier: Counter[str] = Counter()
    for name, variant in variants.VARIANTS.items():
        (loss,) = variant.losses
        if not settings.losses or loss in settings.losses:
            share, seed = -(-seeds // of_loss[loss]), settings.seed + earlier[loss]
            own = replace(settings, target=f"{variants.__name__}:{name}", framework="torch", losses=(loss,), seed=seed)
            yield own, -(-cases // of_loss[loss]), share
            earlier[loss] += share


def hunt(
    settings: Settings,
    cases: int,
    seeds: int,
    say: Callable[[str], None],
    fills: int | None = None,
    *,
    spread: bool = False,
) -> Alarms:
    """Judge the target with one seed after the other until both counts are reached for each loss.

    `fills` are the sets of numbers for each structure, as many as the framework suggests where None. With `spread` only
    batches over processes are asked, else all but these.
    """
    session = Session(command_of(settings))
    found, start = Alarms(), time.perf_counter()
    try:
        spaces = losses_known(settings.losses)
        first = Judge.of(session, spaces, ours=settings.ours, exact_only=settings.exact_only)
        losses = [loss for loss in spaces if loss in first.offers]
        if not losses:
            raise NothingToJudge(f"{settings.target} has none of the losses asked for")
        for loss in losses:
            # compiled graphs cost seconds each, and errors are the same on every seed: they are for `certify`
            left_out = ("compiled", "errors", "examples")
            whole = plan(loss, spaces[loss])
            slow = ("compiled",), ("captured",)
            probes = [p for p in whole if p.check not in left_out and p.vary.get("mode") not in slow]
            probes = [p for p in probes if p.over_processes == spread]
            asked, seed = 0, settings.seed
            sets = fills or (FILLS if first.offers[loss].effort == 1 else FILLS_IF_COMPILED)
            each = max(2, round(cases / seeds / len(probes) / sets))
            while asked < cases or seed - settings.seed < seeds:
                judge = Judge(
                    session,
                    first.offers,
                    first.oracle,
                    spaces,
                    seed=seed,
                    examples=each,
                    fills=sets,
                    grade=first.grade,
                )
                for probe in probes:
                    result = judge.run(probe, CHECKS[probe.check])
                    found.results.append(result)
                    found.findings += [
                        f"seed {seed}: {probe.name}: {f.id}: {f.mismatch}: {f.case}" for f in result.findings
                    ]
                if not judge.asked:
                    raise NothingToJudge(f"{settings.target} answers none of the cases that are asked of {loss} here")
                asked, seed = asked + judge.asked, seed + 1
                say(f"{loss}: {asked} of {cases} cases, seed {seed}, {len(found.findings)} alarms")
            found.cases, found.seeds = found.cases + asked, seed - settings.seed
    finally:
        session.close()
    found.seconds = time.perf_counter() - start
    return found


@click.command()
@click.argument("target")
@FRAMEWORK
@LOSSES
@claimed
@DEVICE
@click.option(
    "--cases",
    type=click.IntRange(min=1),
    default=20_000,
    show_default=True,
    help="Fresh cases to judge for each loss.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Over at least this many seeds.",
)
@click.option(
    "--fills",
    type=click.IntRange(min=1),
    help=f"Sets of numbers for each structure; {FILLS}, or {FILLS_IF_COMPILED} where a structure costs a compilation.",
)
@click.option(
    "--first-seed", type=int, default=1000, show_default=True, help="The first of the seeds, which follow one another."
)
@click.option("--spread", is_flag=True, help="Ask batches over processes alone, which are left out otherwise.")
def main(
    target: str,
    framework: str | None,
    losses: tuple[str, ...],
    device: str,
    cases: int,
    seeds: int,
    fills: int | None,
    first_seed: int,
    spread: bool,
    **claims: Any,
) -> None:
    """Judge a correct implementation on fresh seeds in a warm worker, and count the alarms. Exit status 1 on any.

    The target `variants` stands for correct losses, written differently on purpose; those of a loss share its cases and
    its seeds.
    """
    console, alarms = Console(), 0
    known_losses(losses)  # another name is said before anything starts
    if target != "variants":
        is_complete(target, framework, "")
    settings = Settings(
        target=target, framework=framework or target, losses=losses, device=device, seed=first_seed, **claims
    )
    try:
        for own, own_cases, own_seeds in hunts(settings, cases, seeds):
            name = own.target.rpartition(":")[2] or own.target
            name += f", {own.losses[0]}" if target != "variants" and len(own.losses) == 1 else ""
            with console.status(f"{name}: fresh cases") as status:
                found = hunt(own, own_cases, own_seeds, status.update, fills, spread=spread)
            console.print(f"{name}: {found.summary()}", highlight=False, soft_wrap=True)
            for finding in found.findings:
                console.print(finding, markup=False, soft_wrap=True)
            alarms += len(found.findings)
    except (NothingToJudge, SessionError) as problem:
        end(str(problem), getattr(problem, "details", ""))
    raise SystemExit(1 if alarms else 0)
