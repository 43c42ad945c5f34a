"""The checks. Each takes (judge, probe, result), asks its cases and leaves its findings in the result."""

from collections.abc import Callable, Mapping

from lossproof.conformance.checks import (
    agreement,
    boundary,
    determinism,
    devices,
    errors,
    examples,
    function_errors,
    function_purity,
    functions,
    interface,
    invariances,
    labels,
    masking,
    nan,
    ranges,
    second_set,
    vectors,
    weights,
    widths,
)
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.results import Result
from lossproof.conformance.plan.probe import Probe

CHECKS: Mapping[str, Callable[[Judge, Probe, Result], None]] = {
    "examples": examples.check,
    "value": agreement.value,
    "gradient": agreement.gradient,
    "reductions": agreement.both,
    "boundary": boundary.check,
    "masking": masking.check,
    "nan": nan.check,
    "precision": agreement.precision,
    "interface": interface.check,
    "errors": errors.check,
    "invariances": invariances.check,
    "labels": labels.check,
    "ranges": ranges.check,
    "second_set": second_set.check,
    "determinism": determinism.check,
    "devices": devices.check,
    "compiled": agreement.both,
    "second_order": agreement.second,
    "functions": functions.check,
    "function_purity": function_purity.check,
    "refusals": function_errors.check,
    "vectors": vectors.check,
    "weights": weights.check,
    "widths": widths.check,
}

__all__ = ["CHECKS"]
