"""The losses in PyTorch: functions of tensors, and an `nn.Module` for each."""

from lossproof.backends.torch.triplet_margin import TripletMarginLoss, triplet_margin_loss

__all__ = ["TripletMarginLoss", "triplet_margin_loss"]
