"""Which prompts are computed together, so that most tokens are computed once."""

import itertools
from collections.abc import Collection, Sequence
from typing import NamedTuple

LARGEST_GROUP = 256


class Group(NamedTuple):
    """Prompts, as places in the list given, and how many first tokens they share."""

    rows: list[int]
    shared: int


def group_by_prefix(tokens: Sequence[Sequence[int]], *, stop_at: Collection[int] = ()) -> list[Group]:
    """Divide prompts into groups so that sharing each group's longest common prefix saves the most tokens.

    A group of n prompts that share s tokens saves (n - 1) s. Prompts are put in the order of their tokens first, so
    the order in which they come does not matter.

    Args:
        tokens: token ids of each prompt, at least one each.
        stop_at: tokens that no prefix may hold (pictures). Every prompt keeps at least its last token, too.

    >>> group_by_prefix([[1, 2, 3, 7], [5, 6, 7], [1, 2, 3, 8], [5, 6, 9]])
    [Group(rows=[0, 2], shared=3), Group(rows=[1, 3], shared=2)]
    """
    usable = [_usable(row, stop_at) for row in tokens]
    order = sorted(range(len(tokens)), key=lambda row: (list(usable[row]), row))
    # Prefixes of neighbours in this order: a group's shared prefix is the least of those inside it.
    common = [_common(usable[left], usable[right]) for left, right in itertools.pairwise(order)]
    saved, start_of = [0], [0]
    for end in range(1, len(order) + 1):
        best, start = saved[end - 1], end - 1
        least = len(usable[order[end - 1]])
        for begin in range(end - 2, max(end - 1 - LARGEST_GROUP, -1), -1):
            least = min(least, common[begin])
            value = saved[begin] + (end - begin - 1) * least
            if value > best:
                best, start = value, begin
        saved.append(best)
        start_of.append(start)
    return _groups(order, usable, common, start_of)


def _groups(order: list[int], usable: list[Sequence[int]], common: list[int], start_of: list[int]) -> list[Group]:
    groups = []
    end = len(order)
    while end:
        begin = start_of[end]
        rows = order[begin:end]
        shared = min(common[begin : end - 1], default=len(usable[rows[0]]))
        groups.append(Group(sorted(rows), shared))
        end = begin
    return groups[::-1]


def _usable(row: Sequence[int], stop_at: Collection[int]) -> Sequence[int]:
    end = next((place for place, token in enumerate(row) if token in stop_at), len(row))
    return row[: min(end, len(row) - 1)]


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    return next((place for place, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
