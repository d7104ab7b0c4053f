import pandas as pd
import pytest

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.config.tree import Config
from mmsra_pipeline.orchestration.checks.again import stored_checks
from mmsra_pipeline.orchestration.checks.scores import form_check, p_varies
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.storage.paths import Paths


@pytest.mark.parametrize(
    ("formed", "passed", "severity"),
    [(19, True, "WARN"), (18, False, "WARN"), (16, False, "WARN"), (15, False, "ERROR")],
)
def test_few_keywords_in_form_warn_and_fewer_than_four_fifths_block(formed, passed, severity):
    found = form_check(pd.Series([True] * formed + [False] * (20 - formed)))
    assert (found.passed, found.severity.value) == (passed, severity)
    assert ("Raise summarization.max_new_tokens" in found.description) != passed


def test_the_form_of_the_staged_keywords_is_looked_at(tmp_path):
    stage = Stage(Tables.ITEM_KEYWORDS, "shop", "", "", Config(), Paths(tmp_path))
    stage.store.replace(Tables.ITEM_KEYWORDS, "shop", pd.DataFrame({"well_formed": [True]}))
    stage.write(Tables.ITEM_KEYWORDS, pd.DataFrame({"well_formed": [False]}))
    assert [one.passed for one in stored_checks(stage) if one.check_name == "keywords_have_their_form"] == [False]


@pytest.mark.parametrize("values", [[0.5, 0.5, 0.5], [0.5, 0.5 + 1e-7], [0.1, float("nan")], [0.1, float("inf")]])
def test_a_p_that_tells_nothing_blocks(values):
    found = p_varies(pd.Series(values))
    assert (found.passed, found.severity.value) == (False, "ERROR")
    assert "tells no candidate from another" in found.description


@pytest.mark.parametrize("values", [[0.5, 0.51], [0.5], []])
def test_a_p_that_differs_or_has_nothing_to_differ_from_passes(values):
    assert p_varies(pd.Series(values, dtype=float)).passed


def test_p_of_the_staged_candidates_is_looked_at(tmp_path):
    stage = Stage(Tables.FUSION, "shop", "", "", Config(), Paths(tmp_path))
    stage.write(Tables.FUSION, pd.DataFrame({"value": [1.0]}))
    stage.write(Tables.VALIDATION_CANDIDATES, pd.DataFrame({"p": [0.3, 0.3]}))
    assert [one.passed for one in stored_checks(stage) if one.check_name == "p_is_not_constant"] == [False]
