"""A probe: one question of the plan, and what its check needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Any, TypeVar


@dataclass(frozen=True)
class Options:
    """What every check understands: whether it names its own clause, fields of a structure that are set, and pairs.

    A probe names its own clause where the smallest failure needs no field beyond those that it varies; without it, the
    fields that a failure needs name the clause. Hypothesis draws its structures, each by itself; with `pairs` they are
    chosen so that every two choices meet, as far as their number goes.
    """

    own_clause: bool = False
    structure: Mapping[str, Any] = field(default_factory=dict)
    pairs: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class OfAgreement(Options):
    """Of checks that compare with the oracle, one part alone where they have the choice."""

    large: bool = False  # asked once
    part: str = "value"
    dtypes: bool = False  # not the numbers, but the dtypes that come back
    beyond: bool = False  # rows beyond the domain: any number may come back, but not NaN
    filler: str = ""  # the distance whose fillers such rows reach


@dataclass(frozen=True)
class OfMasking(OfAgreement):
    """Whether two calls that differ in masked content alone are compared, instead of one with the oracle."""

    content: bool = False


@dataclass(frozen=True)
class OfInvariances(Options):
    """What is changed between two calls that must agree."""

    relation: str = ""


@dataclass(frozen=True)
class OfErrors(Options):
    """Inputs and options that make a legal call a wrong one; without any, those that the signature gives."""

    inputs: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    or_nan: bool = False  # a loss of NaN is as right: whether an array is on the host an implementation decides


@dataclass(frozen=True)
class OfNan(Options):
    """What a row holds, and what is asked of the others."""

    poison: float = nan
    part: str = "value"
    left_open: bool = False  # some of the results are not looked at
    against_zero: bool = False  # the row meets rows of 0
    of_ours: bool = False  # asked of this project's backends alone
    of: str = ""  # the input whose row it is; else one is drawn


@dataclass(frozen=True)
class OfExamples(Options):
    """Whether the examples are about half formats."""

    halves: bool = False


@dataclass(frozen=True)
class OfLabels(Options):
    """Whether labels lie at the ends of their dtype."""

    ends: bool = False


@dataclass(frozen=True)
class OfWeights(Options):
    """What is asked about weights: what rows of weight 0 hold, weights that are wider than the rows, or none at all."""

    part: str = "value"
    wider: bool = False
    wild: bool = False  # NaN, negative and infinite
    of: str = "weights"  # the input: those of units, or of classes


@dataclass(frozen=True)
class OfSecondSet(Options):
    """Whether the two arrays of labels differ in their dtype; else an index is no candidate."""

    dtypes: bool = False


@dataclass(frozen=True)
class OfRanges(Options):
    """The input that gets a number below its range."""

    input: str = ""


@dataclass(frozen=True)
class OfDeterminism(Options):
    """Whether the calls are those with ties."""

    ties: bool = False


@dataclass(frozen=True)
class OfVectors(Options):
    """Whether copies of the vectors are asked, which nobody has published."""

    copies: bool = False


@dataclass(frozen=True)
class OfFunctions(Options):
    """Drawn calls of a function that is no loss; not drawn, they are its worked examples."""

    drawn: bool = False
    plain: bool = False  # the calls that all others rest on
    many: bool = False  # some have hundreds of rows
    lenient: bool = False  # a refusal is another probe's
    integers: bool = False  # labels of every integer dtype
    dtype: str = ""
    sizes: Mapping[str, int] | None = None  # of axes
    wider: str = ""  # the input that is float64 beside float32
    gradient: bool = False  # of the sum of what comes back


@dataclass(frozen=True)
class OfPurity(Options):
    """What a call leaves alone: constants without a gradient, or the rows that nobody asked to change."""

    constant: bool = False
    unmet: str = ""  # the result that keeps them


@dataclass(frozen=True)
class OfRefusals(Options):
    """Wrong calls of a function, or an index that is no row."""

    wrong: bool = False
    index: str = ""


@dataclass(frozen=True)
class OfDevices(Options):
    """What is asked of a batch over processes: "ties", "copies" of rows, or the "second" derivative."""

    ask: str = ""


EVERY_PAIR = Options(pairs=True)
OWN = OfAgreement(own_clause=True)
LARGE = OfAgreement(large=True)
GRADIENT = OfAgreement(part="gradient")
LARGE_GRADIENT = OfAgreement(large=True, part="gradient")
DTYPES = OfAgreement(dtypes=True)
MASKED_VALUE = OfMasking(content=True)
MASKED_GRADIENT = OfMasking(content=True, part="gradient")
LARGE_AND_OWN = OfAgreement(own_clause=True, large=True)
DEFAULTS = OfAgreement(own_clause=True, structure={"defaults": True})  # every option is left to its default
Own = TypeVar("Own", bound=Options)


@dataclass(frozen=True)
class Probe:
    """One item of the plan: a check that asks about one clause."""

    loss: str
    check: str
    clause: str
    label: str = ""
    vary: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)  # choices of fields, where not neutral
    options: Options = field(default_factory=Options)  # what else its check needs to know
    effort: float = 1.0  # share of the usual number of structures

    @property
    def name(self) -> str:
        """Return the name under which the probe is reported: loss/check/clause[label]."""
        return f"{self.loss}/{self.check}/{self.clause}" + (f"[{self.label}]" if self.label else "")

    @property
    def over_processes(self) -> bool:
        """Whether it asks about a batch that is spread over processes."""
        return self.clause.startswith("DD-")

    def of(self, kind: type[Own]) -> Own:
        """Return the options as its check has them; those of another check are a mistake of the plan."""
        if type(self.options) is Options:
            return kind(self.options.own_clause, self.options.structure, pairs=self.options.pairs)
        if not isinstance(self.options, kind):
            raise TypeError(f"{self.name}: options must be {kind.__name__}, got {self.options!r}")
        return self.options
