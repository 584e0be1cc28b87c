"""Elections: never two leaders, whatever is late, lost, asleep, dead or cut off."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from labkit.cluster.election import LEASE_S, NOBODY, SAFE_SHARE, Election, Lease, Request


def _load(name: str) -> ModuleType:
    """A module beside this file: tests are no package."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


simulation = _load("election_simulation")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Store:
    """A register that works."""

    def __init__(self) -> None:
        self.value = ""

    def serve(self, request: Request) -> str:
        if self.value == request.expected:
            self.value = request.desired
        return self.value


def ask(member: Election, store: Store) -> str | None:
    request = member.request()
    return member.answer(request, store.serve(request))


def elect(member: Election, store: Store) -> None:
    """Look, then take the lease that nobody holds."""
    assert ask(member, store) is None
    assert ask(member, store) == "elected"
    assert member.leads


def test_the_first_to_ask_leads_and_the_others_see_who() -> None:
    clock, store = Clock(), Store()
    first, second = Election(3, clock=clock), Election(5, clock=clock)
    elect(first, store)
    assert ask(second, store) is None
    assert not second.leads
    assert (second.term, second.lease.holder) == (1, 3)


def test_a_lease_that_is_renewed_is_never_taken_and_one_that_is_not_is_after_its_time() -> None:
    clock, store = Clock(), Store()
    first, second = Election(0, clock=clock), Election(1, clock=clock)
    elect(first, store)
    for _ in range(10):
        clock.now_s += LEASE_S / 3
        assert ask(first, store) is None
        assert ask(second, store) is None
    clock.now_s += LEASE_S - 0.01
    assert ask(second, store) is None
    clock.now_s += 0.02
    assert ask(second, store) == "elected"
    assert second.term == 2
    assert second.waited_s == pytest.approx(LEASE_S + 0.01)
    assert ask(first, store) == "deposed"
    assert not first.leads


def test_a_leader_that_cannot_renew_stops_before_anybody_may_take_its_lease() -> None:
    clock, store = Clock(), Store()
    first = Election(0, clock=clock)
    elect(first, store)
    clock.now_s += SAFE_SHARE * LEASE_S - 0.001
    assert first.leads
    clock.now_s += 0.002
    assert not first.leads
    assert first.commit_request("40") is None


def test_the_late_commit_of_a_leader_that_slept_is_refused() -> None:
    clock, store = Clock(), Store()
    first, second = Election(0, clock=clock), Election(1, clock=clock)
    elect(first, store)
    ask(second, store)
    late = first.commit_request("60")  # it falls asleep before this reaches the store
    assert late is not None
    clock.now_s += LEASE_S
    assert ask(second, store) == "elected"
    assert first.answer(late, store.serve(late)) == "deposed"
    assert Lease.decode(store.value)[:3] == (2, 0, 1)
    assert Lease.decode(store.value).committed == ""


def test_what_was_committed_outlives_its_leader() -> None:
    clock, store = Clock(), Store()
    first, second = Election(0, clock=clock), Election(1, clock=clock)
    elect(first, store)
    commit = first.commit_request("step-000040")
    assert commit is not None
    assert first.answer(commit, store.serve(commit)) is None
    ask(second, store)
    clock.now_s += LEASE_S
    assert ask(second, store) == "elected"
    assert second.lease.committed == "step-000040"


def test_a_leader_that_steps_down_is_followed_at_once() -> None:
    clock, store = Clock(), Store()
    first, second = Election(0, clock=clock), Election(1, clock=clock)
    elect(first, store)
    ask(second, store)
    left = first.resign_request()
    assert left is not None
    assert not first.leads
    first.answer(left, store.serve(left))
    assert Lease.decode(store.value).holder == NOBODY
    assert ask(second, store) is None
    assert ask(second, store) == "elected"
    assert second.term == 2
    assert first.resign_request() is None


def test_a_request_whose_answer_was_lost_is_understood_later() -> None:
    clock, store = Clock(), Store()
    first = Election(0, clock=clock)
    ask(first, store)
    store.serve(first.request())  # it is elected, and does not learn it
    assert not first.leads
    assert ask(first, store) == "elected"
    assert not first.leads, "how old the lease is, it does not know"
    assert ask(first, store) is None
    assert first.leads


def test_the_ranks_of_a_later_attempt_need_not_wait_and_the_earlier_ones_are_shut_out() -> None:
    clock, store = Clock(), Store()
    before, after = Election(0, clock=clock), Election(0, clock=clock, attempt=1)
    elect(before, store)
    elect(after, store)
    assert after.term == 2
    assert ask(before, store) == "deposed"
    assert not before.stands
    clock.now_s += 10 * LEASE_S
    assert ask(before, store) is None
    assert not before.leads
    elsewhere = Election(1, clock=clock, attempt=2, first_term=7)
    elect(elsewhere, Store())
    assert elsewhere.term == 7, "in another store terms go on"


# -- in virtual time -------------------------------------------------------------------------------


def check(run: simulation.Simulation) -> None:
    """What must hold in every schedule."""
    assert run.wrong == []
    terms = [after.term for _, after in run.commits]
    assert terms == sorted(terms)
    for before, after in run.commits:
        assert after.holder == int(after.committed.split("@")[0]), "its own commit"
        assert after.term == before.term, "a leader of that very term"
    assert all(len(holders - {NOBODY}) <= 1 for holders in run.holders.values())


def disturb(run: simulation.Simulation) -> None:
    """Do something to a random member, the leader more often than others; and again later."""
    alive = [rank for rank, member in run.members.items() if member.alive]
    rank = run.random.choice(run.leaders() or alive if run.random.random() < 0.6 else alive)
    what = run.random.choice(["sleep", "cut off", "kill", "nothing"])
    if what == "sleep":
        run.put_to_sleep(rank, run.random.expovariate(1.0))
    elif what == "cut off":
        run.cut_off(rank, run.random.expovariate(1.0))
    elif what == "kill":
        run.kill(rank)
        run.join()
    run.after(run.random.expovariate(2.0), disturb, run)


@pytest.mark.parametrize("first_seed", range(0, 600, 100))
def test_no_schedule_has_two_leaders(first_seed: int) -> None:
    num_elections = num_commits = num_refused = 0
    for seed in range(first_seed, first_seed + 100):
        run = simulation.Simulation(seed, num_members=2 + seed % 4)
        run.after(1.0, disturb, run)
        run.run(12.0)
        check(run)
        num_elections += len(run.elected_after_s)
        num_commits += len(run.commits)
        num_refused += run.refused
    # The schedules do what they are for: leaders changed, committed, and were refused.
    assert num_elections > 100 * 3
    assert num_commits > 100 * 3
    assert num_refused > 10


def test_after_each_of_100_deaths_of_the_leader_another_is_elected_soon() -> None:
    calm = simulation.Trouble(late=0.0, lost=0.0, resign=0.0)
    run = simulation.Simulation(7, num_members=4, trouble=calm)
    without_leader_s = []
    for _ in range(100):
        run.run(run.now_s + 30.0, stop=lambda: bool(run.leaders()))
        run.run(run.now_s + run.random.uniform(0.1, 1.0))
        (leader,) = run.leaders()
        died_at_s = run.now_s
        run.kill(leader)
        run.join()
        run.run(run.now_s + 30.0, stop=lambda: bool(run.leaders()))
        without_leader_s.append(run.now_s - died_at_s)
    check(run)
    assert len(run.holders) >= 101
    assert max(without_leader_s) < 4 / 3 * LEASE_S * (1 + simulation.DRIFT) + 0.05


def test_the_simulation_finds_a_leader_that_trusts_its_lease_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("labkit.cluster.election.SAFE_SHARE", 1.5)
    wrong: list[str] = []
    for seed in range(30):
        run = simulation.Simulation(seed, num_members=3)
        run.after(1.0, disturb, run)
        run.run(12.0)
        wrong += run.wrong
    assert wrong
