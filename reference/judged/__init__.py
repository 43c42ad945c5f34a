"""What only the judge needs of the reference: error scales, second derivatives, decisions and the other way of each.

Each module takes what the loss of its page found at a point, and puts the decisions taken in the place of those that
the page makes. Values and gradients are those of the page.
"""

from lossproof.reference.judged import (
    arcface,
    batch_all,
    batch_hard,
    center,
    circle,
    contrastive,
    cosface,
    cross_entropy,
    joint,
    oim,
    semi_hard,
    soft_cross_entropy,
    triplet_margin,
)
from lossproof.reference.judged.evaluation import Evaluation, evaluate

__all__ = [
    "Evaluation",
    "arcface",
    "batch_all",
    "batch_hard",
    "center",
    "circle",
    "contrastive",
    "cosface",
    "cross_entropy",
    "evaluate",
    "joint",
    "oim",
    "semi_hard",
    "soft_cross_entropy",
    "triplet_margin",
]
