"""What a person reads first, measured: how often the first entry names the clause that a broken implementation breaks.

python -m audit naming --sample 40      judges 40 of them, with the whole plan of their loss

The rule that puts the entries in order (`ranking`) was tuned on one half of the broken implementations and not on the
other, which says how well it does on those that nobody has seen. Exit status 1 where less than 95 % are named rightly.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import pickle
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from audit.kills import mutants, probes, results
from audit.mutants import Mutant
from lossproof.conformance.judge.results import Result
from lossproof.conformance.report.entries import Entry, entries
from lossproof.spec import functions, losses

WANTED = 0.95
HALVES = ("development", "held out")


@dataclass(frozen=True)
class Named:
    """What came first for one mutant."""

    mutant: Mutant
    entries: tuple[Entry, ...]

    @property
    def right(self) -> bool:
        """Whether the heading of the first entry is a clause that the bug breaks."""
        return bool(self.entries) and self.entries[0].finding.clause in self.mutant.clauses

    @property
    def within(self) -> bool:
        """Whether the first entry names such a clause at all."""
        first = self.entries[:1]
        return any(f.clause in self.mutant.clauses for entry in first for f in (entry.finding, *entry.also))

    def __str__(self) -> str:
        first = self.entries[0] if self.entries else None
        also = f" (also {', '.join(f.id for f in first.also)})" if first and first.also else ""
        came = f"{first.finding.id}{also}" if first else "nothing"
        mutant = self.mutant
        return f"{mutant.id} ({mutant.bug}): {' or '.join(mutant.clauses)} expected, {came} came first"


def half(key: str) -> str:
    """Return the half of a mutant, from its id alone."""
    return HALVES[hashlib.sha256(key.encode()).digest()[-1] % 2]


def chosen(loss: str | None, which: str | None, sample: int | None, seed: int) -> list[Mutant]:
    """Return the mutants that are asked for; a sample is the same for the same seed."""
    found = [m for key, m in mutants().items() if loss in (None, m.loss) and which in (None, half(key))]
    drawn = found if sample is None else random.Random(seed).sample(found, min(sample, len(found)))
    return [mutant for mutant in found if mutant in drawn]


def judged(asked: list[Mutant], examples: int, cache: Path | None) -> Iterator[Named]:
    """Judge mutants with the whole plan; what is in the cache is put in order again and not judged."""
    kept: dict[str, str] = json.loads(cache.read_text(encoding="utf-8")) if cache and cache.is_file() else {}
    for mutant in asked:
        key = f"{mutant.id} {examples}"
        if key in kept:
            found: list[Result] = pickle.loads(base64.b64decode(kept[key]))
        else:
            found = list(results(mutant, probes(mutant), 0, examples))
            kept[key] = base64.b64encode(pickle.dumps(found)).decode()
            if cache:
                cache.write_text(json.dumps(kept), encoding="utf-8")
        yield Named(mutant, tuple(entries(found)))


def main() -> int:
    """Print each mutant whose clause does not come first, and the share of each half."""
    from rich.console import Console
    from rich.progress import track

    options = argparse.ArgumentParser(description="How often the first entry names the clause that a bug breaks.")
    options.add_argument("--loss", choices=[*losses(), *functions()], metavar="NAME")
    options.add_argument("--half", choices=HALVES)
    options.add_argument("--sample", type=int, metavar="N", help="so many, drawn; all of them take hours")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--examples", type=int, default=1, help="structures a probe")
    options.add_argument("--cache", type=Path, help="a file that keeps what was judged, to try another order")
    asked = options.parse_args()
    console, found = Console(), []
    broken = chosen(asked.loss, asked.half, asked.sample, asked.seed)
    for named in track(
        judged(broken, asked.examples, asked.cache), "mutants", len(broken), console=console, transient=True
    ):
        found.append(named)
        if not named.right:
            console.print(str(named), markup=False, highlight=False, soft_wrap=True)
    for which in HALVES:
        own = [named for named in found if half(named.mutant.id) == which]
        if own:
            right, within = sum(n.right for n in own), sum(n.within for n in own)
            console.print(
                f"{which}: {right} of {len(own)} headed by a clause that the bug breaks, {right / len(own):.1%}; "
                f"{within / len(own):.1%} with the clauses that the first entry has besides",
                highlight=False,
                soft_wrap=True,
            )
    return 0 if found and sum(named.right for named in found) >= WANTED * len(found) else 1
