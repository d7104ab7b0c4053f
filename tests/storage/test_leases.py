"""The lock between machines, against a real server on this machine."""

import os
import threading
import time

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, GenericError

from mmsra_pipeline.errors import StorageError
from mmsra_pipeline.storage import leases
from mmsra_pipeline.storage.leases import Lease, check_leases, followed, held
from mmsra_pipeline.storage.mirror import turn_file
from mmsra_pipeline.storage.run_locks import turn_of

KEY = "turns/shop.json"


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch):
    monkeypatch.setattr(leases, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.05)


@pytest.fixture
def system(machine):
    return machine("one").remote._system


def lease(system, name):
    return Lease(system, KEY, name, "the data set shop")


def seconds(work):
    begun = time.monotonic()
    work()
    return time.monotonic() - begun


def test_a_lock_that_was_given_back_is_had_at_once(system):
    for name in ("one", "two", "one"):
        own = lease(system, name)
        assert seconds(own.take) < 0.9
        own.check()
        own.give_back()


def test_one_at_a_time_has_it(system):
    inside, most, turns = [], [], []

    def work(name):
        for _ in range(3):
            with held(system, KEY, name, "the data set shop"):
                inside.append(name)
                most.append(len(inside))
                time.sleep(0.02)
                inside.remove(name)
                turns.append(name)

    threads = [threading.Thread(target=work, args=(f"machine {number}",)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (len(turns), max(most)) == (15, 1)


def test_what_a_killed_process_held_goes_to_its_own_machine_at_once_and_to_others_in_its_time(system):
    lease(system, "one").take()  # and is never renewed
    again = lease(system, "one")
    assert seconds(again.take) < 0.9
    assert 1.0 <= seconds(lease(system, "two").take) < 10


def test_who_lives_keeps_it_however_long_others_wait(system, caplog):
    caplog.set_level("INFO")
    other = threading.Thread(target=lambda: lease(system, "two").take(), daemon=True)
    with held(system, KEY, "one", "the data set shop"):
        other.start()
        other.join(2.5)
        assert other.is_alive()
        check_leases("one")
    other.join(10)
    assert not other.is_alive()
    assert [line.split(" on ")[0] for line in caplog.messages if "waiting" in line] == [
        f"waiting for process {os.getpid()}"
    ]


def test_a_holder_that_slept_finds_out_and_takes_nothing_back(system):
    asleep, other = lease(system, "one"), lease(system, "two")
    asleep.take()
    other.take()
    with pytest.raises(StorageError, match="the turn of the data set shop was not renewed for 1 s"):
        asleep.check()
    asleep.renew()
    asleep.give_back()
    with pytest.raises(StorageError):
        asleep.check()
    other.renew()
    other.check()


def test_a_holder_that_slept_goes_on_if_nobody_took_it(system):
    asleep = lease(system, "one")
    asleep.take()
    time.sleep(1.1)
    asleep.check()


def test_no_pointer_is_written_once_the_turn_may_be_anothers(machine, monkeypatch):
    paths = machine("one")
    monkeypatch.setattr(Lease, "renew", lambda own: None)
    with paths.remote.turn("shop", "the data set shop"):
        paths.remote.write(paths.data / "current", b"first")
        time.sleep(1.1)
        again = machine("one")  # as each stage of a run opens the root anew
        with pytest.raises(StorageError, match="run the command again"):
            again.remote.write(paths.data / "current", b"second")
        machine("two").remote.write(paths.root.parent / "two" / "data" / "films", b"")
    paths.remote.write(paths.data / "current", b"third")
    assert paths.remote.read(paths.data / "current") == b"third"


def test_an_answer_that_was_lost_makes_no_other_holder(system, monkeypatch):
    put = obstore.put

    def answered_late(*arguments, **named):
        put(*arguments, **named)
        raise AlreadyExistsError("the second try met what the first had put")

    own = lease(system, "one")
    monkeypatch.setattr(obstore, "put", answered_late)
    assert seconds(own.take) < 0.9
    monkeypatch.undo()
    own.check()


def test_a_store_that_fails_for_a_while_is_asked_again(system, monkeypatch):
    own = lease(system, "one")
    own.take()

    def fails(*_arguments, **_named):
        raise GenericError("503 Service Unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(obstore, "put", fails)
        own.renew()
    own.check()
    own.renew()
    own.check()


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b"\xff"])
def test_an_object_of_somebody_else_is_taken_over_in_its_time(system, content):
    obstore.put(system, KEY, content)
    own = lease(system, "one")
    assert seconds(own.take) >= 1.0
    own.check()


def test_a_lock_that_its_holder_deleted_is_not_made_again(machine):
    paths = machine("one")
    with paths.remote.turn("shop", "the data set shop"):
        paths.remote.delete(turn_file(paths.root, "shop"))
        time.sleep(0.5)  # it would be renewed
        with machine("two").remote.turn("shop", "the data set shop"):
            pass
        paths.remote.delete(turn_file(paths.root, "shop"))
    assert paths.remote.listing(paths.root) == []


def test_a_data_set_is_computed_by_one_machine_at_a_time(machine):
    one, two = machine("one"), machine("two")
    done = threading.Event()

    def other():
        with turn_of(two, "shop"):
            done.set()

    waiting = threading.Thread(target=other, daemon=True)
    with turn_of(one, "shop"):
        waiting.start()
        assert not done.wait(1.5)
        with turn_of(one, "films"):
            pass
    assert done.wait(10)
    waiting.join(10)


def test_a_step_writes_under_the_turn_of_its_run_and_not_once_another_machine_has_it(system):
    run = lease(system, "one")
    run.take()
    with followed(system, KEY, "one", "the data set shop"):
        check_leases("one")
        run.give_back()
        with pytest.raises(StorageError, match="is not this machine's any more"):
            check_leases("one")
        other = lease(system, "two")
        other.take()
        with pytest.raises(StorageError, match="is not this machine's any more"):
            check_leases("one")
        other.give_back()
        run.take()
        check_leases("one")
    run.give_back()
    check_leases("one")
