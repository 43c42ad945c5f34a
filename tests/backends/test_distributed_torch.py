"""A batch over two and four processes in PyTorch, against one process with all rows (spec/distributed.md)."""

import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
sys.path[:0] = [HERE, str(Path(HERE).parents[1])]  # the processes import what they run, by its name

import distributed_torch  # noqa: E402
import torch.multiprocessing  # noqa: E402

import lossproof.backends.torch as losses  # noqa: E402


@pytest.fixture(scope="module", params=[2, 4])
def answers(request, tmp_path_factory):
    """Start a group of processes, which runs every test, and return what each of them said."""
    folder = tmp_path_factory.mktemp("group")
    arguments = request.param, str(folder / "meet"), str(folder / "said")
    torch.multiprocessing.spawn(distributed_torch.run, arguments, nprocs=request.param)
    return {path.name: path.read_text() for path in folder.glob("said-*")}, request.param


@pytest.mark.parametrize("test", distributed_torch.TESTS, ids=lambda test: test.__name__)
def test_processes(answers, test):
    said, world = answers
    for rank in range(world):
        found = said[f"said-{test.__name__}-{rank}"]
        assert found == "right", f"rank {rank} of {world}:\n{found}"


def test_a_group_that_nobody_started():
    rows, labels = torch.ones(2, 3), torch.tensor([0, 1])
    with pytest.raises(RuntimeError, match="init_process_group"):
        losses.batch_hard_triplet_loss(rows, labels, process_group="world")


def test_the_word_for_how_gradients_are_combined_is_checked_without_a_group():
    with pytest.raises(ValueError, match="combine must be one of 'mean', 'sum', got 'W'"):
        losses.triplet_margin_loss(torch.ones(1), torch.ones(1), torch.ones(1), combine="W")
