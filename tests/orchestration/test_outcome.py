"""What a refresh says that it intends and did, through a real instance with small assets."""

import dagster as dg
import pandas as pd
import pytest
from orchestration.small_graph import MEMORY, SECONDS, small_graph, written

from mmsra_pipeline.orchestration.checks.results import check
from mmsra_pipeline.orchestration.outcome import Planned
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.refresh import refresh

LINE = "user_id,item_id\n"
FEW = dg.AssetCheckSpec("few", asset="judged")
GOOD = dg.AssetCheckSpec("good", asset="judged")


@dg.asset(deps=["interactions"], partitions_def=datasets, code_version="1", check_specs=[FEW, GOOD])
def judged(context: dg.AssetExecutionContext):
    """An asset of whose checks one fails."""
    yield check("few", False, "3 of 10 rows were refused", share=0.3, file="a.csv")
    yield check("good", True, "all is well", warn=True)
    yield written("judged", context.partition_key, pd.DataFrame({"step": [1]}))


@pytest.fixture
def definitions():
    return small_graph()


def became(outcome):
    return {entry.asset: entry.outcome for entry in outcome.assets}


def test_the_plan_is_reported_before_anything_is_computed_with_what_each_took_last(instance, paths, shop, definitions):
    plans = []

    def tell(plan):
        plans.append((plan, len(instance.get_runs())))

    refresh(instance, paths, definitions=definitions, tell=tell)
    shop.write_text(f"{LINE}u2,i2\n")
    outcome = refresh(instance, paths, definitions=definitions, tell=tell)
    refresh(instance, paths, definitions=definitions, tell=tell)  # nothing is to be computed, so nothing is announced
    never = ("was never materialized",)
    assert plans[0] == ([Planned(name, "shop", never, None) for name in ("raw_reviews", "interactions")], 0)
    assert plans[1:] == [(outcome.plan, 1)]
    assert [entry.seconds for entry in outcome.plan] == [SECONDS, SECONDS]


def test_each_asset_that_was_to_be_computed_has_its_outcome_and_cost(instance, paths, shop, definitions):
    first = refresh(instance, paths, definitions=definitions)
    assert became(first) == {"raw_reviews": "computed", "interactions": "computed"}
    assert [entry.peak_memory_gb for entry in first.assets] == [MEMORY, MEMORY]
    assert all(0 < entry.seconds < SECONDS for entry in first.assets)  # as measured now, not as reported last time
    shop.write_text(f"{LINE}u2,i2\n")
    second = refresh(instance, paths, definitions=definitions)
    assert became(second) == {"raw_reviews": "unchanged", "interactions": "skipped"}
    assert second.assets[1].reason == "what it depends on came out as before"
    assert (second.assets[1].seconds, second.assets[1].peak_memory_gb) == (0, None)
    shop.write_text("broken")
    third = refresh(instance, paths, definitions=definitions)
    assert became(third) == {"raw_reviews": "failed", "interactions": "skipped"}
    assert "line 2: column item_id is missing" in third.assets[0].reason
    assert third.assets[1].reason == "waits for what failed; may change with raw_reviews"
    assert refresh(instance, paths, definitions=definitions, dry_run=True).assets == []


def test_a_check_that_failed_is_reported_with_its_numbers_and_where_to_look(instance, paths, shop):
    outcome = refresh(instance, paths, definitions=small_graph(judged))
    assert outcome.failures == []
    [failed] = outcome.failed_checks
    assert (failed.asset, failed.check, failed.severity) == ("judged", "few", "ERROR")
    assert (failed.found, failed.measured) == ("3 of 10 rows were refused", {"share": 0.3})
    assert failed.where == f"`mmsra show judged -d shop`, and run {instance.get_runs()[0].run_id[:8]} in `mmsra ui`"
    assert outcome.checks_have_errors
    assert outcome.as_json()["failed_checks"][0]["measured"] == {"share": 0.3}
    assert not refresh(instance, paths, definitions=small_graph(judged)).checks_have_errors  # nothing was computed
