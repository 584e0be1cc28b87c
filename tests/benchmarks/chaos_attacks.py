"""One attack each: somebody dies or is stopped at a random moment, and what became of the work.

What is expected: a training that lost a rank, its leader, a worker, a nanny or the fork server ends
done, with the losses of an undisturbed one. One whose scheduler is gone fails, and says so. Of a
notebook that was killed nothing is left. A scheduler, a nanny or a notebook that is stopped for a
while and goes on has disturbed nothing. A preprocessing makes the same shards.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import psutil
from chaos_arenas import HandMadeArena
from chaos_notebook import disturb_kernel
from chaos_report import TOO_LATE
from chaos_scene import STOPPED_S, Outcome, Scene
from chaos_work import PATIENCE_S, preprocess, start_run

from labkit.errors import LabError, RunStopped
from labkit.runs.run import Run

GONE = "scheduler is gone"  # so a run says that lost it

Victim = Callable[["Scene", Run], psutil.Process | None]


# -- who is attacked -------------------------------------------------------------------------------


def some_rank(scene: Scene, run: Run) -> psutil.Process | None:
    pids = run.rank_pids()
    return _process(scene.chance.choice(sorted(pids.values())) if pids else 0)


def the_leader(scene: Scene, run: Run) -> psutil.Process | None:
    leaders = run.view().leaders
    if not leaders or leaders[-1]["ended"]:
        return None
    return _process(run.rank_pids().get(leaders[-1]["rank"], 0))


def some_worker(scene: Scene, run: Run) -> psutil.Process | None:
    pids = [device["pid"] for device in run.view().devices if "pid" in device]
    return _process(scene.chance.choice(pids) if pids else 0)


def some_nanny(scene: Scene, run: Run) -> psutil.Process | None:
    worker = some_worker(scene, run)
    return None if worker is None else worker.parent()


def the_fork_server(scene: Scene, run: Run) -> psutil.Process | None:
    servers = scene.arena.cluster._fork_servers()
    return servers[0] if servers else None


def the_scheduler(scene: Scene, run: Run) -> psutil.Process | None:
    assert isinstance(scene.arena, HandMadeArena)
    return psutil.Process(scene.arena.scheduler.pid)


def _process(pid: int) -> psutil.Process | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid) if pid else None
    return None


# -- trainings -------------------------------------------------------------------------------------


def disturb_training(
    scene: Scene, victim: Victim, *, stop: bool, goes_on: bool = False, fails: bool = False
) -> Outcome:
    """Attack a training at a random moment, from its start to shortly before its end.

    Args:
        scene: where.
        victim: finds who is attacked; asked until there is somebody.
        stop: SIGSTOP instead of SIGKILL.
        goes_on: who was stopped is continued after a while.
        fails: whether the training is expected to fail.
    """
    run = start_run(scene.arena.cluster, scene.plan)
    scene.trained = scene.plan
    time.sleep(scene.chance.uniform(0.0, 0.9) * scene.calm.seconds[scene.plan])
    with _attacked(scene, run, victim, stop=stop, goes_on=goes_on) as struck_s:
        try:
            record = run.wait(PATIENCE_S)
        except TimeoutError:
            run.stop()
            with contextlib.suppress(LabError, TimeoutError):
                run.wait(PATIENCE_S)
            return Outcome(f"it hangs: {run}")
        except LabError as error:
            noticed_s = run.clock_s - struck_s if struck_s else None
            as_it_has_to = fails and noticed_s is not None and GONE in str(error)
            wrong = "" if as_it_has_to else f"it failed: {error}".splitlines()[0]
            return Outcome(wrong, noticed_s, note="failed, as it has to" if as_it_has_to else "")
    if not struck_s:
        return Outcome(note=TOO_LATE)
    outcome = Outcome(note=f"{record.restarts} restarts")
    if record.recoveries:
        entry = record.recoveries[0]
        outcome.detection_s = entry["at_s"] - struck_s
        outcome.recovery_s = entry["recovery_s"]
        outcome.note += f", {entry['cause']}, from step {entry['from_step']}"
    if fails:
        # The last steps may have been done by then; a record that says so is right.
        outcome.note += ", done before it was felt"
    if record.losses != scene.calm.losses[scene.plan]:
        outcome.wrong = f"status {record.status}, and the losses differ"
    return outcome


@contextlib.contextmanager
def _attacked(
    scene: Scene, run: Run, find: Victim, *, stop: bool, goes_on: bool
) -> Iterator[float]:
    """Attack once there is a victim; yields the run's clock then, 0.0 if the run was faster.

    In the end everybody who is still stopped is continued.
    """
    victim = None
    while victim is None and not run.done:
        victim = find(scene, run)
        time.sleep(0.0 if victim else 0.005)
    struck_s, timer = 0.0, None
    try:
        with contextlib.suppress(psutil.NoSuchProcess):
            if victim is not None and not run.done:
                now_s = run.clock_s
                (victim.suspend if stop else victim.kill)()
                struck_s = now_s
        if victim is not None and goes_on:
            timer = threading.Timer(scene.chance.uniform(*STOPPED_S), _go_on, [victim])
            timer.start()
        yield struck_s
    finally:
        if timer is not None:
            timer.join()
        if victim is not None and stop:
            _go_on(victim)


def _go_on(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.resume()


# -- preprocessing ---------------------------------------------------------------------------------


def disturb_preprocessing(scene: Scene, *, stop: bool) -> Outcome:
    """Kill or stop a worker while all of them preprocess."""
    cluster = scene.arena.cluster
    victim = _process(scene.chance.choice([worker["pid"] for worker in cluster.workers]))
    if victim is None:
        return Outcome("a worker that the cluster lists is not there")
    strike = victim.suspend if stop else victim.kill
    timer = threading.Timer(scene.chance.uniform(0.0, 0.9) * scene.calm.preprocess_s, strike)
    timer.start()
    begun_s = time.monotonic()
    try:
        shards = preprocess(cluster)
    except RunStopped as error:  # by the patience of ``preprocess``
        return Outcome(f"it hangs: {error}")
    except LabError as error:
        return Outcome(f"it failed: {error}".splitlines()[0])
    finally:
        timer.join()
        if stop:
            _go_on(victim)
    late_s = time.monotonic() - begun_s - scene.calm.preprocess_s
    wrong = "" if shards == scene.calm.shards else "the shards differ"
    return Outcome(wrong, recovery_s=max(0.0, late_s), note="recovery: how much longer it took")


# -- all of them -----------------------------------------------------------------------------------

OWN, BY_HAND = "own", "by hand"
Attack = Callable[[Scene], Outcome]


def _training(victim: Victim, **how: bool) -> Attack:
    return lambda scene: disturb_training(scene, victim, **{"stop": False, **how})


ATTACKS: dict[str, tuple[str, Attack]] = {
    "rank killed": (OWN, _training(some_rank)),
    "rank stopped": (OWN, _training(some_rank, stop=True)),
    "leader killed": (OWN, _training(the_leader)),
    "leader stopped": (OWN, _training(the_leader, stop=True)),
    "worker killed": (OWN, _training(some_worker)),
    "worker stopped": (OWN, _training(some_worker, stop=True)),
    "fork server killed": (OWN, _training(the_fork_server)),
    "fork server stopped": (OWN, _training(the_fork_server, stop=True)),
    "nanny killed": (BY_HAND, _training(some_nanny)),
    "nanny stopped a while": (BY_HAND, _training(some_nanny, stop=True, goes_on=True)),
    "scheduler killed": (BY_HAND, _training(the_scheduler, fails=True)),
    "scheduler stopped a while": (BY_HAND, _training(the_scheduler, stop=True, goes_on=True)),
    "worker killed, preprocessing": (OWN, lambda s: disturb_preprocessing(s, stop=False)),
    "worker stopped, preprocessing": (OWN, lambda s: disturb_preprocessing(s, stop=True)),
    "notebook killed, training": (OWN, lambda s: disturb_kernel(s, "train", stop=False)),
    "notebook killed, preprocessing": (OWN, lambda s: disturb_kernel(s, "preprocess", stop=False)),
    "notebook stopped a while": (OWN, lambda s: disturb_kernel(s, "train", stop=True)),
}
END_OF_ARENA = ("scheduler killed",)
