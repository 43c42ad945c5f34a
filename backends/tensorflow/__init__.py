"""The losses in TensorFlow: functions of tensors, and a `keras.losses.Loss` for each."""

from lossproof.backends.tensorflow.triplet_margin import TripletMarginLoss, triplet_margin_loss

__all__ = ["TripletMarginLoss", "triplet_margin_loss"]
