"""torch: what torch.nn.functional has of the pages."""

from torch.nn import functional

from lossproof.conformance.host.peers import peer

triplet_margin_loss = peer("torch", "triplet_margin_loss", functional.triplet_margin_loss)
triplet_margin_with_distance_loss = peer(
    "torch", "triplet_margin_with_distance_loss", functional.triplet_margin_with_distance_loss
)
margin_ranking_loss = peer("torch", "margin_ranking_loss")
cross_entropy = peer("torch", "cross_entropy")
cross_entropy_with_probabilities = peer("torch", "cross_entropy with probabilities")
