"""TensorFlow Similarity: its triplet loss with the hardest of both, and its circle loss, of rows at unit length.

The front page of the package imports nmslib, which builds on no Python that this project supports. Its losses want
TensorFlow alone, so the package is made without running its front page.
"""

import sys
from importlib.util import find_spec, module_from_spec
from typing import Any

from lossproof.conformance.host.peers import peer

_found = None if "tensorflow_similarity" in sys.modules else find_spec("tensorflow_similarity")
if _found is not None:
    sys.modules["tensorflow_similarity"] = module_from_spec(_found)

_HARD: dict[str, Any] = {"positive_mining_strategy": "hard", "negative_mining_strategy": "hard"}

hard = peer("tensorflow-similarity", "TripletLoss", grade="normwise", distance="cosine", **_HARD)
hard_soft = peer("tensorflow-similarity", "TripletLoss", grade="normwise", distance="cosine", margin="None", **_HARD)
circle = peer("tensorflow-similarity", "CircleLoss")
