"""optax.losses.triplet_margin_loss: eps under the root, a vector of terms, no swap, no mask."""

import optax

from lossproof.conformance.host.implementation import Implementation

triplet_margin = Implementation(
    losses={"triplet_margin_loss": optax.losses.triplet_margin_loss},
    name="optax.losses.triplet_margin_loss",
    version=optax.__version__,
    rename={"anchors": "anchor", "positives": "positive", "negatives": "negative", "norm_degree": "p"},
    fixed={"eps_at": "root", "reduction": "none"},
)
