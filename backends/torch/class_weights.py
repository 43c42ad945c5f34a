"""Rows and class weights at unit length, and the module that holds such weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lossproof.backends.torch.arrays import as_wide


class ClassWeights(nn.Module):
    """A loss with the class weights as its parameter, (num_classes, embedding_dim).

    Args:
        function: the loss of embeddings, labels, class weights and options.
        shape: number of classes, and length of a row of the embeddings.
        options: the options of the function.
        processes: its group of processes, how their gradients are combined, and whether calls are compared.
        device: where the class weights are kept, as in every module of torch.
        dtype: dtype of the class weights, as in every module of torch.
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        shape: tuple[int, int],
        options: dict[str, Any],
        processes: dict[str, Any],
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.function, self.options, self.processes = function, options, processes
        self.class_weights = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.reset_parameters()
        legal = {**options, "combine": processes["combine"]}  # an illegal option is refused here
        function(torch.zeros(0, 1), torch.zeros(0, dtype=torch.int64), torch.ones(1, 1), **legal)

    def reset_parameters(self) -> None:
        """Draw the class weights anew."""
        nn.init.normal_(self.class_weights, std=self.class_weights.shape[1] ** -0.5)

    def forward(
        self, embeddings: Tensor, labels: Tensor, mask: Tensor | None = None, weights: Tensor | None = None
    ) -> Tensor:
        """Return the loss of the rows; see the function."""
        (class_weights,) = as_wide(embeddings, self.class_weights)
        options = {**self.options, **self.processes}
        return self.function(embeddings, labels, class_weights, mask=mask, weights=weights, **options)

    def extra_repr(self) -> str:
        """Return the sizes and options, for the printed module."""
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.class_weights.shape[0]}, {self.class_weights.shape[1]}, {options}"
