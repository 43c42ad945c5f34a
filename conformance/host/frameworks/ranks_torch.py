"""One rank of a batch over processes in PyTorch: torch.distributed, on the host by gloo."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from lossproof.conformance.host.frameworks import Request
from lossproof.conformance.host.frameworks.torch import Torch, autograd, named
from lossproof.conformance.host.ranks import KEYWORDS, own_rows

WAIT = timedelta(seconds=20)  # for the others, in one exchange


class RankLate(Exception):
    """Another process did not come to an exchange."""


class TorchRank:
    """A process of a group; each takes its own rows of a case, and the gradient of what it returns."""

    keyword = KEYWORDS["torch"]

    def __init__(self, device: str, world: int, rank: int, meet: str):
        self.adapter, self.rank = Torch(device), rank
        torch.set_num_threads(1)
        backend = "gloo" if device == "cpu" else "nccl"
        dist.init_process_group(backend, init_method=f"file://{meet}", rank=rank, world_size=world, timeout=WAIT)
        self.group = dist.group.WORLD

    def run(self, ask: Request, split: list[int]) -> list[dict[str, Any]]:
        """Return value and gradients of this rank."""

        def of_rank(name: str, array: Any) -> Any:
            return own_rows(array, split, self.rank) if name in ask.aligned else array

        native = {n: self.adapter.tensor(of_rank(n, array), dtype) for n, (array, dtype) in ask.inputs.items()}
        rows = {name: tensor for name, tensor in native.items() if tensor.is_floating_point()}
        rest = {name: tensor for name, tensor in native.items() if name not in rows}
        along = [self.adapter.tensor(of_rank(n, ask.tangents[n]), ask.inputs[n][1]) for n in rows if ask.order == 2]
        cotangent = ask.cotangent
        if cotangent is not None and cotangent.ndim:
            cotangent = own_rows(cotangent, split, self.rank)

        def loss(*values: torch.Tensor) -> Any:
            return ask.function(**dict(zip(rows, values, strict=True)), **rest)

        try:
            value, gradients, second = autograd(loss, list(rows.values()), ask.order, cotangent, along)
        except RuntimeError as problem:
            if "imeout" in str(problem) or "imed out" in str(problem) or "onnection closed" in str(problem):
                raise RankLate(f"waited in vain for another process: {str(problem)[:200]}") from problem
            raise
        found: dict[str, Any] = {"value": named(value)}
        if ask.order:
            found["gradients"] = {name: named(g) for name, g in zip(rows, gradients, strict=True)}
        if ask.order == 2:
            zeros = [torch.zeros_like(row) for row in rows.values()]
            found["second"] = {name: named(h) for name, h in zip(rows, second or zeros, strict=True)}
        return [found]
