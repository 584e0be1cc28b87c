"""Data parallelism: every rank holds the whole model and takes its share of the batch.

``DistributedDataParallel`` sums the gradients while the backward still runs: as soon as the
gradients of a bucket of layers are there, its all_reduce starts (Li et al. 2020,
arXiv:2006.15704). What is left after the last bucket became ready is exposed communication.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import GradBucket
from torch.nn.parallel import DistributedDataParallel

from labkit.emulate.pacer import RealTime
from labkit.plan import DEFAULT_BUCKET_MB
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.parallel_model import (
    Given,
    ParallelModel,
    accumulate,
    num_parameter_bytes,
)


@dataclass(slots=True)
class BucketLog:
    """Buckets of the backward that runs now: times in seconds, sizes in bytes.

    When a device is emulated, buckets queue for one link: each begins when it is ready on every
    rank and the link is free, and the step goes on when the last one has arrived.
    """

    recorder: SpanRecorder
    pace: RealTime
    starts_s: list[float] = field(default_factory=list)
    ends_s: dict[int, float] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)

    def reduce(self, bucket: GradBucket) -> torch.futures.Future[Tensor]:
        """Start the all_reduce of a bucket and note its times; the loss is scaled already."""
        buffer = bucket.buffer()
        number = self.begin(buffer.numel() * buffer.element_size())
        future: torch.futures.Future[list[Tensor]] = dist.all_reduce(
            buffer, async_op=True
        ).get_future()

        def done(finished: torch.futures.Future[list[Tensor]]) -> Tensor:
            self.end(number)
            return finished.value()[0]

        reduced: torch.futures.Future[Tensor] = future.then(done)
        return reduced

    def begin(self, size: int) -> int:
        """A bucket of ``size`` bytes on the wire is ready; returns its number."""
        self.starts_s.append(self.pace.nominal_s)
        self.sizes.append(size)
        return len(self.starts_s) - 1

    def end(self, number: int) -> None:
        """A bucket has arrived. On a gloo thread: only notes the time."""
        self.ends_s[number] = self.recorder.now()

    def backward(self, loss: Tensor, microbatch: int, recorder: SpanRecorder) -> None:
        """Run a backward; record computing until the last bucket was ready, and each bucket."""
        self.starts_s.clear()
        self.sizes.clear()
        self.ends_s.clear()
        start_s = recorder.now()
        loss.backward()  # type: ignore[no-untyped-call]
        if self.pace.is_emulated and self.starts_s:
            self._queue_for_the_link()
        returned_s = recorder.now()
        ready_s = self.starts_s[-1] if self.starts_s else returned_s
        recorder.add("backward", "backward", start_s, end_s=ready_s, microbatch=microbatch)
        for number, (began_s, size) in enumerate(zip(self.starts_s, self.sizes, strict=True)):
            name = f"bucket {number}"
            end_s = self.ends_s[number]
            recorder.add("comm_dp", name, began_s, end_s=end_s, num_bytes=size)
            recorder.count_bytes("comm_dp", size)
        if self.starts_s:
            # Copying the averages back is work of the same communication.
            last_s = max(self.ends_s.values())
            recorder.add("comm_dp", "finish", min(last_s, returned_s), end_s=returned_s)

    def _queue_for_the_link(self) -> None:
        """Declared times of the buckets, and the wait for the last of them."""
        ready_s = self.pace.latest(self.starts_s, None)
        free_s = 0.0
        for number, (entered_s, size) in enumerate(zip(ready_s, self.sizes, strict=True)):
            free_s = max(entered_s, free_s) + self.pace.collective_s("all_reduce", size, None)
            self.ends_s[number] = free_s
        self.pace.wait_until(free_s)


def apply_data(model: nn.Module, given: Given) -> ParallelModel:
    """Whole model, 1 / dp of the batch, gradients summed over ranks during the backward.

    Losses are scaled by the size of the global batch, so the sum is the gradient of the global
    mean. With microbatches only the last backward communicates. See ``ApplyStrategy`` for the
    arguments.
    """
    return replicate(model, given, BucketLog(given.recorder, given.pace))


def replicate(model: nn.Module, given: Given, log: BucketLog) -> ParallelModel:
    """A replica on every rank whose buckets of gradients travel as ``log`` sends them."""
    plan = given.plan
    given.pace.watch_layers(model)
    replicated = DistributedDataParallel(
        model,
        # The default: smaller buckets overlap more of the backward, but where ranks share cores
        # each further all_reduce cost 1 to 2 % of a step.
        bucket_cap_mb=plan.bucket_mb or DEFAULT_BUCKET_MB,
        gradient_as_bucket_view=True,
        init_sync=False,  # every rank has built the same model from the seed
        broadcast_buffers=False,  # buffers that change are refused
    )
    # DDP refuses a hook whose annotations are strings, so this one has none.
    replicated.register_comm_hook(log, lambda log, bucket: log.reduce(bucket))

    def around(microbatch: int) -> AbstractContextManager[None]:
        is_last = microbatch == plan.num_microbatches - 1
        return nullcontext() if is_last else replicated.no_sync()

    return ParallelModel(
        module=model,
        place=given.place,
        device=given.device,
        forward_backward=accumulate(replicated, given, around=around, backward=log.backward),
        comm_bytes_per_step={"comm_dp": num_parameter_bytes(model)},
        speaks=given.place.replica == 0,
        rehearses=True,  # the first backward decides which gradients share a bucket
    )
