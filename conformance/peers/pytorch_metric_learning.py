"""pytorch-metric-learning: its losses, and the triplet and circle loss under its wrapper for processes.

The wrapper gathers rows without their gradient and multiplies by W, for DistributedDataParallel, which averages
gradients. It takes the default group of torch.distributed, and is the plain loss where there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytorch_metric_learning
from pytorch_metric_learning.distances import CosineSimilarity, LpDistance
from pytorch_metric_learning.losses import CircleLoss, TripletMarginLoss
from pytorch_metric_learning.reducers import AvgNonZeroReducer, MeanReducer, SumReducer
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper

from lossproof.conformance.host.implementation import Implementation
from lossproof.conformance.host.peers import peer
from lossproof.conformance.host.ranks import Ranks

NAME = "pytorch_metric_learning"
triplet_margin_loss = peer(NAME, "TripletMarginLoss")
batch_hard = peer(NAME, "TripletMarginLoss with BatchHardMiner", grade="normwise")  # torch.cdist
circle_loss = peer(NAME, "CircleLoss")
arcface_loss = peer(NAME, "ArcFaceLoss")
cosface_loss = peer(NAME, "CosFaceLoss")
normalized_softmax_loss = peer(NAME, "NormalizedSoftmaxLoss", temperature=0.05)

Way = Callable[[Any], Any]
DISTANCES = {
    "euclidean": lambda: LpDistance(normalize_embeddings=False),
    "squared_euclidean": lambda: LpDistance(normalize_embeddings=False, power=2),
    "cosine": CosineSimilarity,
}
REDUCERS = {"sum": SumReducer, "mean": MeanReducer, "mean_nonzero": AvgNonZeroReducer}


def _over_processes(way: Way, name: str) -> Implementation:
    """Return both losses; `way` is what is done with the object of the library before it is called."""

    def batch_all(
        embeddings: Any, labels: Any, margin: float = 1.0, distance: str = "euclidean", reduction: str = "mean"
    ) -> Any:
        loss = TripletMarginLoss(margin, distance=DISTANCES[distance](), reducer=REDUCERS[reduction]())
        return way(loss)(embeddings, labels)

    def circle(
        embeddings: Any, labels: Any, margin: float = 0.25, gamma: float = 256.0, reduction: str = "mean"
    ) -> Any:
        return way(CircleLoss(margin, gamma, reducer=REDUCERS[reduction]()))(embeddings, labels)

    return Implementation(
        losses={"batch_all_triplet_loss": batch_all, "circle_loss": circle},
        name=f"pytorch_metric_learning {name}",
        version=pytorch_metric_learning.__version__,
        limits={"reduction": list(REDUCERS)},
        ranks=Ranks("scaled", "mean", even=True),  # its gather takes for granted that all hold as many rows
    )


distributed = _over_processes(DistributedLossWrapper, "DistributedLossWrapper")
distributed_efficient = _over_processes(
    lambda loss: DistributedLossWrapper(loss, efficient=True), "DistributedLossWrapper, efficient"
)
