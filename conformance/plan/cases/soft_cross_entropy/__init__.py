"""The soft cross-entropy loss: what the judge knows of it."""

from dataclasses import replace

from lossproof.conformance.plan.cases.soft_cross_entropy import probes, space

CASES = replace(space.CASES, probes=probes.probes)
