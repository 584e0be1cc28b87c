"""Jobs, the pump, the log and the guard."""

from __future__ import annotations

import threading

import pytest

from labkit.errors import PlanError, RankFailed, RunStopped
from widgets.jobs import Job, Log, Pump, guard

DEADLINE_S = 10.0


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def job(log: Log) -> Job:
    return Job("work", log, lambda: None)


def run_to_the_end(job: Job, work: object) -> None:
    assert job.start(work)  # type: ignore[arg-type]
    assert job.wait(DEADLINE_S)


def test_job_is_done_when_its_work_returns(job: Job) -> None:
    run_to_the_end(job, lambda: None)
    assert (job.state, job.error) == ("done", "")


def test_second_start_while_at_work_does_nothing(job: Job) -> None:
    gate = threading.Event()
    assert job.start(lambda: gate.wait(DEADLINE_S))
    assert not job.start(lambda: None)
    gate.set()
    assert job.wait(DEADLINE_S)


def test_stop_sets_the_event_and_ends_stopped(job: Job) -> None:
    assert not job.stop()  # nothing to stop
    job.start(lambda: job.stop_event.wait(DEADLINE_S))
    assert job.stop()
    assert not job.stop()  # once is enough
    assert job.wait(DEADLINE_S)
    assert job.state == "stopped"


def test_run_stopped_is_no_failure(job: Job) -> None:
    def work() -> None:
        raise RunStopped("stopped before its first step")

    run_to_the_end(job, work)
    assert (job.state, job.error) == ("stopped", "")


def test_failure_keeps_the_message_of_a_lab_error(job: Job, log: Log) -> None:
    def work() -> None:
        raise PlanError("dp(3) does not divide <64>")

    run_to_the_end(job, work)
    assert (job.state, job.error) == ("failed", "dp(3) does not divide <64>")
    assert "dp(3) does not divide &lt;64&gt;" in log.html()


def test_failure_of_another_kind_names_it_and_logs_its_traceback(job: Job, log: Log) -> None:
    def work() -> None:
        raise KeyError("gone")

    run_to_the_end(job, work)
    assert job.error == "KeyError: 'gone'"
    assert "Traceback" in log.html()


def test_failed_rank_shows_its_own_traceback_in_the_log(job: Job, log: Log) -> None:
    def work() -> None:
        raise RankFailed("rank 1 raised\n\nboom in line 7", rank=1)

    run_to_the_end(job, work)
    assert job.error == "rank 1 raised"
    assert log.html().count("boom in line 7") == 1


def test_job_can_be_started_again_after_a_failure(job: Job) -> None:
    run_to_the_end(job, lambda: 1 / 0)
    run_to_the_end(job, lambda: None)
    assert (job.state, job.error) == ("done", "")


def test_guard_takes_errors_to_the_log(log: Log) -> None:
    def callback(value: int) -> None:
        raise ValueError(f"no {value}")

    guard(log, "slider", callback)(3)
    assert "slider" in log.html()
    assert "no 3" in log.html()


def test_log_keeps_the_newest_lines() -> None:
    log = Log(num_lines=2)
    for line in ("first", "second", "third"):
        log(line)
    assert "first" not in log.html()
    assert log.html().index("second") < log.html().index("third")


def test_pump_runs_calls_on_its_own_thread_and_hands_back_answers(log: Log) -> None:
    pump = Pump(lambda: None, lambda: False, log)
    assert pump.call(threading.current_thread) is pump.thread
    assert pump.call(lambda: pump.call(lambda: 5)) == 5  # from its own thread as well
    with pytest.raises(ZeroDivisionError):
        pump.call(lambda: 1 / 0)
    pump.close()
    assert not pump.thread.is_alive()


def test_pump_outlives_a_render_that_fails(log: Log) -> None:
    rendered = threading.Semaphore(0)

    def render() -> None:
        rendered.release()
        raise RuntimeError("cannot draw")

    pump = Pump(render, lambda: False, log)
    for _ in range(2):
        pump.poke()
        assert rendered.acquire(timeout=DEADLINE_S)
    pump.close()
    assert "cannot draw" in log.html()


def test_pump_renders_by_itself_while_something_moves(log: Log) -> None:
    rendered = threading.Semaphore(0)
    pump = Pump(rendered.release, lambda: True, log)
    for _ in range(3):
        assert rendered.acquire(timeout=DEADLINE_S)
    pump.close()
