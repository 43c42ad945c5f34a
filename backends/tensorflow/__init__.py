"""The losses in TensorFlow: functions of tensors, and a Keras loss, or a layer where it holds weights, for each."""

from lossproof.backends.tensorflow.arcface import ArcFaceLoss, arcface_logits, arcface_loss
from lossproof.backends.tensorflow.batch_all import (
    BatchAllTripletLoss,
    batch_all_active_fraction,
    batch_all_triplet_loss,
)
from lossproof.backends.tensorflow.batch_hard import BatchHardTripletLoss, batch_hard_triplet_loss
from lossproof.backends.tensorflow.center import CenterLoss, center_loss, update_centers
from lossproof.backends.tensorflow.circle import CircleLoss, circle_loss
from lossproof.backends.tensorflow.contrastive import ContrastiveLoss, contrastive_loss
from lossproof.backends.tensorflow.cosface import CosFaceLoss, cosface_loss
from lossproof.backends.tensorflow.cross_entropy import CrossEntropyLoss, cross_entropy_loss
from lossproof.backends.tensorflow.distributed import gather_rows, total_loss
from lossproof.backends.tensorflow.joint import JointLoss, joint_loss
from lossproof.backends.tensorflow.mining import (
    classify_triplets,
    sample_active,
    sample_negatives,
    sample_pairs,
    sample_triplets,
    triplet_masks,
)
from lossproof.backends.tensorflow.oim import OIMLoss, oim_loss, update_oim_memory
from lossproof.backends.tensorflow.semi_hard import SemiHardTripletLoss, semi_hard_triplet_loss
from lossproof.backends.tensorflow.soft_cross_entropy import SoftCrossEntropyLoss, soft_cross_entropy_loss
from lossproof.backends.tensorflow.triplet_margin import TripletMarginLoss, triplet_margin_loss
from lossproof.backends.tensorflow.verification import (
    best_accuracy,
    val_at_far,
    verification_accuracy,
    verification_rates,
)

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
