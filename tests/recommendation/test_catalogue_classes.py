import numpy as np
import pytest

from mmsra_pipeline.recommendation.catalogue_classes import Ordered, classes_of


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 1, 2, 7, 200, 3000])
@pytest.mark.parametrize("distinct", [1, 5, 10**6])
def test_the_catalogues_own_classes_are_those_of_its_values_one_by_one(dtype, size, distinct):
    generator = np.random.default_rng([size, distinct])
    values = (generator.integers(-distinct, distinct, size) / 7).astype(dtype)
    values[generator.random(size) < 0.3] = np.nan
    assert Ordered(values).classes().tolist() == classes_of(values, values).tolist()
    if size == 3000 and distinct > 5:
        assert set(Ordered(values).classes().tolist()) == set(range(2, 10)) | {0}


def test_where_nothing_is_known_all_are_of_class_0():
    assert Ordered(np.full(3, np.nan)).classes().tolist() == [0, 0, 0]
