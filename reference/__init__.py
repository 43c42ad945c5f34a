"""The spec in float64 numpy, written to be read. Same names and keywords as every backend.

Each function also takes `cotangent` and then returns its gradients; the class beside it says what they are made of, and
how. What only the judge asks for stands apart, in `judged/`.
"""

from lossproof.reference.arcface import arcface_logits, arcface_loss
from lossproof.reference.batch_all import batch_all_active_fraction, batch_all_triplet_loss
from lossproof.reference.batch_hard import batch_hard_triplet_loss
from lossproof.reference.center import center_loss, update_centers
from lossproof.reference.circle import circle_loss
from lossproof.reference.contrastive import contrastive_loss
from lossproof.reference.cosface import cosface_loss
from lossproof.reference.cross_entropy import cross_entropy_loss
from lossproof.reference.distributed import shares
from lossproof.reference.joint import joint_loss
from lossproof.reference.mining import (
    classify_triplets,
    sample_active,
    sample_negatives,
    sample_pairs,
    sample_triplets,
    triplet_masks,
)
from lossproof.reference.oim import oim_loss, update_oim_memory
from lossproof.reference.semi_hard import semi_hard_triplet_loss
from lossproof.reference.soft_cross_entropy import soft_cross_entropy_loss
from lossproof.reference.triplet_margin import triplet_margin_loss
from lossproof.reference.verification import best_accuracy, val_at_far, verification_accuracy, verification_rates

__all__ = [
    "arcface_logits",
    "arcface_loss",
    "batch_all_active_fraction",
    "batch_all_triplet_loss",
    "batch_hard_triplet_loss",
    "best_accuracy",
    "center_loss",
    "circle_loss",
    "classify_triplets",
    "contrastive_loss",
    "cosface_loss",
    "cross_entropy_loss",
    "joint_loss",
    "oim_loss",
    "sample_active",
    "sample_negatives",
    "sample_pairs",
    "sample_triplets",
    "semi_hard_triplet_loss",
    "shares",
    "soft_cross_entropy_loss",
    "triplet_margin_loss",
    "triplet_masks",
    "update_centers",
    "update_oim_memory",
    "val_at_far",
    "verification_accuracy",
    "verification_rates",
]
