import numpy as np
import pytest

from mmsra_pipeline.retrieval import approximate_search
from mmsra_pipeline.retrieval.approximate_search import ApproximateEntries
from mmsra_pipeline.retrieval.as_of_search import Entries, Queries, nearest_users, unit_vectors


def problem(users: int = 60, per_user: int = 30, dim: int = 16):
    generator = np.random.default_rng(0)
    taste = generator.normal(size=(users, dim))
    owner = generator.permutation(np.repeat(np.arange(users), per_user))
    near = lambda of: unit_vectors((taste[of] + 0.7 * generator.normal(size=(len(of), dim))).astype(np.float32))  # noqa: E731
    asking = generator.permutation(users)
    return near(owner), owner, Queries(near(asking), asking, generator.integers(0, len(owner) + 1, users))


@pytest.fixture
def searched(monkeypatch):
    """Entries in several cells and blocks, what was found, and the query."""
    monkeypatch.setattr(approximate_search, "PER_CELL", 100)
    monkeypatch.setattr(approximate_search, "TOGETHER", 7)
    monkeypatch.setattr(approximate_search, "PROBES", 12)
    monkeypatch.setattr(approximate_search, "PROPOSALS", 30)
    vectors, owner, queries = problem()
    entries = ApproximateEntries(vectors, len(owner), owner)
    order = np.random.default_rng(1).permutation(len(owner))
    for part in np.array_split(order, 5):
        entries.add(vectors[part], part)
    return vectors, owner, queries, entries


def test_nothing_from_the_future_and_nobody_himself_is_found_and_each_user_once(searched):
    _, owner, queries, entries = searched
    found = entries.nearest_users(queries, 10)
    assert len(found.query) > 300
    assert (found.entry < queries.visible[found.query]).all()
    assert (owner[found.entry] != queries.users[found.query]).all()
    pairs = np.stack([found.query, owner[found.entry]], axis=1)
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    for query in np.unique(found.query):
        own = found.query == query
        assert found.rank[own].tolist() == list(range(1, own.sum() + 1))
        assert (np.diff(found.cosine[own]) <= 0).all()


def test_most_of_what_the_exact_search_finds_is_found_and_cosines_are_near(searched):
    vectors, owner, queries, entries = searched
    exact = nearest_users(Entries(vectors, owner), queries, 5)
    found = entries.nearest_users(queries, 5)
    wanted = set(zip(exact.query.tolist(), owner[exact.entry].tolist()))
    same = wanted & set(zip(found.query.tolist(), owner[found.entry].tolist()))
    assert len(same) / len(wanted) > 0.8
    true = (vectors[found.entry] * queries.vectors[found.query]).sum(axis=1)
    np.testing.assert_allclose(found.cosine, true, atol=0.02)
    assert 0.8 < entries.recall(queries, 5) <= 1


def test_zero_vectors_find_nobody_and_are_found_by_nobody(searched):
    vectors, owner, queries, _ = searched
    vectors, asked = vectors.copy(), queries.vectors.copy()
    vectors[owner == 3], asked[:4] = 0, 0
    entries = ApproximateEntries(vectors[owner != 3], len(owner), owner)
    entries.add(vectors, np.arange(len(owner)))
    found = entries.nearest_users(Queries(asked, queries.users, queries.visible), 10)
    assert 3 not in owner[found.entry]
    assert found.query.min() >= 4
    nobody = Queries(asked[:4], queries.users[:4], queries.visible[:4])
    assert len(entries.nearest_users(nobody, 10).query) == 0
