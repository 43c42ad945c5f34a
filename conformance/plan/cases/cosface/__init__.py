"""The CosFace loss: what the judge knows of it."""

from dataclasses import replace

from lossproof.conformance.plan.cases.cosface import boundaries, probes, space

CASES = replace(space.CASES, boundaries=boundaries.BOUNDARIES, probes=probes.probes)
