from retrieval.histories import interactions_of

from mmsra_pipeline.retrieval.popularity import popularity


def test_items_are_counted_in_the_order_asked_and_unknown_ones_are_zero():
    training = interactions_of({"u": ["a", "b"], "v": ["b"]})
    counts = popularity(training, ["new", "b", "a", "b"])
    assert counts.tolist() == [0, 2, 1, 2]
    assert counts.index.tolist() == ["new", "b", "a", "b"]
