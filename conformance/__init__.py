"""The judge: certifies any implementation against the clauses of the spec.

`lossproof certify TARGET` is its face. `Implementation` says more about functions than their signatures do. In the
order of a run: run.py (one run, under pytest), offer.py (what is offered), plan.py and cases/ (what is asked), judge.py
and checks/ (how it is asked, and the smallest failing case), oracle.py, exact.py and compare.py (what is right, and how
near), session.py, worker.py and frameworks/ (where the implementation lives), certificate.py and scope.py (the verdict,
and what it speaks of), summary.py (that in words), terminal.py and report.py (where the words are read).
"""

from lossproof.conformance.implementation import Implementation

__all__ = ["Implementation"]
