"""What the gradient of a function that is no loss must be: of logits, which depend on the directions of rows alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lossproof.conformance.host.case import Case
from lossproof.conformance.judge.compare import farthest, overflown, unanswered
from lossproof.conformance.judge.functions import SLACK, rows_of, size_of, unit_of
from lossproof.conformance.judge.judge import Judge, Unsupported
from lossproof.conformance.judge.oracle import output_slack
from lossproof.conformance.judge.results import Mismatch
from lossproof.conformance.plan.cases.functions import whole
from lossproof.spec import functions


def wrong_gradient(judge: Judge, case: Case) -> Mismatch | None:
    """Ask the gradient of the sum of all results, and compare it with the reference's: AF-20.

    A result does not depend on the length of a row, so its gradient times that length is at most the size of the
    result; a row of 0 has exactly none.
    """
    case = replace(whole(case), order=1)
    asked = judge.with_fixed(case)
    answer = judge.ask(case)
    found = unanswered(answer)
    if found or answer.unsupported:
        return found
    if not answer.gradients:
        raise Unsupported("no derivatives")
    (entry,) = functions()[case.loss]["returns"].values()
    (value,) = judge.oracle.results(asked)
    for name, want in judge.oracle.gradients(asked).items():
        got = answer.gradients.get(name, np.zeros(()))
        if got.shape != want.shape:
            return Mismatch("failure", f"shape of the gradient of {name}", got.shape, want.shape, errored=True)
        norms = np.sqrt(np.sum(case.inputs[name] ** 2, axis=-1, keepdims=True))
        met = value.size / max(len(norms), 1)  # the results that a row is part of
        size = (SLACK + rows_of(case)) * unit_of(case) * size_of(asked, entry) * met
        budget = np.divide(size, norms, out=np.zeros_like(norms), where=norms > 0)
        dtype = case.dtype_of(name)
        room = budget + output_slack(want, dtype)
        found = farthest("gradient", f"gradient of {name}", got, want, room, overflown(got, want, room, dtype))[0]
        if found:
            return found
    return None
