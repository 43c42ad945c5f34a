"""sentence-transformers: its triplet and contrastive losses, which need no model where the rows are given."""

from lossproof.conformance.host.peers import peer

NAME = "sentence-transformers"
triplet_loss = peer(NAME, "TripletLoss")
triplet_loss_cosine = peer(NAME, "TripletLoss", distance_metric="losses.TripletDistanceMetric.COSINE")
triplet_loss_manhattan = peer(NAME, "TripletLoss", distance_metric="losses.TripletDistanceMetric.MANHATTAN")
batch_hard = peer(NAME, "BatchHardTripletLoss", grade="normwise")
batch_hard_soft_margin = peer(NAME, "BatchHardSoftMarginTripletLoss", grade="normwise")
batch_all = peer(NAME, "BatchAllTripletLoss", grade="normwise")
batch_semi_hard = peer(NAME, "BatchSemiHardTripletLoss", grade="normwise")
batch_semi_hard_cosine = peer(
    NAME,
    "BatchSemiHardTripletLoss",
    grade="normwise",
    distance_metric="losses.BatchHardTripletLossDistanceFunction.cosine_distance",
)
contrastive_loss = peer(NAME, "ContrastiveLoss")
contrastive_loss_euclidean = peer(NAME, "ContrastiveLoss", distance_metric="losses.SiameseDistanceMetric.EUCLIDEAN")
contrastive_loss_manhattan = peer(NAME, "ContrastiveLoss", distance_metric="losses.SiameseDistanceMetric.MANHATTAN")
