"""optax: eps under the root, vectors of terms, no swap, no mask."""

import optax

from lossproof.conformance.host.peers import peer

triplet_margin = peer("optax", "triplet_margin_loss", optax.losses.triplet_margin_loss)
cross_entropy = peer("optax", "softmax_cross_entropy_with_integer_labels")
soft_cross_entropy = peer("optax", "softmax_cross_entropy")
