"""sentence-transformers 5.0 to 5.2: its triplet loss, whose sign was flipped for two metrics of three."""

from lossproof.conformance.host.peers import peer

NAME = "sentence-transformers==5.2.0"
triplet_loss = peer(NAME, "TripletLoss", distance_metric="losses.TripletDistanceMetric.EUCLIDEAN")
triplet_loss_manhattan = peer(NAME, "TripletLoss", distance_metric="losses.TripletDistanceMetric.MANHATTAN")
triplet_loss_cosine = peer(NAME, "TripletLoss", distance_metric="losses.TripletDistanceMetric.COSINE")
