"""Options that several commands share; those of a plan and a workload come from their fields."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import click

from labkit.errors import SettingError
from labkit.plan import Plan
from labkit.workload import WORKLOADS, Workload, find_workload

Command = TypeVar("Command", bound=Callable[..., Any])

_PLAN_HELP: Mapping[str, str] = MappingProxyType(
    {
        "dp": "Data-parallel replicas.",
        "pp": "Pipeline stages, or ranks for branches.",
        "tp": "Tensor-parallel ranks.",
        "schedule": "Order of a pipeline's forwards and backwards",
        "microbatches": "Pieces of a replica's batch.",
        "virtual_stages": "Stages on each rank, with interleaved1f1b.",
        "cuts": "First layer of every stage but the first; balanced by default.",
        "sync": "How replicas agree",
        "sync_every": "Steps between two averages, with --sync average.",
        "max_staleness": "Steps that an asynchronous worker may be ahead.",
        "bucket_mb": "Megabytes of gradients that are all_reduced together.",
        "compression": "Of the gradients on their way",
        "shard": "What replicas shard instead of copying",
        "split": "What --dp cuts",
        "tensor_style": "Tensor slices by hand, or by DTensor",
        "sequence_parallel": "Shard tokens between the tensor slices.",
        "placement": "What --pp places on ranks",
        "checkpoint_activations": "Forget activations, compute them again.",
    }
)
_WORKLOAD_HELP: Mapping[str, str] = MappingProxyType(
    {
        "global_batch": "Samples of a step over all replicas.",
        "learning_rate": "Of SGD, at the reference batch.",
        "momentum": "Of SGD.",
        "reference_batch": "Larger batches learn at a proportionally larger rate.",
        "warmup_steps": "First steps, over which the rate rises.",
        "clip_norm": "Greatest norm of the gradient.",
        "precision": "Of weights and activations",
        "keep_last": "End an epoch with a smaller batch of what is left.",
        "seed": "Of weights and data order; 0 by default.",
    }
)


class Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers separated by commas, such as ``1,2,4``."""

    name = "n,n,..."

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 1,2,4", param, ctx)


as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
queue_s = click.option(
    "--queue-s",
    type=float,
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Wait in the line for workers that others use or that are not there yet, at most so long.",
)
workload = click.option(
    "--workload", required=True, metavar="NAME", help=f"One of {', '.join(WORKLOADS)}."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """A cluster that runs already, as of ``labkit.launch``; without an address one is launched."""

    address: str | None = None
    security: Path | None = None
    trusted_network: str | None = None
    shared_folder: Path | None = None

    def check(self, count: str = "", num: int | None = None) -> None:
        """Refuse options that contradict each other.

        Args:
            count: the option that says how many workers to launch, if the command has one.
            num: what it says; ``None`` where it is not given.
        """
        if self.address is None:
            for name in ("security", "trusted_network", "shared_folder"):
                if (value := getattr(self, name)) is not None:
                    option = f"--{name.replace('_', '-')} {value}"
                    raise SettingError(f"{option} is for a running cluster; give its --address")
        elif num is not None:
            raise SettingError(
                f"{count} {num} is for workers that are launched here; leave it out, or the "
                f"--address {self.address}"
            )


def where(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where a cluster runs already, and how to use it: the command's argument ``where``."""

    @wraps(command)
    def gathered(**given: Any) -> Any:
        there = {each.name: given.pop(each.name) for each in fields(Where)}
        return command(where=Where(**there), **given)

    network = click.option(
        "--trusted-network",
        metavar="NETWORK",
        help="Of the hosts there, such as 10.1.0.0/16: ranks on several hosts talk over it, "
        "unencrypted; without it a run stays on one host.",
    )
    folder = click.option(
        "--shared-folder",
        type=click.Path(path_type=Path),
        help="On storage that all hosts there see: data and checkpoints lie in it.",
    )
    at = click.option("--address", help="Use the Dask scheduler that runs there.")
    return at(_security(network(folder(gathered))))


def required_address(command: Command) -> Command:
    """The same for what only looks at a cluster."""
    at = click.option("--address", required=True, help="Of the Dask scheduler.")
    return at(_security(command))


def _security(command: Command) -> Command:
    return click.option(
        "--security",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Certificate and key for a tls:// address, as PEM; else those of Dask's settings.",
    )(command)


def workload_or_resumed(command: Command) -> Command:
    """The options that say what is trained: a workload, or a run to go on with."""
    names = ", ".join(WORKLOADS)
    resume = click.option(
        "--resume",
        metavar="RUN",
        help="Go on from the newest checkpoint of a kept run, or in that folder. What is not given "
        "is taken from it; any option of the plan makes a new plan.",
    )
    name = click.option("--workload", metavar="NAME", help=f"One of {names}.")
    return name(resume(command))


runs = click.option(
    "--runs",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder that keeps the records.",
)
emulate = click.option(
    "--emulate", metavar="DEVICE", help="Keep the speed of a declared device, such as demo."
)
time_scale = click.option(
    "--time-scale", type=float, help="Seconds on the wall for one of the emulated device."
)


def plan_options(command: Command) -> Command:
    """An option for every field of a plan; ``plan_from`` makes the plan."""
    return _options(Plan, _PLAN_HELP, command)


def workload_options(command: Command) -> Command:
    """An option for every setting of a workload; ``workload_from`` makes the workload."""
    return _options(Workload, _WORKLOAD_HELP, command)


def plan_from(options: Mapping[str, Any]) -> Plan:
    """The plan that a command's options describe.

    Raises:
        PlanError: a value that no plan can have.
    """
    return Plan(**_given(options, _PLAN_HELP))


def workload_from(name: str, options: Mapping[str, Any]) -> Workload:
    """The bundled workload of that name, with the settings that a command's options describe.

    Raises:
        WorkloadError: an unknown name, or a value that no workload can have.
    """
    return with_settings(find_workload(name), options)


def with_settings(workload: Workload, options: Mapping[str, Any]) -> Workload:
    """A workload with the settings that a command's options describe.

    Raises:
        WorkloadError: a value that no workload can have.
    """
    return workload.with_settings(**_given(options, _WORKLOAD_HELP))


def plan_is_given() -> bool:
    """Whether the command line has any option of the plan."""
    ctx = click.get_current_context()
    sources = (ctx.get_parameter_source(name) for name in _PLAN_HELP)
    return click.core.ParameterSource.COMMANDLINE in sources


def _given(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {name: options[name] for name in names if options[name] is not None}


def _options(of: type, helps: Mapping[str, str], command: Command) -> Command:
    chosen = {f.name: f for f in fields(of) if f.name in helps}
    # Only these: another field's type may need torch, which no command line should load.
    annotated = SimpleNamespace(__annotations__={name: f.type for name, f in chosen.items()})
    hints = get_type_hints(annotated, vars(sys.modules[of.__module__]))
    for name in reversed(list(helps)):  # a decorator that is applied last shows its option first
        default = None if of is Workload else chosen[name].default
        command = _option(name, hints[name], default, helps[name])(command)
    return command


def _option(name: str, hint: Any, default: Any, text: str) -> Callable[[Command], Command]:
    """One option; ``None`` stands for what the plan or the workload chooses itself."""
    flag = "--" + name.replace("_", "-")
    kind = next((t for t in get_args(hint) if t is not type(None)), hint)
    kind = hint if get_origin(hint) is Literal else kind
    if kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=default, help=text)
    if get_origin(kind) is Literal:
        text, kind = f"{text}: {' | '.join(get_args(kind))}.", str
    elif get_origin(kind) is tuple:
        kind = Numbers()
    return click.option(
        flag, name, type=kind, default=default, show_default=default is not None, help=text
    )
