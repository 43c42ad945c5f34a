"""The search: which candidates give what a function gave, on the batches that tell them apart and on fresh ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from lossproof.conformance.host.arrays import FORMATS
from lossproof.conformance.host.case import Answer
from lossproof.conformance.identify.batches import FIRST, LATTICE
from lossproof.conformance.identify.candidate import Candidate
from lossproof.conformance.identify.families import Group
from lossproof.conformance.identify.formulas import Batch
from lossproof.conformance.identify.solve import Asked, Fit, interval, residuals, shortest, solve, worst
from lossproof.conformance.identify.told import Told
from lossproof.spec import losses

SHUT = 1e-3  # a margin of pairs that nothing is nearer than
CLOSE = 1e-9  # so near is a function that does one small thing besides
CUT_OFF = np.exp(-20.0) / 20  # relative: log(1 + exp(x)) is x beyond 20 in torch's own softplus
NEAR = 3e-3  # of the first batches, before eps is looked for
ROUNDINGS = {"float64": 2.0**10, "float32": 2.0**6}  # that an answer may be off, relative to its largest entry
EPS = (1e-3, 1e-6, 1e-9, 1e-12)
FURTHER = {
    "times": (1.0,),
    "temperature": (1.0, 0.1, 10.0),
    "near": (0.2, 1.0),
    "p": (1.2, 2.5, 6.0),
    "eps": (0.25, 0.01),
}  # looked for where nothing fits
NEAR_TOO = {  # what is said of a margin of similar pairs, too
    "": "a margin of similar pairs, too",
    "hinge not squared": "hinge not squared, and a margin of similar pairs, too",
}
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Match:
    """A candidate that gives what the function gives, its numbers, and the range that the answers leave to each."""

    candidate: Candidate
    numbers: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    error: float = 0.0

    def is_cut_off(self, dtype: str) -> bool:
        """Whether it is further off than rounding, and no further than a softplus that is x beyond 20."""
        return self.error > ROUNDINGS[dtype] * FORMATS[dtype].roundoff

    @property
    def departures(self) -> int:
        """Return how many things are not the page's defaults; what is done around the call counts twice."""
        setting = self.candidate.setting(self.numbers)
        return len(setting.options) + 2 * len(setting.convert) + 100 * bool(setting.departs)

    @property
    def shut(self) -> bool:
        """Whether no hinge is open, or nothing counts: so look labels of -1 and 1 that are handed over as 0 and 1."""
        numbers = [self.numbers.get(name, 1.0) for name in ("margin", "factor")]
        return self.candidate.loss == "contrastive_loss" and min(numbers) < SHUT


@dataclass(frozen=True)
class Found:
    """What came out: matches, the fewest departures first; where there is none, the nearest candidate."""

    group: Group
    dtype: str
    asked: Sequence[tuple[Batch, Answer]]
    matches: Sequence[Match] = ()
    nearest: Match | None = None


def search(told: Sequence[Told], progress: Progress = lambda words: None) -> Found | None:
    """Return which candidates the answers are, of the first group in which any is; else what is nearest.

    Numbers that are seldom other than 1 or 0 are looked for where nothing is found without them. None: no answers.
    """
    best: Found | None = None
    told = [one for one in told if not _is_silent(one)] or told
    told = sorted(told, key=lambda one: sum(1 for _ in one.group.candidates()))  # the short lists first
    for further in (False, True):
        for one in told:
            progress(f"{one.group.losses[0]}: " + ("looking further" if further else "looking"))
            found = _search(one, further=further)
            if found.matches and not found.matches[0].shut:
                return found
            if best is None or _nearer(found, best):
                best = found
        if best and (best.matches or (best.nearest and best.nearest.error < CLOSE)):
            break  # nothing further is nearer
    return best


def _is_silent(told: Told) -> bool:
    """Whether every answer is 0: whatever takes the labels for rows may be shut on all of these batches."""
    return not any(answer.value is not None and np.any(answer.value) for _, answer in told.first)


def _nearer(found: Found, other: Found) -> bool:
    if found.matches or other.matches:
        return not other.matches
    return found.nearest is not None and (other.nearest is None or _far(found.nearest) < _far(other.nearest))


def _search(told: Told, *, further: bool) -> Found:
    allowed = ROUNDINGS[told.dtype] * FORMATS[told.dtype].roundoff
    chosen = [_handed(c, told.kind) for c in told.group.candidates() if c.loss in told.group.losses]
    matches: list[Match] = []
    nearest: Match | None = None
    for match in _fitting(chosen, told.first, allowed, further=further):
        judged = match.candidate if match.candidate.departs else match.candidate.of_the_page()  # the reference decides
        if match.error < CLOSE:
            again = worst(residuals(judged, match.numbers, _of(told.fresh, judged)))
            match = replace(match, error=max(match.error, again))
        if match.error <= max(allowed, CUT_OFF * match.candidate.has_softplus):
            matches.append(match)
        elif nearest is None or _far(match) < _far(nearest):
            nearest = match
    return Found(told.group, told.dtype, told.first, sorted(matches, key=lambda m: m.departures), nearest)


def _far(match: Match) -> tuple[float, bool, int, float]:
    """Return how far a candidate is: by its decade, so that a function of a page is named before one that is not."""
    decade = float(np.ceil(np.log10(max(match.error, 1e-300))))
    return decade, match.shut, match.departures, match.error


def _handed(candidate: Candidate, kind: str) -> Candidate:
    """Return a candidate for labels of -1 and 1, where they are handed over so."""
    if not (kind.startswith("sign") and candidate.convert.get("labels")):
        return candidate
    return replace(candidate, convert={**candidate.convert, "labels": "sign"})


def _of(told: Sequence[tuple[Batch, Answer]], candidate: Candidate) -> Asked:
    """Return the calls that a candidate is held to: where rows change first, a lattice has no ties."""
    open_ties = candidate.convert.get("rows") or candidate.options.get("distance") == "cosine"
    return [
        (batch, answer.value.astype(np.float64))
        for turn, (batch, answer) in enumerate(told)
        if answer.value is not None and not (open_ties and turn == LATTICE)
    ]


def _fitting(
    candidates: Sequence[Candidate], told: Sequence[tuple[Batch, Answer]], allowed: float, *, further: bool
) -> Iterator[Match]:
    """Yield the candidates that come near, each with its numbers."""
    single = all(len(next(iter(batch.values()))) == 1 for batch, _ in told[:FIRST])
    known: dict[str, Fit] = {}
    refused: set[str] = set()
    for candidate in candidates:
        asked = _of(told, candidate)
        for starts, one in _openings(candidate, further=further):
            if worst(residuals(one, {n: s[0] for n, s in starts.items()}, asked[:1])) == np.inf:
                continue  # another shape
            core = one.core() + repr(starts)
            if {"times", "factor"} & {*starts} and core in refused:
                continue  # a reduction is a factor there
            near = known.get(core) if single else None
            near = known[core] = near or _near(one, starts, asked)
            if near.error > NEAR:
                refused.add(core)
                yield Match(one, near.numbers, {}, worst(residuals(one, near.numbers, asked)))  # few are soon fitted
                continue
            fits = [(one, solve(one, {n: (v,) for n, v in near.numbers.items()}, asked, 12, allowed))]
            if allowed < fits[0][1].error < 10 * NEAR:
                small = "floor" if one.has_floor else "eps"
                for place in [one] if one.has_floor else _places(one):
                    own = {**{n: (v,) for n, v in near.numbers.items()}, small: EPS}
                    fits.append((place, solve(place, own, asked, 30, allowed)))
            for which, fit in fits:
                yield _rounded(which, fit, asked, max(allowed, CUT_OFF * which.has_softplus))


def _near(candidate: Candidate, starts: Mapping[str, Sequence[float]], asked: Asked) -> Fit:
    """Return the fit of the first batches; that of two of them where not even these are near."""
    steps = 8 if len(starts) < 2 else 20
    if len(starts) >= FIRST:  # as many numbers as answers fit whatever they are asked
        return solve(candidate, starts, asked, 2 * steps, NEAR)
    few = solve(candidate, starts, asked[:2], steps, NEAR)
    return few if few.error > NEAR else solve(candidate, starts, asked[:FIRST], steps, NEAR)


def _openings(candidate: Candidate, *, further: bool) -> Iterator[tuple[dict[str, tuple[float, ...]], Candidate]]:
    """Yield the numbers to look for, and the candidate without them."""
    starts = dict(candidate.starts)
    if not further:
        yield starts, candidate
        return
    if {*losses()[candidate.loss].inputs} >= {"logits"} and candidate.loss != "joint_loss":
        yield {**starts, "temperature": FURTHER["temperature"]}, candidate
    if (
        candidate.loss == "contrastive_loss"
        and candidate.departs in NEAR_TOO
        and candidate.options.get("p", 2.0) == 2.0
    ):
        yield {**starts, "near": FURTHER["near"]}, replace(candidate, departs=NEAR_TOO[candidate.departs])
    if "factor" not in losses()[candidate.loss].parameters and candidate.loss != "joint_loss":
        yield {**starts, "times": FURTHER["times"]}, candidate
    if candidate.options.get("distance") == "p_norm":
        yield from (({**starts, "eps": FURTHER["eps"]}, place) for place in _places(candidate))
        if candidate.options["p"] == 2.0:
            rest = {n: v for n, v in candidate.options.items() if n != "p"}  # and eps as it is
            yield {**starts, "p": FURTHER["p"]}, replace(candidate, options=rest)


def _places(candidate: Candidate) -> list[Candidate]:
    """Return a candidate with each place of eps, if its distance has one."""
    if candidate.options.get("distance") != "p_norm":
        return []
    rest = {n: v for n, v in candidate.options.items() if n != "eps"}
    return [replace(candidate, options={**rest, "eps_at": place}) for place in ("difference", "root", "floor")]


def _rounded(candidate: Candidate, fit: Fit, asked: Asked, allowed: float) -> Match:
    """Return the fit with each number as short as the answers allow, or as what is close to them allows."""
    numbers, ranges = dict(fit.numbers), {}
    allowed = max(allowed, 2 * fit.error) if fit.error < CLOSE else allowed
    for name in fit.numbers if fit.error <= allowed else ():
        ranges[name] = interval(candidate, Fit(numbers, fit.error), name, asked, allowed)
        # 0 is tried first: what goes by the square of a number hardly tells a small one from it
        for value in (0.0, shortest(*ranges[name], numbers[name])):
            short = {**numbers, name: value}
            if candidate.bounds(name)[0] <= value and worst(residuals(candidate, short, asked)) <= allowed:
                numbers = short
                break
    return Match(candidate, numbers, ranges, fit.error)
