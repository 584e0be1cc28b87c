"""Attacks on a notebook's process, which has a lab of its own."""

from __future__ import annotations

import contextlib
import json
import time

import chaos_left
import psutil
from chaos_arenas import Kernel
from chaos_report import TOO_LATE
from chaos_scene import STOPPED_S, Outcome, Scene

import labkit


def disturb_kernel(scene: Scene, what: str, *, stop: bool) -> Outcome:
    """Kill a notebook's process: nothing of it stays. Stop it for a while: nothing is felt."""
    plan = scene.plan if scene.plan.world_size == 2 else labkit.Plan(dp=2)
    kernel = Kernel(what, plan.to_dict())
    try:
        if kernel.line() != "ready":
            return Outcome("it did not launch a lab")
        family = [kernel.handle, *kernel.handle.children(recursive=True)]
        scene.trained = plan if what == "train" else None
        expected_s = scene.calm.seconds[plan] if what == "train" else scene.calm.preprocess_s
        time.sleep(scene.chance.uniform(0.0, 1.5) * expected_s)
        if kernel.process.poll() is not None:
            return Outcome(_judge(scene, kernel, what, plan), note=TOO_LATE)
        if stop:
            kernel.handle.suspend()
            time.sleep(scene.chance.uniform(*STOPPED_S))
            kernel.handle.resume()
            return Outcome(_judge(scene, kernel, what, plan))
        family += [p for p in kernel.handle.children(recursive=True) if p not in family]
        kernel.handle.kill()
        struck_s = time.monotonic()
        gone_s = _await_end(family, struck_s)
        left = "" if gone_s is not None else f"still there: {[p for p in family if _lives(p)]}"
        return Outcome(left, detection_s=gone_s, note="detection: until all of it was gone")
    except psutil.NoSuchProcess:
        return Outcome(_judge(scene, kernel, what, plan), note=TOO_LATE)
    finally:
        kernel.close()


def _judge(scene: Scene, kernel: Kernel, what: str, plan: labkit.Plan) -> str:
    """What is wrong with what a notebook says in the end."""
    said = kernel.line()
    wanted = scene.calm.losses[plan] if what == "train" else scene.calm.shards
    if not said:
        return "it ended without a result, or hangs"
    return "" if json.loads(said) == wanted else "the result differs"


def _await_end(family: list[psutil.Process], struck_s: float) -> float | None:
    """Seconds until all of some processes have ended; ``None`` if they do not."""
    while time.monotonic() - struck_s < chaos_left.session.LEAVE_S:
        if not any(_lives(process) for process in family):
            return time.monotonic() - struck_s
        time.sleep(0.02)
    return None


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
