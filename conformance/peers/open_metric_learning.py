"""open-metric-learning: its triplet losses, of given triplets and of mined ones, and its ArcFace."""

from lossproof.conformance.host.peers import peer

NAME = "open-metric-learning"
triplet_loss = peer(NAME, "TripletLoss")
triplet_loss_soft = peer(NAME, "TripletLoss", margin="None")
triplet_loss_with_miner = peer(NAME, "TripletLossWithMiner", grade="normwise")
triplet_loss_with_hard_miner = peer(NAME, "TripletLossWithMiner with HardTripletsMiner", grade="normwise")
arcface_loss = peer(NAME, "ArcFaceLoss")
