"""The spec in float64 numpy, written to be read. Same names and keywords as every backend.

Each function also takes `cotangent` and then returns its gradients; each module's `evaluate` returns what the judge
needs besides: error scales, second derivatives and the decisions taken.
"""

from lossproof.reference.contrastive import contrastive_loss
from lossproof.reference.triplet_margin import triplet_margin_loss

__all__ = ["contrastive_loss", "triplet_margin_loss"]
