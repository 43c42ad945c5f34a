"""The libraries themselves on the batch of `one_name_hard.py`: those that are installed, by the name of each call.

    python examples/one_name_hard_libraries.py FILE      adds what they say, with their versions, to a file of JSON

No environment holds all of them, so the file is written from several, one after another.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from one_name_libraries import Call, keep
from one_name_libraries import libraries as said_by


def of_sentence_transformers(rows: Any, labels: Any, margin: float) -> Iterator[Call]:
    """Yield the batch-hard loss of sentence-transformers, with its default distance and with cosines."""
    import torch
    from sentence_transformers.losses import BatchHardTripletLoss
    from sentence_transformers.losses import BatchHardTripletLossDistanceFunction as Distance

    given = torch.tensor(labels), torch.tensor(rows)
    for call, distance in {
        "BatchHardTripletLoss": Distance.eucledian_distance,
        "BatchHardTripletLoss(distance_metric=cosine_distance)": Distance.cosine_distance,
    }.items():
        loss = BatchHardTripletLoss(None, distance, margin)
        yield "sentence-transformers", call, loss.batch_hard_triplet_loss(*given).item()


def of_metric_learning(rows: Any, labels: Any, margin: float) -> Iterator[Call]:
    """Yield the batch-hard miner of pytorch-metric-learning with its triplet loss, by default and with a plain mean."""
    import torch
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.miners import BatchHardMiner
    from pytorch_metric_learning.reducers import MeanReducer

    given = torch.tensor(rows), torch.tensor(labels)
    for call, options in {
        "BatchHardMiner()": {},
        "BatchHardMiner(), MeanReducer()": {"reducer": MeanReducer()},
    }.items():
        loss = TripletMarginLoss(margin=margin, **options)
        yield "pytorch-metric-learning", call, loss(*given, BatchHardMiner()(*given)).item()


def of_addons(rows: Any, labels: Any, margin: float) -> Iterator[Call]:
    """Yield the batch-hard loss of TensorFlow Addons, with its default distance and with the squared one."""
    from tensorflow_addons.losses import TripletHardLoss

    for metric in ("L2", "squared-L2"):
        loss = TripletHardLoss(margin, distance_metric=metric)
        call = f"TripletHardLoss(distance_metric='{metric}')"
        yield "tensorflow-addons", call, float(loss(labels, rows.astype("float32")))


def of_similarity(rows: Any, labels: Any, margin: float) -> Iterator[Call]:
    """Yield the triplet loss of TensorFlow Similarity with hard positives and hard negatives."""
    from tensorflow_similarity.losses import TripletLoss

    hard = {"positive_mining_strategy": "hard", "negative_mining_strategy": "hard"}
    for distance in ("cosine", "euclidean"):
        loss = TripletLoss(distance=distance, margin=margin, **hard)
        call = f"TripletLoss(distance='{distance}', hard, hard)"
        yield "tensorflow-similarity", call, float(loss(labels, rows.astype("float32")))


def libraries(rows: Any, labels: Any, margin: float) -> dict[str, dict[str, Any]]:
    """Return what each installed library says of the batch: its number, its version and the day."""
    of = (of_sentence_transformers, of_metric_learning, of_addons, of_similarity)
    return said_by(rows, labels, margin, of)


if __name__ == "__main__":
    from one_name_hard import LABELS, MARGIN, ROWS

    keep(Path(sys.argv[1]), libraries(ROWS, LABELS, MARGIN))
