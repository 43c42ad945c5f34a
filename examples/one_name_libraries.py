"""The libraries themselves on the batch of `one_name.py`: those that are installed, by the name of each call.

    python examples/one_name_libraries.py FILE      adds what they say, with their versions, to a file of JSON

No environment holds all of them, so the file is written from several, one after another.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

Call = tuple[str, str, float]  # the distribution, the call, its number


def of_sentence_transformers(rows: Any, labels: Any, margin: float) -> Iterator[Call]:
    """Yield the semi-hard loss of sentence-transformers."""
    import torch
    from sentence_transformers.losses import BatchHardTripletLossDistanceFunction, BatchSemiHardTripletLoss

    loss = BatchSemiHardTripletLoss(None, BatchHardTripletLossDistanceFunction.eucledian_distance, margin)
    given = torch.tensor(labels), torch.tensor(rows)
    yield "sentence-transformers", "BatchSemiHardTripletLoss", loss.batch_semi_hard_triplet_loss(*given).item()


def of_metric_learning(rows: Any, labels: Any, margin: float) -> Iterator[Call]:
    """Yield the two semi-hard miners of pytorch-metric-learning, each with its triplet loss."""
    import torch
    from pytorch_metric_learning.losses import TripletMarginLoss
    from pytorch_metric_learning.miners import BatchEasyHardMiner, TripletMarginMiner

    given, loss = (torch.tensor(rows), torch.tensor(labels)), TripletMarginLoss(margin=margin)
    for call, miner in {
        "TripletMarginMiner(type_of_triplets='semihard')": TripletMarginMiner(margin, "semihard"),
        "BatchEasyHardMiner()": BatchEasyHardMiner(),
    }.items():
        yield "pytorch-metric-learning", call, loss(*given, miner(*given)).item()


def of_addons(rows: Any, labels: Any, margin: float) -> Iterator[Call]:
    """Yield the semi-hard loss of TensorFlow Addons, with its default distance and with the squared one."""
    from tensorflow_addons.losses import TripletSemiHardLoss

    for metric in ("L2", "squared-L2"):
        loss = TripletSemiHardLoss(margin, metric)
        call = f"TripletSemiHardLoss(distance_metric='{metric}')"
        yield "tensorflow-addons", call, float(loss(labels, rows.astype("float32")))


def of_similarity(rows: Any, labels: Any, margin: float) -> Iterator[Call]:
    """Yield the triplet loss of TensorFlow Similarity, whose default mines semi-hard negatives."""
    from tensorflow_similarity.losses import TripletLoss

    for distance in ("cosine", "euclidean"):
        loss = TripletLoss(distance=distance, margin=margin)
        call = f"TripletLoss(distance='{distance}')"
        yield "tensorflow-similarity", call, float(loss(labels, rows.astype("float32")))


def libraries(
    rows: Any, labels: Any, margin: float, of: Sequence[Callable[[Any, Any, float], Iterator[Call]]] = ()
) -> dict[str, dict[str, Any]]:
    """Return what each installed library says of the batch: its number, its version and the day."""
    found = {}
    for calls in of or (of_sentence_transformers, of_metric_learning, of_addons, of_similarity):
        try:
            for library, call, number in calls(rows, labels, margin):
                said = {"value": number, "version": version(library), "date": f"{datetime.now(UTC):%Y-%m-%d}"}
                found[f"{library} {call}"] = said
        except ImportError as missing:
            print(f"left out: {missing}", file=sys.stderr)
    return found


def keep(place: Path, said: dict[str, dict[str, Any]]) -> None:
    """Add what was said to a file, beside what it holds of other libraries."""
    kept = json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
    place.write_text(json.dumps(dict(sorted({**kept, **said}.items())), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    from one_name import LABELS, MARGIN, ROWS

    keep(Path(sys.argv[1]), libraries(ROWS, LABELS, MARGIN))
