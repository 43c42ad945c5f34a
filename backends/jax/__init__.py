"""The losses in JAX: functions of arrays, and a frozen pytree for each."""

from lossproof.backends.jax.triplet_margin import TripletMarginLoss, triplet_margin_loss

__all__ = ["TripletMarginLoss", "triplet_margin_loss"]
