import numpy as np

from mmsra_pipeline.summarization.quality.keyword_retrieval import places

UNIT = np.eye(4, dtype=np.float32)


def test_the_rank_counts_texts_that_are_more_alike_and_half_of_those_that_are_as_alike():
    texts = UNIT[[0, 1, 1, 1, 2]]
    keywords = np.stack([UNIT[0], UNIT[1], (UNIT[0] * 4 + UNIT[2] * 3) / 5])
    found = places(keywords, texts, [0, 1, 4])
    assert found.rank.tolist() == [1, 2, 2]  # alone; one of three twins; behind another's
    assert found.hits(1).round(6).tolist() == [1, round(1 / 3, 6), 0]
    assert found.hits(2).round(6).tolist() == [1, round(2 / 3, 6), 1]


def test_no_keyword_ranks_as_a_guess_and_no_text_not_at_all():
    texts = np.concatenate([UNIT[:3], np.zeros((1, 4), np.float32)])
    found = places(np.stack([UNIT[0] * 0, UNIT[1], UNIT[2]]), texts, [0, 3, None])
    assert found.rank[0] == 2  # of three texts: the fourth is in no list
    assert found.hits(1)[0] == 1 / 3
    assert np.isnan(found.rank[1:]).all()
    assert np.isnan(found.hits(5)[1:]).all()


def test_parts_give_what_the_whole_gives():
    generator = np.random.default_rng(0)
    keywords, texts = (generator.normal(size=(50, 8)).astype(np.float32) for _ in range(2))
    keywords /= np.linalg.norm(keywords, axis=1, keepdims=True)
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    whole = places(keywords, texts, list(range(50)))
    expected = 1 + (keywords @ texts.T > np.sum(keywords * texts, axis=1)[:, None] + 1e-6).sum(axis=1)
    assert whole.rank.tolist() == expected.tolist()
    assert places(keywords, texts, list(range(50)), cells=101).rank.tolist() == expected.tolist()
