"""The losses in JAX: functions of arrays, and a frozen pytree for each.

The numbers of a pytree, such as its margin, are leaves: another number compiles nothing. They are settings and no
parameters, so the gradient of a tree that holds a loss is 0 there; a number that is trained is given to the function.
On a mesh with explicit axes a loss that compares the rows of a batch gathers them on every device. In `jax.shard_map`
each device compares its own rows alone; with the `axis_name` of a loss it compares them with the rows of all devices,
and returns its share of their loss.
"""

from lossproof.backends.jax.arcface import ArcFaceLoss, arcface_logits, arcface_loss
from lossproof.backends.jax.batch_all import (
    BatchAllTripletLoss,
    batch_all_active_fraction,
    batch_all_triplet_loss,
)
from lossproof.backends.jax.batch_hard import BatchHardTripletLoss, batch_hard_triplet_loss
from lossproof.backends.jax.center import CenterLoss, center_loss, update_centers
from lossproof.backends.jax.circle import CircleLoss, circle_loss
from lossproof.backends.jax.contrastive import ContrastiveLoss, contrastive_loss
from lossproof.backends.jax.cosface import CosFaceLoss, cosface_loss
from lossproof.backends.jax.cross_entropy import CrossEntropyLoss, cross_entropy_loss
from lossproof.backends.jax.distributed import gather_rows, total_loss
from lossproof.backends.jax.joint import JointLoss, joint_loss
from lossproof.backends.jax.mining import (
    classify_triplets,
    sample_active,
    sample_negatives,
    sample_pairs,
    sample_triplets,
    triplet_masks,
)
from lossproof.backends.jax.oim import OIMLoss, oim_loss, update_oim_memory
from lossproof.backends.jax.semi_hard import SemiHardTripletLoss, semi_hard_triplet_loss
from lossproof.backends.jax.soft_cross_entropy import SoftCrossEntropyLoss, soft_cross_entropy_loss
from lossproof.backends.jax.triplet_margin import TripletMarginLoss, triplet_margin_loss
from lossproof.backends.jax.verification import best_accuracy, val_at_far, verification_accuracy, verification_rates

__all__ = [
    "ArcFaceLoss",
    "BatchAllTripletLoss",
    "BatchHardTripletLoss",
    "CenterLoss",
    "CircleLoss",
    "ContrastiveLoss",
    "CosFaceLoss",
    "CrossEntropyLoss",
    "JointLoss",
    "OIMLoss",
    "SemiHardTripletLoss",
    "SoftCrossEntropyLoss",
    "TripletMarginLoss",
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
    "gather_rows",
    "joint_loss",
    "oim_loss",
    "sample_active",
    "sample_negatives",
    "sample_pairs",
    "sample_triplets",
    "semi_hard_triplet_loss",
    "soft_cross_entropy_loss",
    "total_loss",
    "triplet_margin_loss",
    "triplet_masks",
    "update_centers",
    "update_oim_memory",
    "val_at_far",
    "verification_accuracy",
    "verification_rates",
]
