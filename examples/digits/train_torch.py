"""The network in PyTorch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from shared import MOMENTUM, Array, Setup
from torch import Tensor, nn

from lossproof.backends import torch as losses


class Network(nn.Module):
    """Digits to embeddings, with the given initial weights."""

    def __init__(self, setup: Setup, dtype: str) -> None:
        super().__init__()
        weights = {name: torch.tensor(w, dtype=getattr(torch, dtype)) for name, w in setup.weights.items()}
        self.weights = nn.ParameterDict(weights)

    def forward(self, images: Tensor) -> Tensor:
        """Return the embeddings of images."""
        w = self.weights
        return torch.relu(images @ w["w1"] + w["b1"]) @ w["w2"] + w["b2"]


def train(setup: Setup, dtype: str) -> Iterator[float | Array]:
    """Yield the embeddings of the held-out digits, the loss of each step, and these embeddings again."""
    torch.set_num_threads(1)
    network = Network(setup, dtype)
    objective = setup.objective
    optimizer = torch.optim.SGD(network.parameters(), lr=objective.rate, momentum=MOMENTUM)
    loss_of, names = getattr(losses, objective.loss), objective.passes
    images, seen = (torch.tensor(x, dtype=getattr(torch, dtype)) for x in (setup.images, setup.seen))
    labels = torch.tensor(setup.labels)

    def embedded() -> Array:
        with torch.no_grad():
            return np.asarray(network(seen))

    yield embedded()
    for rows, dissimilar in zip(torch.tensor(setup.batches), torch.tensor(setup.dissimilar), strict=True):
        known = dict(zip(names, [network(images[row]) for row in rows], strict=True))  # shared weights
        known |= {"labels": labels[rows[0]], "dissimilar": dissimilar}
        if "logits" in objective.arguments:
            known["logits"] = known["embeddings"] @ network.weights["w3"] + network.weights["b3"]
        if "centers" in objective.arguments:
            known["centers"] = network.weights["centers"]
        loss = loss_of(*(known[name] for name in objective.arguments), **objective.options)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield float(loss.detach())
    yield embedded()
