"""A batch spread over processes in PyTorch: DistributedDataParallel over gloo."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from multiprocessing.connection import Connection

import torch
import torch.distributed as dist
import torch.multiprocessing
from shared import MOMENTUM, Array, Setup
from spread import parts
from torch.nn.parallel import DistributedDataParallel
from train_torch import Network

from lossproof.backends import torch as losses

# What processes import: once for all of them. DistributedDataParallel needs the second.
SLOW = ["torch.nn.parallel", "torch._dynamo", "lossproof.backends.torch", "sklearn.datasets"]


def train(setup: Setup, dtype: str, split: tuple[int, ...]) -> Iterator[float | Array]:
    """Yield the loss of each step, and all weights in the end; process 0 tells them, and one that fails raises here."""
    context = torch.multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(SLOW)
    receiver, sender = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder, receiver:
        given = split, f"file://{folder}/meet", sender, setup, dtype
        started = torch.multiprocessing.start_processes(
            process, given, nprocs=len(split), join=False, daemon=True, start_method="forkserver"
        )
        sender.close()
        with suppress(EOFError):  # nobody is left who could tell more
            while True:
                yield receiver.recv()
        while not started.join():
            pass


def process(rank: int, split: tuple[int, ...], meet: str, sender: Connection, setup: Setup, dtype: str) -> None:
    """Train on the rows of one process, as every process does."""
    torch.set_num_threads(1)
    limit = timedelta(seconds=60)
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=len(split), timeout=limit)
    for told in steps(setup, dtype, parts(split)[rank]):
        if rank == 0:
            sender.send(told)
    # The model has to be gone by now: where it is the last to hold the group, its end may wait for ever (torch 2.13).
    dist.destroy_process_group()


def steps(setup: Setup, dtype: str, own: slice) -> Iterator[float | Array]:
    """Yield the same on every process."""
    group, objective = dist.group.WORLD, setup.objective
    network = Network(setup, dtype)
    spread = DistributedDataParallel(network)  # averages the gradients: the default of `combine`
    optimizer = torch.optim.SGD(network.parameters(), lr=objective.rate, momentum=MOMENTUM)
    loss_of = getattr(losses, objective.loss)
    images, labels = torch.tensor(setup.images, dtype=getattr(torch, dtype)), torch.tensor(setup.labels)
    for rows in torch.tensor(setup.batches)[:, 0, own]:
        loss = loss_of(spread(images[rows]), labels[rows], process_group=group, **objective.options)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield float(losses.total_loss(loss, group))
    yield torch.cat([w.detach().flatten() for w in network.weights.values()]).numpy()
