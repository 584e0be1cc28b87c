"""Branch placement: where a model forks, its branches stand on ranks of their own.

Branches need nothing from each other, so block 1 feeds blocks 2 and 3 on different ranks:

    rank 0    stem --+-- branch 0 --+-- head        the trunk
    rank 1           +-- branch 1 --+
    rank 2           +-- branch 2 --+

Rank 0 computes the trunk. At the fork it sends its activation to every branch rank, at the join it
adds up what they return; the backward is the mirror image. While the branches compute, so does
rank 0 with a branch of its own; while it computes the rest of the trunk, the other ranks wait.

Source: placing the operations of one model by hand, Dean et al. 2012, "Large scale distributed
deep networks", section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from labkit.errors import PlanError, WorkloadError
from labkit.train.batches import Batch
from labkit.train.collectives import Collectives
from labkit.train.models.branches import Branches
from labkit.train.strategies.parallel_model import Given, ParallelModel, accumulate
from labkit.train.strategies.shapes import num_bytes, trace_shapes

TRUNK = 0  # rank of stem, join and head

# Messages by direction; their spans end with the number of the branch rank.
ACTIVATION, OUTPUT = "activation for rank", "output of rank"
OUTPUT_GRADIENT, INPUT_GRADIENT = "output gradient for rank", "input gradient of rank"


def branches_of_ranks(num_branches: int, num_ranks: int) -> tuple[tuple[int, ...], ...]:
    """Which branches each rank computes.

    Args:
        num_branches: of the fork.
        num_ranks: at most one more than branches; rank 0 then has the trunk alone.
    """
    if num_ranks > num_branches:
        return ((), *((branch,) for branch in range(num_branches)))
    return tuple(tuple(range(rank, num_branches, num_ranks)) for rank in range(num_ranks))


class Fork(NamedTuple):
    """What trunk and branch ranks must agree on.

    Attributes:
        ranks: of the plan.
        x, y: activation before the fork and behind the join, of one microbatch, without data.
        device: where this rank computes.
    """

    ranks: Collectives
    x: Tensor
    y: Tensor
    device: torch.device

    @property
    def branch_ranks(self) -> range:
        """All ranks but the trunk's."""
        return range(1, self.ranks.size)

    def send_to_all(self, x: Tensor, what: str) -> None:
        """The same tensor to every branch rank."""
        x = x.contiguous()
        sends = [self.ranks.send(x, rank, f"send {what} {rank}") for rank in self.branch_ranks]
        for finish in sends:
            finish()

    def sum_from_all(self, like: Tensor, what: str, own: Tensor | None) -> Tensor:
        """A tensor from every branch rank, added to what this rank has of its own."""
        total = own
        for rank in self.branch_ranks:
            arrived = self.empty(like)
            self.ranks.receive(arrived, rank, f"receive {what} {rank}")
            total = arrived if total is None else total + arrived
        assert total is not None, "there are branch ranks"
        return total

    def empty(self, like: Tensor) -> Tensor:
        """Room for a message."""
        return torch.empty(like.shape, dtype=like.dtype, device=self.device)


class SendAtFork(torch.autograd.Function):
    """Forward sends x to the branch ranks; backward adds the gradients that they return.

    A token goes from the fork to the join, so that the gradients are sent out at the join before
    they are awaited here, also where the trunk's rank has no branch of its own.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, token: Tensor, fork: Fork) -> tuple[Tensor, Tensor]:
        ctx.fork = fork
        fork.send_to_all(x, ACTIVATION)
        return x.view_as(x), token.view_as(token)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None]:
        own, token = grads
        if not ctx.needs_input_grad[0]:
            return None, token, None
        return ctx.fork.sum_from_all(ctx.fork.x, INPUT_GRADIENT, own), token, None


class SumAtJoin(torch.autograd.Function):
    """Forward adds up what the branch ranks computed; backward sends them the gradient."""

    @staticmethod
    def forward(ctx: Any, own: Tensor | None, token: Tensor, fork: Fork) -> Tensor:
        ctx.fork = fork
        return fork.sum_from_all(fork.y, OUTPUT, own)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None]:
        ctx.fork.send_to_all(grads[0], OUTPUT_GRADIENT)
        own = grads[0] if ctx.needs_input_grad[0] else None
        return own, torch.zeros((), device=grads[0].device), None


class OwnBranches(nn.Module):
    """The branches that one rank computes, under their names in the model."""

    def __init__(self, branches: Mapping[int, nn.Module], *, forget_activations: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleDict({str(number): b for number, b in branches.items()})
        self.forget_activations = forget_activations

    def forward(self, x: Tensor) -> Tensor:
        """The sum of what this rank's branches make of x."""
        outputs = [
            checkpoint(branch, x, use_reentrant=False, preserve_rng_state=False)
            if self.forget_activations
            else branch(x)
            for branch in self.branches.values()
        ]
        return torch.stack(outputs).sum(dim=0)


class ForkOfTrunk(OwnBranches):
    """The fork as the trunk's rank computes it: other ranks' branches at the same time."""

    def __init__(
        self, branches: Mapping[int, nn.Module], fork: Fork, *, forget_activations: bool
    ) -> None:
        super().__init__(branches, forget_activations=forget_activations)
        self.fork = fork

    def forward(self, x: Tensor) -> Tensor:
        """The sum over all branches, on whatever rank they are."""
        token = torch.zeros((), device=x.device, requires_grad=True)
        x, token = SendAtFork.apply(x, token, self.fork)  # type: ignore[no-untyped-call]
        own = super().forward(x) if self.branches else None
        y: Tensor = SumAtJoin.apply(own, token, self.fork)  # type: ignore[no-untyped-call]
        return y


def apply_branches(model: nn.Module, given: Given) -> ParallelModel:
    """The trunk, or some branches; see ``ApplyStrategy`` for the arguments.

    Raises:
        PlanError: the model does not fork, or at several places.
        WorkloadError: it has another number of branches than the workload says.
    """
    assert isinstance(model, nn.Sequential), "the plan was not validated"
    layer, found = find_fork(model, given)
    shapes = trace_shapes(model, given.example)
    rank, plan = given.place.stage, given.plan
    fork = Fork(
        ranks=Collectives(None, "comm_pp", given.recorder, given.pace),
        x=shapes.inputs[layer],
        y=shapes.inputs[layer + 1],
        device=given.device,
    )
    mine = branches_of_ranks(len(found.branches), plan.pp)[rank]
    branches = {number: found.branches[number] for number in mine}
    forget = plan.checkpoint_activations
    if rank == TRUNK:
        model[layer] = ForkOfTrunk(branches, fork, forget_activations=forget)
        module, forward_backward = model, accumulate(model, given)
    else:
        own = OwnBranches(branches, forget_activations=forget)
        module = nn.Sequential()
        module.add_module(str(layer), own)
        forward_backward = BranchRank(own, fork, given).forward_backward
    return ParallelModel(
        module=module,
        place=given.place,
        device=given.device,
        forward_backward=forward_backward,
        comm_bytes_per_step={"comm_pp": branch_bytes_per_step(fork, given)},
        needs_batch=rank == TRUNK,
    )


class BranchRank:
    """A rank beside the trunk: waits for activations, and then for gradients."""

    def __init__(self, branches: OwnBranches, fork: Fork, given: Given) -> None:
        self.branches = branches
        self.fork = fork
        self.given = given

    def forward_backward(self, batch: Batch) -> Tensor:
        """Its share of a step, without a loss; the contract of ``ParallelModel``."""
        for microbatch in range(self.given.plan.num_microbatches):
            self._run(microbatch)
        return torch.zeros((), device=self.given.device, dtype=torch.float64)

    def _run(self, microbatch: int) -> None:
        fork, recorder, number = self.fork, self.given.recorder, self.given.place.stage
        x, output_grad = fork.empty(fork.x), fork.empty(fork.y)
        fork.ranks.receive(x, TRUNK, f"receive {ACTIVATION} {number}")
        x.requires_grad_(fork.x.requires_grad)
        with recorder.span("forward", "forward", microbatch):
            y: Tensor = self.branches(x)
        fork.ranks.send(y.detach().contiguous(), TRUNK, f"send {OUTPUT} {number}")()
        fork.ranks.receive(output_grad, TRUNK, f"receive {OUTPUT_GRADIENT} {number}")
        with recorder.span("backward", "backward", microbatch):
            torch.autograd.backward(y, output_grad)
        if x.grad is not None:
            fork.ranks.send(x.grad.contiguous(), TRUNK, f"send {INPUT_GRADIENT} {number}")()


def find_fork(model: nn.Sequential, given: Given) -> tuple[int, Branches]:
    """The one layer that forks, with its index."""
    forks = [(i, layer) for i, layer in enumerate(model) if isinstance(layer, Branches)]
    if len(forks) != 1:
        raise PlanError(
            f"placement=branches needs one layer of the type Branches, but the model has "
            f"{len(forks)}; choose placement=layers"
        )
    num_branches = len(forks[0][1].branches)
    if num_branches != given.workload.num_branches:
        raise WorkloadError(
            f"workload {given.workload.name!r} says num_branches={given.workload.num_branches} "
            f"but its model has {num_branches}; give the workload that number"
        )
    return forks[0]


def branch_bytes_per_step(fork: Fork, given: Given) -> int:
    """Payload that a rank sends in one step, by formula.

    Per microbatch the trunk sends an activation and the gradient of the sum to every branch rank;
    a branch rank sends its output and, where it has one, the gradient of its input.

    Args:
        fork: shapes of one microbatch.
        given: plan and place.
    """
    if given.place.stage == TRUNK:
        size = (num_bytes(fork.x) + num_bytes(fork.y)) * len(fork.branch_ranks)
    else:
        size = num_bytes(fork.y) + (num_bytes(fork.x) if fork.x.requires_grad else 0)
    return given.plan.num_microbatches * size
