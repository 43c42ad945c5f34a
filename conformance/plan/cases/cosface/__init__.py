"""The CosFace loss: what the judge knows of it."""

from lossproof.conformance.plan.cases.cosface.boundaries import GRADIENT_BOUNDARIES, VALUE_BOUNDARIES, boundaries
from lossproof.conformance.plan.cases.cosface.probes import probes
from lossproof.conformance.plan.cases.cosface.space import (
    BASIC,
    CAUSES,
    CONTROLLED,
    FORMULA,
    LOSS,
    ROW_CLAUSE,
    SMALLER_SHAPES,
    SPACE,
    VARIED,
    blame,
    build,
    judged_parameters,
    legal,
    normal,
    parameters,
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
    row_clause=ROW_CLAUSE,
    causes=CAUSES,
    unspecified=unspecified,
    vectorised=False,
)
