"""The OIM loss: what the judge knows of it."""

from lossproof.conformance.plan.cases.oim.boundaries import GRADIENT_BOUNDARIES, VALUE_BOUNDARIES, boundaries
from lossproof.conformance.plan.cases.oim.probes import probes
from lossproof.conformance.plan.cases.oim.space import (
    BASIC,
    CAUSES,
    CONTROLLED,
    FORMULA,
    LOSS,
    SMALLER_SHAPES,
    SPACE,
    VARIED,
    blame,
    build,
    judged_parameters,
    legal,
    normal,
    parameters,
    refusal,
    unspecified,
)
from lossproof.conformance.plan.contract import LossCases

CASES = LossCases(
    loss=LOSS,
    space=SPACE,
    basic=BASIC,
    varied=VARIED,
    controlled=CONTROLLED,
    smaller_shapes=SMALLER_SHAPES,
    normal=normal,
    parameters=parameters,
    judged_parameters=judged_parameters,
    build=build,
    legal=legal,
    boundaries=boundaries,
    value_boundaries=VALUE_BOUNDARIES,
    gradient_boundaries=GRADIENT_BOUNDARIES,
    probes=probes,
    formula=FORMULA,
    blame=blame,
    refusal=refusal,
    causes=CAUSES,
    unspecified=unspecified,
    vectorised=False,
)
