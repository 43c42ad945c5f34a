"""TensorFlow Addons: the last release, which runs with TensorFlow 2.15."""

from lossproof.conformance.host.peers import peer

semi_hard = peer("tensorflow-addons", "TripletSemiHardLoss", grade="normwise")
hard = peer("tensorflow-addons", "TripletHardLoss", grade="normwise", soft=False)
hard_soft = peer("tensorflow-addons", "TripletHardLoss", grade="normwise", soft=True)
contrastive = peer("tensorflow-addons", "ContrastiveLoss")
