"""What a number that is not legal may do on a device: make its own term NaN, and leave every other one alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from lossproof.conformance.host.case import Answer, Case
from lossproof.conformance.judge.compare import farthest, unanswered
from lossproof.conformance.judge.judge import Judge
from lossproof.conformance.judge.oracle import output_slack
from lossproof.conformance.judge.results import Mismatch
from lossproof.spec import losses

NAN_OR_ERROR = "an error, or nan"  # both are right: CV-33, CV-46, ST-15


def left_alone(judge: Judge, clean: Case, before: Answer, after: Answer, row: int) -> Mismatch | None:
    """Return what is wrong with the answer to a call that differs from a legal one in a number of one row."""
    if before.problem or before.unsupported or before.value is None:
        return None  # its own probes speak of that
    if after.refused:
        return None
    if after.problem:
        return unanswered(after)
    assert after.value is not None
    if not before.value.ndim and not np.isnan(after.value):
        return _wrong("loss", float(after.value))
    if not before.value.ndim and "reduction" not in losses()[clean.loss].parameters:
        return None  # one number, of which every row is a part
    if before.value.ndim and not np.isnan(after.value[row]).any():
        return _wrong(f"loss[{row}]", after.value[row].tolist())
    name = next(iter(losses()[clean.loss].inputs))
    own = np.arange(len(clean.inputs[name])) == row
    expected = judge.oracle.expected(clean)
    room = expected.value_budget(judge.grade) + output_slack(expected.value, before.value_dtype)
    mismatch = None
    if before.value.ndim:
        of_row = own.reshape(-1, *[1] * (before.value.ndim - 1))
        mismatch = farthest("value", "loss", after.value, before.value, 2 * room, of_row)[0]
    if mismatch or name not in after.gradients or name not in expected.gradients:
        return mismatch
    slack = expected.gradient_budget(judge.grade)[name] + output_slack(expected.gradients[name], clean.dtype)
    got, want = after.gradients[name], before.gradients[name]
    return farthest("value", f"gradient of {name}", got, want, 2 * slack, own[:, None])[0]


def _wrong(where: str, got: Any) -> Mismatch:
    return Mismatch("value", where, got, NAN_OR_ERROR)
