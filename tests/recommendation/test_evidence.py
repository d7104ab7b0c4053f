import pandas as pd
import pytest
from recommendation.shop import DAY, index, training

from mmsra_pipeline.columns import ITEM, POSITION, TIME, USER
from mmsra_pipeline.config import CooccurrenceConfig
from mmsra_pipeline.recommendation.evidence import CandidateEvidence, EvidenceSource, evidence_words
from mmsra_pipeline.retrieval.cooccurrence_index import CooccurrenceIndex


def source() -> EvidenceSource:
    return EvidenceSource(index(), training())


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (CandidateEvidence(0, 0, 0, "new", 0), "Taken soon after none of these. Popularity: new."),
        (
            CandidateEvidence(2, 1, 1, "low", 2),
            "Taken soon after 2 of these by one user, right after the latest by one user. Popularity: low, 2 of 10.",
        ),
        (
            CandidateEvidence(1, 3, 0, "high", 9),
            "Taken soon after 1 of these by a few users, right after the latest by nobody. Popularity: high, 9 of 10.",
        ),
        (
            CandidateEvidence(4, 9, 8, "very high", 10),
            "Taken soon after 4 of these by many users, right after the latest by several users. "
            "Popularity: very high, 10 of 10.",
        ),
    ],
)
def test_evidence_is_said_in_coarse_words(evidence, words):
    assert evidence_words(evidence) == words


def test_who_took_it_soon_and_who_right_after_the_latest_item():
    # ball came two after the mug and right after the pot for u1; nobody else took it after either.
    found = source().of(["mug", "pot"], "ball", before=None, user="u9")
    assert (found.history_items, found.users, found.next_users) == (2, 1, 1)
    turned = source().of(["pot", "mug"], "ball", before=None, user="u9")
    assert (turned.history_items, turned.users, turned.next_users) == (2, 1, 0)


def test_the_users_own_events_and_later_ones_do_not_count():
    assert source().of(["mug", "pot"], "ball", before=None, user="u1")[:3] == (0, 0, 0)
    assert source().of(["mug", "pot"], "ball", before=3 * DAY, user="u9")[:3] == (0, 0, 0)  # u1 took it on day 3
    assert source().of(["mug", "pot"], "ball", before=4 * DAY, user="u9")[:3] == (2, 1, 1)


def test_popularity_is_graded_by_the_share_of_items_that_more_users_took():
    # Four items taken by 4, 3, 2 and 2 users: shares 0, 1/4, 1/2, 1/2 of them are more popular.
    takers = {"a": 4, "b": 3, "c": 2, "d": 2}
    rows = [(f"u{user}", item, 0, user) for item, count in takers.items() for user in range(count)]
    table = pd.DataFrame(rows, columns=[USER, ITEM, TIME, POSITION]).sort_values([USER, ITEM])
    table[POSITION] = table.groupby(USER).cumcount()
    graded = EvidenceSource(CooccurrenceIndex(table, CooccurrenceConfig()), table)
    grades = {item: graded.of([], item, before=None, user="u9").grade for item in [*takers, "unknown"]}
    assert grades == {"a": 10, "b": 8, "c": 5, "d": 5, "unknown": 0}
