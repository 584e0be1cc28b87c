"""Data parallelism: every rank holds the whole model and takes its share of the batch.

``DistributedDataParallel`` averages the gradients while the backward still runs: as soon as the
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

from labkit.plan import Plan
from labkit.train.spans import SpanRecorder
from labkit.train.strategies.parallel_model import (
    ParallelModel,
    Place,
    accumulate,
    num_parameter_bytes,
)

# PyTorch's default. Smaller buckets overlap more of the backward, but where ranks share cores each
# further all_reduce cost 1 to 2 % of a step.
BUCKET_MB = 25


@dataclass(slots=True)
class _BucketLog:
    """Buckets of the backward that runs now: times in seconds, sizes in bytes."""

    recorder: SpanRecorder
    starts_s: list[float] = field(default_factory=list)
    ends_s: dict[int, float] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)

    def reduce(self, bucket: GradBucket) -> torch.futures.Future[Tensor]:
        """Start the all_reduce of a bucket and note its times; the loss is scaled already."""
        number = len(self.starts_s)
        buffer = bucket.buffer()
        self.starts_s.append(self.recorder.now())
        self.sizes.append(buffer.numel() * buffer.element_size())
        future: torch.futures.Future[list[Tensor]] = dist.all_reduce(
            buffer, async_op=True
        ).get_future()

        def done(finished: torch.futures.Future[list[Tensor]]) -> Tensor:
            # On a gloo thread: only note the time, the recorder belongs to the main thread.
            self.ends_s[number] = self.recorder.now()
            return finished.value()[0]

        reduced: torch.futures.Future[Tensor] = future.then(done)
        return reduced

    def backward(self, loss: Tensor, microbatch: int, recorder: SpanRecorder) -> None:
        """Run a backward; record computing until the last bucket was ready, and each bucket."""
        self.starts_s.clear()
        self.sizes.clear()
        self.ends_s.clear()
        start_s = recorder.now()
        loss.backward()  # type: ignore[no-untyped-call]
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


def apply_data(
    *,
    model: nn.Sequential,
    plan: Plan,
    place: Place,
    example: Tensor,
    device: torch.device,
    recorder: SpanRecorder,
) -> ParallelModel:
    """Whole model, 1 / dp of the batch, gradients summed over ranks during the backward.

    The loss is scaled by 1 / dp beforehand, so the sum is the gradient of the global mean. With
    microbatches only the last backward communicates. See ``ApplyStrategy`` for the arguments.
    """
    module = model.to(device)
    replicated = DistributedDataParallel(
        module,
        bucket_cap_mb=BUCKET_MB,
        gradient_as_bucket_view=True,
        init_sync=False,  # every rank has built the same model from the seed
    )
    log = _BucketLog(recorder)
    # DDP refuses a hook whose annotations are strings, so this one has none.
    replicated.register_comm_hook(log, lambda log, bucket: log.reduce(bucket))

    def around(microbatch: int) -> AbstractContextManager[None]:
        is_last = microbatch == plan.num_microbatches - 1
        return nullcontext() if is_last else replicated.no_sync()

    return ParallelModel(
        module=module,
        place=place,
        forward_backward=accumulate(
            replicated, plan, recorder, around=around, backward=log.backward
        ),
        comm_bytes_per_step={"comm_dp": num_parameter_bytes(module)},
    )
