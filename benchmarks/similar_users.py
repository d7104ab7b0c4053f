"""As-of search for similar users against plain FAISS Flat, which knows neither times nor users.

Both look for neighbours of the same random queries among the same entries, one entry per interaction. The ratio says
what exactness in time costs. Usage: ``python benchmarks/similar_users.py [--users 25000] [--per-user 8] [--dim 64]``.
"""

import argparse
import time

import faiss
import numpy as np

from mmsra_pipeline.retrieval.as_of_search import Entries, Queries, nearest_users, unit_vectors


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=25_000)
    parser.add_argument("--per-user", type=int, default=8)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--k", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    faiss.omp_set_num_threads(arguments.threads)
    generator = np.random.default_rng(0)
    count = arguments.users * arguments.per_user
    vectors = unit_vectors(generator.normal(size=(count, arguments.dim)).astype(np.float32))
    asked = unit_vectors(generator.normal(size=(arguments.users, arguments.dim)).astype(np.float32))
    entries = Entries(vectors, generator.integers(0, arguments.users, count))
    last = np.sort(generator.integers(0, count, arguments.users))  # queries spread evenly over time
    queries = Queries(asked, np.arange(arguments.users), last)

    start = time.perf_counter()
    index = faiss.IndexFlatIP(arguments.dim)
    index.add(vectors.astype(np.float32))
    index.search(asked.astype(np.float32), arguments.k)
    flat = time.perf_counter() - start

    start = time.perf_counter()
    matches = nearest_users(entries, queries, arguments.k)
    as_of = time.perf_counter() - start
    if (matches.entry >= last[matches.query]).any():
        raise SystemExit("an entry lies in the future of its query: the search is wrong")

    print(f"{arguments.users} queries, {count} entries, {arguments.dim} dimensions, {arguments.threads} threads")
    print(f"FAISS Flat, no rule  {flat:8.2f} s")
    print(f"as of, exact         {as_of:8.2f} s")
    print(f"ratio                {as_of / flat:8.2f}")


if __name__ == "__main__":
    main()
