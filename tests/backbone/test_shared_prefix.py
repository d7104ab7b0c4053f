import itertools

import numpy as np
import pytest

from mmsra_pipeline.backbone.shared_prefix import Group, group_by_prefix


def test_candidates_of_one_user_share_that_users_prompt():
    # Two users behind a common header (1 2): three prompts of the first share 5 tokens, two of the second 4.
    first, second = [1, 2, 10, 11, 12], [1, 2, 20, 21]
    tokens = [[*first, 5, 9], [*second, 5, 9], [*first, 6, 9], [*second, 6, 9], [*first, 7, 9]]
    assert group_by_prefix(tokens) == [Group([0, 2, 4], 5), Group([1, 3], 4)]


def test_a_prefix_ends_before_the_first_picture():
    picture = 99
    tokens = [[1, 2, picture, 3, 4], [1, 2, picture, 3, 5]]
    assert group_by_prefix(tokens, stop_at={picture}) == [Group([0, 1], 2)]


def test_equal_prompts_keep_their_last_token_to_be_computed():
    assert group_by_prefix([[1, 2, 3], [1, 2, 3]]) == [Group([0, 1], 2)]


def test_a_prompt_that_begins_another_leaves_both_a_token():
    assert group_by_prefix([[1, 2, 3, 4, 5], [1, 2, 3]]) == [Group([0, 1], 2)]


def test_one_prompt_and_none_are_allowed():
    assert group_by_prefix([]) == []
    assert group_by_prefix([[1, 2]]) == [Group([0], 1)]


def test_a_short_common_header_does_not_swallow_long_common_prefixes():
    header = [1]
    users = [[*header, *range(10 * user, 10 * user + 8)] for user in (1, 2, 3)]
    tokens = [[*user, 500 + item, 0] for user in users for item in range(4)]
    groups = group_by_prefix(tokens)
    assert [group.rows for group in groups] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert {group.shared for group in groups} == {9}


@pytest.mark.parametrize("seed", range(5))
def test_no_division_of_neighbours_saves_more_tokens(seed):
    rng = np.random.default_rng(seed)
    tokens = [[*rng.integers(0, 2, 5).tolist(), 7] for _ in range(7)]
    saved = sum((len(group.rows) - 1) * group.shared for group in group_by_prefix(tokens))

    def shared(rows):
        places = zip(*[row[:-1] for row in rows])
        return len(list(itertools.takewhile(lambda place: len(set(place)) == 1, places)))

    rows, best = sorted(tokens), 0
    for cuts in itertools.product([False, True], repeat=6):
        pieces = np.split(np.arange(7), [place + 1 for place, cut in enumerate(cuts) if cut])
        best = max(best, sum((len(piece) - 1) * shared([rows[row] for row in piece]) for piece in pieces))
    assert saved == best
