"""open-metric-learning: its loss of given triplets and its ArcFace.

Its mined losses are dialects and no peers: they refuse a batch in which a label stands once, as that of a plain call.
"""

from lossproof.conformance.host.peers import peer

NAME = "open-metric-learning"
triplet_loss = peer(NAME, "TripletLoss")
triplet_loss_soft = peer(NAME, "TripletLoss", margin="None")
arcface_loss = peer(NAME, "ArcFaceLoss")
