"""pytorch-metric-learning: its triplet loss of all triplets and its circle loss, plain and over processes.

The options of the pages become the objects that the library has for them, with the defaults of the pages. Its wrapper
for processes gathers rows without their gradient and multiplies by W, for DistributedDataParallel, which averages
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
from lossproof.conformance.host.ranks import Ranks

Way = Callable[[Any], Any]
DISTANCES = {
    "euclidean": lambda: LpDistance(normalize_embeddings=False),
    "squared_euclidean": lambda: LpDistance(normalize_embeddings=False, power=2),
    "cosine": CosineSimilarity,
}
REDUCERS = {"sum": SumReducer, "mean": MeanReducer, "mean_nonzero": AvgNonZeroReducer}


def _implementation(way: Way, name: str, ranks: Ranks | None = None) -> Implementation:
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
        ranks=ranks,
    )


def _plain(loss: Any) -> Any:
    return loss


def _wrapped(loss: Any) -> Any:
    return DistributedLossWrapper(loss)


def _efficient(loss: Any) -> Any:
    return DistributedLossWrapper(loss, efficient=True)


AVERAGED = Ranks("scaled", "mean", even=True)  # its gather takes for granted that all hold as many rows

plain = _implementation(_plain, "losses")
distributed = _implementation(_wrapped, "DistributedLossWrapper", AVERAGED)
distributed_efficient = _implementation(_efficient, "DistributedLossWrapper, efficient", AVERAGED)
