"""Verdicts in the words of pytest: passed, failed, skipped, expected to fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from lossproof.conformance.judge.results import ERRORED, KNOWN, NONCONFORMANT, NOT_RUN, UNSUPPORTED, Finding, Result


def brief(finding: Finding) -> str:
    """Return a finding on one line."""
    mismatch = finding.mismatch
    return f"{finding.verdict}: {finding.id}: {mismatch.where}: got {mismatch.got}, want {mismatch.want}"


def outcome(results: Sequence[Result], said: Callable[[Finding], str] = brief, stale: Sequence[str] = ()) -> None:
    """End a test as the verdicts on some probes say: by what failed first, then by what is known to fail.

    It is skipped where none of them is offered, and fails where a known failure, `stale`, does not fail any more.
    """
    words = [said(finding) for r in results if r.verdict in (NONCONFORMANT, ERRORED) for finding in r.findings]
    words += [r.reason for r in results if r.verdict == NOT_RUN]
    words += [f"known failure {name} does not fail any more: take its entry out" for name in stale]
    known = [finding for r in results if r.verdict == KNOWN for finding in r.findings]
    if known and not words:
        pytest.xfail("known-failing: " + ", ".join(dict.fromkeys(finding.id for finding in known)))
        words = [said(finding) for finding in known]  # with --runxfail nothing is expected to fail
    if words:
        pytest.fail("\n".join(dict.fromkeys(words)), pytrace=False)
    reasons = [r.reason for r in results if r.verdict == UNSUPPORTED]
    if len(reasons) == len(results):
        pytest.skip(f"unsupported: {'; '.join(dict.fromkeys(reasons))}")
