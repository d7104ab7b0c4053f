"""The assets of the first stage on the tiny sample store, and what their checks say."""

import dagster as dg
import pytest

from mmsra_pipeline.columns import Tables
from mmsra_pipeline.defs.interactions import interactions, raw_reviews, sequences
from mmsra_pipeline.defs.resources import Installation
from mmsra_pipeline.ingest import delimited
from mmsra_pipeline.interactions.measures import InteractionMeasures
from mmsra_pipeline.orchestration.interaction_checks import NAMES, interaction_checks
from mmsra_pipeline.storage.tables import Store

TIMED = InteractionMeasures(
    interactions=10, repeated_pairs=0, known_items=9, strange_times=0, earliest="2001-02-03", latest="2004-05-06"
)


def results(**changes):
    fields = {name: getattr(TIMED, name) for name in TIMED.__dataclass_fields__}
    return {result.check_name: result for result in interaction_checks(InteractionMeasures(**fields | changes))}


def failed(**changes) -> set[str]:
    return {name for name, result in results(**changes).items() if not result.passed}


def test_sound_data_pass_all_checks():
    assert failed() == set()
    assert tuple(results()) == NAMES


def test_repeated_pairs_are_an_error_and_the_others_a_warning():
    found = results(repeated_pairs=2, known_items=4, strange_times=1)
    assert {name: str(result.severity.value) for name, result in found.items() if not result.passed} == {
        "unique_pairs": "ERROR", "known_items": "WARN", "sane_times": "WARN",
    }  # fmt: skip
    assert "2 pairs of user and item have more than one row" in found["unique_pairs"].description
    assert "4 of 10 interactions (40.0%)" in found["known_items"].description


def test_nine_of_ten_interactions_must_be_of_items_that_are_described():
    assert failed(known_items=9) == set()
    assert failed(known_items=8) == {"known_items"}


def test_ids_of_both_sides_are_shown_where_they_do_not_fit():
    found = results(known_items=4, only_reviewed=("1",), only_described=("01",), alike=(("1", "01"),))["known_items"]
    assert "Reviews alone have '1'; the metadata alone have '01'" in found.description
    assert "may be the same items, so ids of one file were changed on the way: '1' and '01'" in found.description
    assert "name items by the same id" in results(known_items=4)["known_items"].description


def test_times_that_many_interactions_of_a_user_share_are_reported():
    assert failed(tied=5) == set()
    assert "6 of 10 interactions (60.0%) share their time" in results(tied=6)["sane_times"].description
    assert failed(tied=6) == {"sane_times"}


def test_the_times_check_says_the_earliest_and_the_latest_date():
    assert "earliest is of 2001-02-03, the latest of 2004-05-06" in results()["sane_times"].description
    strange = results(strange_times=3, earliest="1970-01-20")["sane_times"]
    assert not strange.passed
    assert "3 of 10 interactions lie before 1995 or after tomorrow" in strange.description
    assert "seconds or milliseconds" in strange.description


def test_data_without_times_pass_with_a_note():
    found = results(earliest=None, latest=None)["sane_times"]
    assert found.passed
    assert "no times" in found.description


@pytest.fixture(scope="module")
def materialized(tmp_path_factory):
    """The root, and the result of one run of the three assets."""
    root = tmp_path_factory.mktemp("root")
    (root / "datasets").mkdir()
    (root / "datasets" / "shop.yaml").write_text("format: sample\nsize: tiny\n")
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv("MMSRA_ROOT", str(root))
        instance.add_dynamic_partitions("dataset", ["shop"])
        yield (
            root,
            dg.materialize(
                [raw_reviews, interactions, sequences],
                instance=instance,
                partition_key="shop",
                resources={"mmsra": Installation()},
            ),
        )


def metadata(result, asset):
    [event] = [event for event in result.get_asset_materialization_events() if event.asset_key == dg.AssetKey(asset)]
    return event.materialization.metadata


def test_the_run_reports_checks_funnel_times_and_plot(materialized):
    _, result = materialized
    passed = {found.check_name: found.passed for found in result.get_asset_check_evaluations()}
    assert {name: passed[name] for name in NAMES} == dict.fromkeys(NAMES, True)
    reported = metadata(result, Tables.INTERACTIONS)
    steps = [record.data["step"] for record in reported["funnel"].value.records]
    assert steps[:3] == ["source", "exact_duplicates", "repeated_pairs"]
    assert steps[3] == "k_core round 1"
    assert reported["earliest"].value < reported["latest"].value
    assert "plot_file" in reported


def test_the_counts_of_queries_are_those_of_the_table(materialized):
    root, result = materialized
    counts = metadata(result, Tables.SEQUENCES)["queries"].value
    stored = Store(root / "data").read(Tables.SEQUENCES, "shop")
    assert counts == stored["split"].value_counts().to_dict()
    assert set(counts) == {"train", "validation", "test", "serve"}


def test_the_bounds_of_training_leave_the_held_out_targets_alone(materialized):
    root, _ = materialized
    store = Store(root / "data")
    bounds = store.read(Tables.TRAINING_BOUNDS, "shop").set_index("user_id")["bound"]
    stored = store.read(Tables.SEQUENCES, "shop")
    held_out = stored[stored["split"].isin(["validation", "test"])]
    assert (held_out["position"] >= held_out["user_id"].map(bounds).fillna(0)).all()


def test_the_second_night_takes_over_what_was_read_and_gives_what_a_reading_from_nothing_gives(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "CHUNK_ROWS", 200)
    rows = [f"u{place % 97},p{place % 13},2024-01-17T12:00:{place % 60:02},4\n" for place in range(1500)]
    versions, read_before = [], []
    for root, counts in ((tmp_path / "nights", (1400, 1500)), (tmp_path / "anew", (1500,))):
        (root / "datasets").mkdir(parents=True)
        (root / "datasets" / "shop.yaml").write_text(
            "format: tables\npath: ..\ninteractions: i.csv\nitems: items.csv\n"
        )
        (root / "items.csv").write_text("item_id,title\np1,Lamp\n")
        monkeypatch.setenv("MMSRA_ROOT", str(root))
        for count in counts:
            (root / "i.csv").write_text("user_id,item_id,timestamp,rating\n" + "".join(rows[:count]))
            with dg.DagsterInstance.ephemeral() as instance:
                instance.add_dynamic_partitions("dataset", ["shop"])
                result = dg.materialize(
                    [raw_reviews], instance=instance, partition_key="shop", resources={"mmsra": Installation()}
                )
            read_before.append(metadata(result, Tables.RAW_REVIEWS)["reviews read before"].value)
        store = Store(root / "data")
        versions.append([store.current(name, "shop").version for name in (Tables.RAW_REVIEWS, Tables.REJECTS)])
    assert read_before == [0, 800, 0]
    assert versions[0] == versions[1]


def test_refused_rows_are_named_before_the_filter_that_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "shop.yaml").write_text(
        "format: tables\npath: ..\ninteractions: i.csv\nitems: items.csv\n"
    )
    times = ["17.01.2024 at noon"] * 12 + ["2024-01-17 12:00:00"] * 3
    rows = "".join(f"u{place},p1,{time}\n" for place, time in enumerate(reversed(times)))
    (tmp_path / "i.csv").write_text("user_id,item_id,timestamp\n" + rows)
    (tmp_path / "items.csv").write_text("item_id,title\np1,Lamp\n")
    monkeypatch.setenv("MMSRA_ROOT", str(tmp_path))
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("dataset", ["shop"])
        result = dg.materialize(
            [raw_reviews, interactions], instance=instance, partition_key="shop",
            resources={"mmsra": Installation()}, raise_on_error=False,
        )  # fmt: skip
    [failure] = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    assert "12 rows (80.0%) of the source were refused, so few are left. Fix these first: i.csv, line 5:" in str(
        failure
    )
    assert str(failure).count("17.01.2024 at noon") == 3
    assert "Then: no interaction is left after step 'k_core round 1'" in str(failure)
