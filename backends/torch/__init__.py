"""The losses in PyTorch: functions of tensors, and an `nn.Module` for each."""

from lossproof.backends.torch.contrastive import ContrastiveLoss, contrastive_loss
from lossproof.backends.torch.triplet_margin import TripletMarginLoss, triplet_margin_loss

__all__ = ["ContrastiveLoss", "TripletMarginLoss", "contrastive_loss", "triplet_margin_loss"]
