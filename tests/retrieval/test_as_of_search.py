import math

import numpy as np
import pytest

from mmsra_pipeline.retrieval import as_of_search
from mmsra_pipeline.retrieval.as_of_search import Entries, Queries, nearest_users, unit_vectors


def brute_force(entries: Entries, queries: Queries, k: int) -> list[tuple[int, int, int]]:
    """Plain loops over exactly rounded sums: (query, entry, rank)."""
    found = []
    for row, (vector, user, visible) in enumerate(zip(queries.vectors, queries.users, queries.visible)):
        best: dict[int, tuple[float, int]] = {}
        for place in range(visible):
            other = int(entries.users[place])
            if other == user or not entries.vectors[place].any() or not vector.any():
                continue
            cosine = math.fsum(a * b for a, b in zip(vector, entries.vectors[place]))
            best[other] = max(best.get(other, (-2.0, -1)), (cosine, place))  # of equal ones the later
        order = sorted(best.items(), key=lambda one: (-one[1][0], one[0]))[:k]
        found += [(row, place, rank) for rank, (_, (_, place)) in enumerate(order, start=1)]
    return found


def asked(matches) -> list[tuple[int, int, int]]:
    return list(zip(matches.query.tolist(), matches.entry.tolist(), matches.rank.tolist()))


def problem(seed: int, *, coarse: bool, entries: int = 300, queries: int = 40, users: int = 12):
    """Random vectors; coarse ones have few distinct values, so that many cosines tie exactly."""
    generator = np.random.default_rng(seed)
    draw = (lambda n: generator.integers(-1, 2, (n, 3))) if coarse else (lambda n: generator.normal(size=(n, 5)))
    # Runs of equal times: what is visible jumps.
    visible = np.sort(generator.integers(0, entries // 10 + 1, queries))[generator.permutation(queries)] * 10
    return (
        Entries(unit_vectors(draw(entries).astype(np.float32)), generator.integers(0, users, entries)),
        Queries(unit_vectors(draw(queries).astype(np.float32)), generator.integers(0, users, queries), visible),
    )


@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_search_equals_brute_force_with_ties_and_equal_times(seed, coarse):
    entries, queries = problem(seed, coarse=coarse)
    for k in (1, 3, 20):
        assert asked(nearest_users(entries, queries, k)) == brute_force(entries, queries, k)


@pytest.mark.parametrize("coarse", [False, True])
def test_blocks_do_not_change_the_result(monkeypatch, coarse):
    entries, queries = problem(9, coarse=coarse)
    expected = brute_force(entries, queries, 3)
    for together, cells in [(1, 1), (7, 10_000), (16, 1), (64, 2_000), (512, 900)]:
        monkeypatch.setattr(as_of_search, "TOGETHER", together)
        monkeypatch.setattr(as_of_search, "CELLS", cells)
        assert asked(nearest_users(entries, queries, 3)) == expected


def test_a_user_with_many_close_entries_takes_one_place_only():
    close = np.tile([1.0, 0.01], (500, 1))
    entries = Entries(unit_vectors(np.vstack([close, [[1.0, 0.5], [1.0, 0.7]]])), np.array([7] * 500 + [8, 9]))
    queries = Queries(unit_vectors(np.array([[1.0, 0.0]])), np.array([1]), np.array([502]))
    matches = nearest_users(entries, queries, 3)
    assert matches.entry.tolist() == [499, 500, 501]  # of equal ones the latest
    assert matches.cosine == pytest.approx([1.0, 1 / math.sqrt(1.25), 1 / math.sqrt(1.49)], abs=1e-3)


def test_all_equal_vectors_are_ordered_by_user():
    entries = Entries(unit_vectors(np.ones((300, 4))), np.arange(300) % 30)
    queries = Queries(unit_vectors(np.ones((2, 4))), np.array([0, 5]), np.array([300, 300]))
    matches = nearest_users(entries, queries, 3)
    assert entries.users[matches.entry].tolist() == [1, 2, 3, 0, 1, 2]
    assert matches.cosine == pytest.approx(np.ones(6))


def test_zero_vectors_find_nobody_and_are_found_by_nobody():
    entries = Entries(unit_vectors(np.array([[0.0, 0.0], [-1.0, 0.0]])), np.array([1, 2]))
    queries = Queries(unit_vectors(np.array([[0.0, 0.0], [1.0, 0.0]])), np.array([8, 9]), np.array([2, 2]))
    matches = nearest_users(entries, queries, 2)
    assert asked(matches) == [(1, 1, 1)]
    assert matches.cosine == pytest.approx([-1.0])


def test_nothing_visible_gives_no_match():
    entries, queries = problem(0, coarse=False)
    nothing = Queries(queries.vectors, queries.users, np.zeros(len(queries.users), dtype=np.int64))
    assert len(nearest_users(entries, nothing, 3).query) == 0
    nobody = Queries(queries.vectors[:0], queries.users[:0], queries.visible[:0])
    assert len(nearest_users(entries, nobody, 3).query) == 0
    empty = Entries(np.empty((0, 5)), np.empty(0, dtype=np.int64))
    assert len(nearest_users(empty, nothing, 3).query) == 0


def test_many_queries_and_entries_of_few_users_equal_brute_force():
    # Entries of a user lie close together: the nearest are all of one user.
    generator = np.random.default_rng(3)
    owner = generator.permutation(np.repeat(np.arange(5), 60))
    taste = 20 * generator.normal(size=(5, 4))
    entries = Entries(unit_vectors((taste[owner] + generator.normal(size=(300, 4))).astype(np.float32)), owner)
    asking = np.arange(60) % 5
    vectors = unit_vectors((taste[asking] + generator.normal(size=(60, 4))).astype(np.float32))
    queries = Queries(vectors, asking, generator.integers(0, 301, 60))
    assert asked(nearest_users(entries, queries, 3)) == brute_force(entries, queries, 3)
