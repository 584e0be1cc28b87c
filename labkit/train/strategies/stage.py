"""One stage of a pipeline: a range of layers that computes one microbatch after another.

A backward may be split in two (Qi et al. 2024, arXiv:2401.10241): the gradient of the stage's input
goes out at once, because the stage before waits for it; the gradients of the weights, which nobody
waits for, are computed later.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from labkit.train.loss import scaled_loss
from labkit.train.strategies.split_backward import SplitBackward


class Stage:
    """Layers, and the microbatches that have gone forward through them but not yet back.

    A microbatch's activations are kept from its forward to the end of its backward, no longer: how
    many are kept at once is for the schedule to decide.

    Args:
        module: the layers.
        layers: their indices in the model.
    """

    def __init__(self, module: nn.Sequential, layers: range) -> None:
        self.module = module
        self.layers = layers
        self._in_flight: dict[int, tuple[Tensor, Tensor]] = {}  # input and output, or loss
        self._half_done: dict[int, SplitBackward] = {}
        self._put_off: dict[int, Tensor | None] = {}  # gradients of outputs

    def forward(
        self, microbatch: int, x: Tensor, targets: Tensor | None = None, loss_scale: float = 1.0
    ) -> Tensor:
        """The activation that leaves the stage; on the last stage, which has targets, the loss."""
        y: Tensor = self.module(x)
        if targets is not None:
            y = scaled_loss(y, targets, loss_scale)
        self._in_flight[microbatch] = (x, y)
        return y.detach()

    def backward(self, microbatch: int, output_grad: Tensor | None) -> Tensor | None:
        """Both gradients: adds to those of the weights, returns that of the input.

        Args:
            microbatch: which has gone forward before.
            output_grad: gradient of the activation that left; ``None`` where the loss is computed.
        Returns:
            The gradient of the stage's input; ``None`` where it needs none.
        """
        x, y = self._in_flight.pop(microbatch)
        if y.requires_grad:
            torch.autograd.backward(y, output_grad)
        return x.grad

    def backward_input(self, microbatch: int, output_grad: Tensor | None) -> Tensor | None:
        """The first half: the gradient of the input alone; arguments as of ``backward``.

        A first stage needs no gradient of its input, so its second half is the whole backward.
        """
        x, y = self._in_flight[microbatch]
        if not x.requires_grad:
            self._put_off[microbatch] = output_grad
            return None
        del self._in_flight[microbatch]
        half = self._half_done[microbatch] = SplitBackward(y, output_grad, x)
        return half.input_grad

    def backward_weight(self, microbatch: int) -> None:
        """The second half: adds to the gradients of the weights."""
        if microbatch in self._half_done:
            self._half_done.pop(microbatch).finish()
        else:
            self.backward(microbatch, self._put_off.pop(microbatch))
