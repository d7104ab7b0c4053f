import threading
import time
from concurrent.futures import ThreadPoolExecutor

from mmsra_pipeline.items.web.host_queue import HostQueue


def filled(*hosts: str, per_host: int = 1, pause: float = 0.0) -> HostQueue[str]:
    queue: HostQueue[str] = HostQueue(per_host=per_host, pause=pause)
    for number, host in enumerate(hosts):
        queue.put(host, f"{host}{number}")
    return queue


def test_hosts_with_a_free_place_come_first_in_the_order_of_their_jobs():
    queue = filled("a", "a", "b")
    assert [queue.take(), queue.take()] == [("a", "a0"), ("b", "b2")]
    queue.finish("a")
    assert queue.take() == ("a", "a1")


def test_all_jobs_are_done_once_by_many_threads_and_then_none_is_given():
    queue = filled(*"abcab" * 40, per_host=2)
    done, at_once, most = [], {}, {}
    lock = threading.Lock()

    def work():
        while (turn := queue.take()) is not None:
            host, job = turn
            with lock:
                at_once[host] = at_once.get(host, 0) + 1
                most[host] = max(most.get(host, 0), at_once[host])
            time.sleep(0.001)
            with lock:
                at_once[host] -= 1
                done.append(job)
            queue.finish(host)

    with ThreadPoolExecutor(8) as pool:
        for worker in [pool.submit(work) for _ in range(8)]:
            worker.result(timeout=30)
    assert sorted(done) == sorted({f"{host}{number}" for number, host in enumerate("abcab" * 40)})
    assert set(most.values()) == {2}


def test_a_job_that_is_put_back_comes_after_its_wait_and_lets_others_pass():
    queue = filled("a", "a")
    began = time.monotonic()
    assert queue.take() == ("a", "a0")
    assert queue.again("a", "a0", 0.2)
    assert queue.take() == ("a", "a1")
    queue.finish("a")
    assert queue.take() == ("a", "a0")
    assert time.monotonic() - began >= 0.2


def test_a_host_that_asked_for_rest_has_it_for_all_its_jobs():
    queue = filled("a", "a", "b")
    began = time.monotonic()
    queue.take()
    assert queue.again("a", "a0", 0.2, whole_host=True)
    assert queue.take() == ("b", "b2")
    assert time.monotonic() - began < 0.15
    assert queue.take()[0] == "a"
    assert time.monotonic() - began >= 0.2


def test_a_pause_that_is_learnt_late_holds_from_the_job_before_on():
    queue = filled("a", "a")
    began = time.monotonic()
    queue.take()
    queue.slow_down("a", 0.2)
    queue.finish("a")
    queue.take()
    assert time.monotonic() - began >= 0.2


def test_a_host_that_is_left_alone_gives_its_jobs_back_and_takes_none():
    queue = filled("a", "a", "a", "b")
    assert queue.take() == ("a", "a0")
    assert queue.leave_alone("a") == ["a1", "a2"]
    assert not queue.again("a", "a0", 0.0)
    assert queue.take() == ("b", "b3")
    queue.finish("b")
    assert queue.take() is None


def test_failures_are_counted_in_a_row():
    queue = filled("a")
    assert [queue.count_failure("a"), queue.count_failure("a")] == [1, 2]
    queue.count_answer("a")
    assert queue.count_failure("a") == 1


def test_closing_wakes_whoever_waits():
    queue = filled("a")
    queue.take()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queue.take)
        queue.close()
        assert waiting.result(timeout=10) is None


def test_a_long_line_at_a_slow_host_costs_no_time():
    queue = filled(*"a" * 5000, *"b" * 5000, pause=0.05)
    began, jobs = time.process_time(), 0
    while jobs < 10:
        host, _ = queue.take()
        queue.finish(host)
        jobs += 1
    assert time.process_time() - began < 0.2
