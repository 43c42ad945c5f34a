"""The losses in JAX: functions of arrays, and a frozen pytree for each."""

from lossproof.backends.jax.contrastive import ContrastiveLoss, contrastive_loss
from lossproof.backends.jax.triplet_margin import TripletMarginLoss, triplet_margin_loss

__all__ = ["ContrastiveLoss", "TripletMarginLoss", "contrastive_loss", "triplet_margin_loss"]
