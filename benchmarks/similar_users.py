"""As-of search for similar users against plain FAISS Flat, which knows neither times nor users.

    python benchmarks/similar_users.py [--users 25000] [--per-user 8] [--dim 64] [--k 50] [--repeats 3]

Both look for neighbours of the same queries among the same entries, one entry per interaction, in turns, so that other
load falls on both alike; the least of each counts. The ratio says what exactness in time costs (goal: at most 1.5).
FAISS gives the nearest entries, which may be of few users; ours gives users. Once all entries are independent, once
those of a user are alike, as prefixes of one history are.
"""

import mmsra_pipeline  # isort: skip  # noqa: F401  (says how threads wait, which must be said before FAISS is loaded)
import argparse
import time
from collections.abc import Callable

import faiss
import numpy as np

from mmsra_pipeline.retrieval.as_of_search import Entries, Queries, nearest_users, unit_vectors

Search = Callable[[Entries, Queries, int], None]
GOAL = 1.5
ALIKE = 0.3  # share of an entry's direction that is its own, the rest is its user's


def problem(users: int, per_user: int, dim: int, own: float) -> tuple[Entries, Queries]:
    """Entries in random order of time, and one query a user, spread evenly over time."""
    generator = np.random.default_rng(0)
    taste = generator.normal(size=(users, dim))
    owner = generator.permutation(np.repeat(np.arange(users), per_user))

    def near(of: np.ndarray) -> np.ndarray:
        vectors = (1 - own) * taste[of] + own * generator.normal(size=(len(of), dim))
        return unit_vectors(vectors.astype(np.float32))

    last = np.sort(generator.integers(0, len(owner), users))
    asking = generator.permutation(users)
    return Entries(near(owner), owner), Queries(near(asking), asking, last)


def flat(entries: Entries, queries: Queries, k: int) -> None:
    """Plain FAISS: all queries against all entries at once."""
    index = faiss.IndexFlatIP(entries.vectors.shape[1])
    index.add(entries.vectors.astype(np.float32))
    index.search(queries.vectors.astype(np.float32), k)


def as_of(entries: Entries, queries: Queries, k: int) -> None:
    """Our search.

    Raises:
        SystemExit: if it finds an entry of the future, or of the user itself.
    """
    found = nearest_users(entries, queries, k)
    if (found.entry >= queries.visible[found.query]).any():
        raise SystemExit("an entry lies in the future of its query: the search is wrong")
    if (entries.users[found.entry] == queries.users[found.query]).any():
        raise SystemExit("a user was found to be its own neighbour: the search is wrong")


def measured(search: Search, entries: Entries, queries: Queries, k: int) -> np.ndarray:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    search(entries, queries, k)
    return np.array([time.perf_counter() - wall, time.process_time() - cpu])


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=25_000)
    parser.add_argument("--per-user", type=int, default=8)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    faiss.omp_set_num_threads(asked.threads)
    print(f"{asked.users} queries, {asked.users * asked.per_user} entries, {asked.dim} dimensions, "
          f"k {asked.k}, {asked.threads} threads, least of {asked.repeats}")  # fmt: skip
    for name, own in (("independent", 1.0), ("alike", ALIKE)):
        entries, queries = problem(asked.users, asked.per_user, asked.dim, own)
        least = {"FAISS Flat, no rule": np.full(2, np.inf), "as of, exact": np.full(2, np.inf)}
        for _ in range(asked.repeats):
            for label, search in zip(least, (flat, as_of), strict=True):
                least[label] = np.minimum(least[label], measured(search, entries, queries, asked.k))
        print(f"entries of a user: {name}")
        for label, (wall, cpu) in least.items():
            print(f"  {label:20} {wall:7.2f} s   CPU {cpu:7.2f} s")
        wall, cpu = least["as of, exact"] / least["FAISS Flat, no rule"]
        print(f"  {'ratio':20} {wall:7.2f}     CPU {cpu:7.2f}     (goal: at most {GOAL})")


if __name__ == "__main__":
    main()
