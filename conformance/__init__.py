"""The judge: certifies any implementation against the clauses of the spec.

`lossproof certify TARGET` is its face: command.py, run.py (one run, under pytest), settings.py, and suite.py for the
tests of somebody's library (`lossproof.testing`). Below it are rooms, and a room imports only those further down this
list:

- report/ what a person reads: the certificate and its page, findings by cause, the verdict in words;
- checks/ how a clause is asked about;
- judge/ what is right: the oracle and its budgets, the comparison, the smallest case and the clause that it names;
- plan/ what is asked: probes, and the cases of each loss;
- host/ who is asked: an implementation, what it offers, its process, and how its framework is called;
- schemas/ of the protocol and of the certificate.

peers/ are adapters of other people's libraries. `Implementation` says more about functions than their signatures do.
"""

from lossproof.conformance.host.implementation import Implementation

__all__ = ["Implementation"]
