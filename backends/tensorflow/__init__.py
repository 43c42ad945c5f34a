"""The losses in TensorFlow: functions of tensors, and a `keras.losses.Loss` for each."""

from lossproof.backends.tensorflow.contrastive import ContrastiveLoss, contrastive_loss
from lossproof.backends.tensorflow.triplet_margin import TripletMarginLoss, triplet_margin_loss

__all__ = ["ContrastiveLoss", "TripletMarginLoss", "contrastive_loss", "triplet_margin_loss"]
