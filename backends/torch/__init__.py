"""The losses in PyTorch: functions of tensors, and an `nn.Module` for each."""

from lossproof.backends.torch.batch_all import BatchAllTripletLoss, batch_all_triplet_loss
from lossproof.backends.torch.batch_hard import BatchHardTripletLoss, batch_hard_triplet_loss
from lossproof.backends.torch.contrastive import ContrastiveLoss, contrastive_loss
from lossproof.backends.torch.mining import (
    classify_triplets,
    sample_active,
    sample_negatives,
    sample_pairs,
    sample_triplets,
    triplet_masks,
)
from lossproof.backends.torch.semi_hard import SemiHardTripletLoss, semi_hard_triplet_loss
from lossproof.backends.torch.triplet_margin import TripletMarginLoss, triplet_margin_loss

__all__ = [
    "BatchAllTripletLoss",
    "BatchHardTripletLoss",
    "ContrastiveLoss",
    "SemiHardTripletLoss",
    "TripletMarginLoss",
    "batch_all_triplet_loss",
    "batch_hard_triplet_loss",
    "classify_triplets",
    "contrastive_loss",
    "sample_active",
    "sample_negatives",
    "sample_pairs",
    "sample_triplets",
    "semi_hard_triplet_loss",
    "triplet_margin_loss",
    "triplet_masks",
]
