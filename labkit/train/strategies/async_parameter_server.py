"""An asynchronous parameter server: nobody waits for the others.

Rank 0 works like all others and, in threads beside that, serves them: a worker pushes its gradient
together with the version of the parameters that it was computed on; the server updates at once and
answers with fresh parameters (Dean et al. 2012, "Large scale distributed deep networks", NeurIPS:
DistBelief, TensorFlow's ancestor). Meanwhile other updates have come, so gradients are stale: the
price of not waiting. See ``ParameterStore`` for the update and for the bound of staleness.

The loop's reports, on which all ranks meet, do synchronise the workers, but only now and then.
There every gradient has been applied, so that is where a checkpoint is taken: of the server's
parameters and momentum. What each worker held, older parameters as a rule, is not kept: a training
that goes on from a checkpoint does so with fresh ones on all workers, and like any other
asynchronous training never takes the same course twice.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from labkit.train.batches import Batch
from labkit.train.collectives import Collectives
from labkit.train.optimizer import Optimizer, Owned
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.flat import flatten_gradients, flatten_parameters, split_flat
from labkit.train.strategies.parallel_model import Given, ParallelModel, accumulate
from labkit.train.strategies.parameter_store import ParameterStore

SERVER = 0
GOODBYE = -1  # the version of a worker's last message


class Letter:
    """A version and flat numbers in one buffer, to travel as one message.

    Attributes:
        sheet: (bytes,) uint8, the whole.
        version: (1,) int64.
        numbers: as many, and of the type, as those that it was made for.
    """

    def __init__(self, numbers: Tensor) -> None:
        self.sheet = torch.zeros(8 + numbers.numel() * numbers.element_size(), dtype=torch.uint8)
        self.version = self.sheet[:8].view(torch.int64)
        self.numbers = self.sheet[8:].view(numbers.dtype)


class Server:
    """The threads of rank 0 that speak for the other workers, one for each.

    A thread ends with the goodbye of its worker, or when that one has gone, or when nothing was
    heard of it for as long as a collective may take.
    """

    def __init__(
        self, store: ParameterStore, group: dist.ProcessGroup, like: Tensor, recorder: SpanRecorder
    ) -> None:
        self.store = store
        self.group = group
        self.like = like
        self.recorder = recorder
        self._counting = threading.Lock()
        self._threads = [
            threading.Thread(
                target=self._serve, args=(worker,), name=f"server-{worker}", daemon=True
            )
            for worker in range(1, dist.get_world_size(group))
        ]

    def start(self) -> None:
        """Begin to listen."""
        for thread in self._threads:
            thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait until every worker has said goodbye."""
        for thread in self._threads:
            thread.join(timeout_s)
            if thread.is_alive():
                raise TimeoutError(f"{thread.name} has had no goodbye for {timeout_s:.0f} s")

    def _serve(self, worker: int) -> None:
        letter = Letter(self.like)
        try:
            while True:
                dist.recv(letter.sheet, worker, group=self.group)
                version = int(letter.version)
                if version == GOODBYE:
                    return
                self.store.push(worker, letter.numbers, version)
                letter.version.fill_(self.store.pull(worker, letter.numbers))
                dist.send(letter.sheet, worker, group=self.group)
                with self._counting:
                    self.recorder.count_bytes("comm_dp", letter.sheet.numel())
        except Exception as error:
            # Raised again where rank 0 itself comes next; meanwhile nobody must wait for ever.
            self.store.fail(error)


class RemoteStore:
    """The store of rank 0, as another rank sees it: the same two calls, by message."""

    def __init__(self, messages: Collectives, like: Tensor) -> None:
        self.messages = messages
        self.letter = Letter(like)

    def push(self, worker: int, gradient: Tensor, version: int) -> None:
        """Send a gradient."""
        self.letter.version.fill_(version)
        self.letter.numbers.copy_(gradient)
        self.messages.send(self.letter.sheet, SERVER, f"push of rank {worker}")()

    def pull(self, worker: int, into: Tensor) -> int:
        """Wait for the answer, which has the parameters, and their version."""
        self.messages.receive(self.letter.sheet, SERVER, f"pull of rank {worker}")
        into.copy_(self.letter.numbers)
        return int(self.letter.version)

    def leave(self) -> None:
        """Say goodbye."""
        self.letter.version.fill_(GOODBYE)
        dist.send(self.letter.sheet, SERVER, group=self.messages.group)


def apply_async_parameter_server(model: nn.Module, given: Given) -> ParallelModel:
    """Whole model, 1 / dp of the batch, every update at once on rank 0; see ``ApplyStrategy``."""
    plan, rank = given.plan, given.place.replica
    timeout = collective_timeout(given.device)
    # Messages have gloo and host memory, and a group of their own: threads must not get between
    # the collectives of the loop.
    messages = Collectives(
        dist.new_group(backend="gloo", timeout=timeout), "comm_dp", given.recorder, given.pace
    )
    parameters = flatten_parameters(model)
    host = parameters.to("cpu", copy=True)
    store: ParameterStore | RemoteStore = RemoteStore(messages, host)
    server: Server | None = None
    if rank == SERVER:
        store = ParameterStore(
            host,
            given.workload,
            num_workers=plan.dp,
            max_staleness=plan.max_staleness,
            timeout_s=timeout.total_seconds(),
        )
        assert messages.group is not None
        server = Server(store, messages.group, host, given.recorder)
        server.start()
    compute = accumulate(model, given)
    version = 0

    def forward_backward(batch: Batch) -> Tensor:
        share = compute(batch)
        store.push(rank, flatten_gradients(model).to("cpu"), version)
        return share

    def after_update(step: int, optimizer: Optimizer) -> None:
        nonlocal version
        version = store.pull(rank, host)
        parameters.copy_(host)

    def finish() -> None:
        if isinstance(store, RemoteStore):
            store.leave()
            return
        assert server is not None
        server.join(timeout.total_seconds())
        store.pull(rank, host)  # with the updates that came after rank 0's last step
        parameters.copy_(host)

    def owned(optimizer: Optimizer) -> list[Owned]:
        if not isinstance(store, ParameterStore):
            return []
        named = dict(model.named_parameters())
        weights = split_flat(store.weights, list(named.values()))
        if not given.workload.momentum:
            return [Owned(name, weight, None) for name, weight in zip(named, weights, strict=True)]
        momenta = split_flat(store.velocity, list(named.values()))
        return [Owned(*each) for each in zip(named, weights, momenta, strict=True)]

    def take_up(step: int, private: Mapping[str, Tensor]) -> None:
        nonlocal version
        version = step * plan.dp
        if isinstance(store, ParameterStore):
            store.version = version

    def close() -> None:
        if isinstance(store, ParameterStore):
            store.fail(RuntimeError("rank 0 has left"))

    # A worker sends a gradient a step, the server an answer to each of the others.
    num_messages = plan.dp - 1 if rank == SERVER else 1
    return ParallelModel(
        module=model,
        place=given.place,
        device=given.device,
        forward_backward=forward_backward,
        comm_bytes_per_step={"comm_dp": num_messages * Letter(host).sheet.numel()},
        updated=[],
        after_update=after_update,
        speaks=rank == SERVER,
        staleness=store.staleness if isinstance(store, ParameterStore) else [],
        owned=owned,
        take_up=take_up,
        finish=finish,
        close=close,
    )


def collective_timeout(device: torch.device) -> timedelta:
    """Longest that a collective of the default group may take."""
    world = dist.group.WORLD
    assert world is not None
    timeout: timedelta = world._get_backend(device).options._timeout
    return timeout
