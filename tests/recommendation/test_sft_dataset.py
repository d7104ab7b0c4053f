import json

import numpy as np
import pandas as pd
import pytest
from recommendation import shop, wide_shop
from recommendation.shop import DAY, context, sequences
from recommendation.wide_shop import ITEMS

from mmsra_pipeline.columns import HISTORY, POSITION, RATING, SPLIT, TARGET, TIME, TRAIN, USER, VALIDATION
from mmsra_pipeline.config.tree import SLOTS, STATED, NegativeShares, RecommendationConfig, TaskWeights
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.interactions.query_sampling import draw_queries, training_queries, validation_queries
from mmsra_pipeline.recommendation import task_prompts
from mmsra_pipeline.recommendation.evidence import evidence_line
from mmsra_pipeline.recommendation.evidence_model import fit_evidence
from mmsra_pipeline.recommendation.queries import queries_of
from mmsra_pipeline.recommendation.sft_dataset import build_sft_dataset, training_lists
from mmsra_pipeline.recommendation.signals import SignalSource
from mmsra_pipeline.retrieval.cooccurrence.index import CooccurrenceIndex
from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder
from mmsra_pipeline.storage.tables import Store

CONFIG = RecommendationConfig(examples=60, min_history=1, validation_lists=12)
LISTS = TaskWeights(yes_no=1, choose=0, next_keywords=0, item_keywords=0)
SOLE = ("sequence",)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return wide_shop.dataset(CONFIG)


def yes_no(table: pd.DataFrame, split: str) -> pd.DataFrame:
    return table[(table["task"] == "yes_no") & (table[SPLIT] == split)]


def items_of(user: str) -> set[str]:
    events = wide_shop.interactions()
    return set(events.loc[events[USER] == user, "item_id"])


def targets() -> dict[tuple[str, str, int], str]:
    rows = wide_shop.sequences()
    return {(split, user, at): item for split, user, at, item in rows[[SPLIT, USER, POSITION, TARGET]].to_numpy()}


def said_evidence(row) -> list[str]:
    """The last line of each of a row's prompts."""
    return [task_prompts.from_json(parts)[-1].splitlines()[-1] for parts in row.prompts]


def test_tasks_have_their_shares(table):
    assert table.loc[table[SPLIT] == TRAIN, "task"].value_counts().to_dict() == {
        "yes_no": 42, "choose": 6, "next_keywords": 4, "item_keywords": 6,
    }  # fmt: skip  # two of the six next items have no keyword to ask for
    assert table["example_id"].tolist() == list(range(len(table)))


def test_a_list_is_what_came_next_and_then_negatives(table):
    for row in table[table["task"] == "yes_no"].itertuples():
        assert row.answers == ["Yes", *["No"] * 7]
        assert row.items[0] == targets()[row.split, row.user_id, row.position]
        assert len(set(row.items)) == len(row.prompts) == len(row.classes) == 8


@pytest.mark.parametrize("number", [1, 3])
def test_the_number_of_negatives_is_a_setting(number):
    found = wide_shop.dataset(CONFIG.model_copy(update={"list_negatives": number}))
    assert set(found.loc[found["task"] == "yes_no", "items"].map(len)) == {1 + number}


def test_pointwise_a_query_has_one_negative():
    found = wide_shop.dataset(CONFIG.model_copy(update={"objective": "pointwise"}))
    assert {tuple(answers) for answers in found.loc[found["task"] == "yes_no", "answers"]} == {("Yes", "No")}


def test_negatives_were_never_taken_in_any_split(table):
    for row in table[table["task"] == "yes_no"].itertuples():
        assert not items_of(row.user_id) & set(row.items[1:])


def test_negatives_come_from_the_first_stage_where_settings_say_so():
    shares = NegativeShares(uniform=0, popularity=0, first_stage=1, first_stage_top=12)
    found = wide_shop.dataset(CONFIG.model_copy(update={"negatives": shares, "tasks": LISTS, "list_negatives": 2}))
    rows = wide_shop.sequences()
    best = wide_shop.first_stage().candidates(rows[rows[SPLIT].isin([TRAIN, VALIDATION])], 12)
    near = best.groupby([USER, POSITION])["item_id"].agg(set)
    drawn = of_first_stage = 0
    for row in found.itertuples():
        left = near[row.user_id, row.position] - items_of(row.user_id)
        if len(left) >= 2:
            drawn += 2
            of_first_stage += len(left & set(row.items[1:]))
    assert drawn == of_first_stage > 50


def test_as_many_negatives_as_positives_were_taken_by_nobody_else_so_that_being_new_tells_nothing():
    # Each of 40 users takes an item of the shelf, then one that nobody else takes; half of them have held-out items.
    shelf, alone = [f"s{n}" for n in range(8)], [f"a{n:02}" for n in range(40)]
    events = [
        (f"u{n:02}", place, item)
        for n in range(40)
        for place, item in enumerate([shelf[n % 8], shelf[(n + 1) % 8], shelf[(n + 3) % 8], alone[n], f"v{n}", f"t{n}"])
    ]
    rows = [
        (
            user,
            {3: TRAIN, 4: VALIDATION, 5: "test"}.get(place, TRAIN),
            place,
            [e[2] for e in events if e[0] == user and e[1] < place],
            item,
            place * DAY,
        )
        for user, place, item in events
        if place >= 1
    ]
    asked = pd.DataFrame(rows, columns=[USER, SPLIT, POSITION, HISTORY, TARGET, TIME]).astype({TIME: "Int64"})
    training = pd.DataFrame(
        [(user, item, place * DAY, float("nan"), place) for user, place, item in events if place <= 3],
        columns=[USER, "item_id", TIME, RATING, POSITION],
    ).astype({TIME: "Int64"})
    share = len(alone) / sum(row[1] == TRAIN for row in rows)
    shares = NegativeShares(uniform=1, popularity=0, first_stage=0)
    config = CONFIG.model_copy(update={"negatives": shares, "tasks": LISTS, "examples": 200, "early_share": 0.0})
    source = SignalSource(
        CooccurrenceIndex.of_training(training, 20),
        shop.encoder(dict.fromkeys(shelf, 1.0)),
        shop.similar_users(),
        keywords={},
        vectors={},
    )
    found = build_sft_dataset(asked, draw_queries(asked, config, 0), training, shop.context(), source, None, config, 0)
    negatives = [item for items in yes_no(found, TRAIN)["items"] for item in items[1:]]
    assert np.mean([item[0] in "vt" for item in negatives]) == pytest.approx(share, abs=0.05)
    held = [item for items in yes_no(found, VALIDATION)["items"] for item in items[1:]]
    assert np.mean([item[0] in "vt" for item in held]) > 0.9  # all of its positives are new


def test_negatives_are_not_too_like_their_positive():
    shares = NegativeShares(near_duplicate=0.05)  # of vectors of random directions half are less alike
    found = wide_shop.dataset(CONFIG.model_copy(update={"negatives": shares, "tasks": LISTS}))
    vectors = wide_shop.VECTORS
    for positive, *negatives in found["items"]:
        assert len(negatives) == 7
        if positive in vectors:
            assert all(vectors[item] @ vectors[positive] < 0.05 for item in negatives if item in vectors)


def test_training_rows_ask_for_training_positions_and_validation_rows_for_validation_ones(table):
    assert set(table[SPLIT]) == {TRAIN, VALIDATION}
    of_user = table[table[USER].notna()]
    for row in of_user.itertuples():
        assert row.items[0] == targets()[row.split, row.user_id, row.position]  # KeyError: of another split
    held = table[table[SPLIT] == VALIDATION]
    assert set(held["task"]) == {"yes_no"}
    assert len(held) == held[USER].nunique() == 12
    assert wide_shop.dataset(CONFIG.model_copy(update={"validation_lists": 0}))[SPLIT].unique().tolist() == [TRAIN]


def test_the_answer_of_a_choice_names_what_came_next(table):
    places = set()
    for row in table[table["task"] == "choose"].itertuples():
        (asked,) = map(task_prompts.from_json, row.prompts)
        lines = "".join(part for part in asked if isinstance(part, str)).splitlines()
        (answer,) = row.answers
        (line,) = [line for line in lines if line.startswith(f"{answer}. ")]
        assert line.startswith(f"{answer}. Thing {row.items[0]}., seq")
        places.add(answer)
    assert len(places) > 1


def test_prompts_say_the_classes_of_their_own_candidate():
    none = CONFIG.model_copy(update={"evidence_dropout": 0.0, "tasks": LISTS})
    # Training queries are answered by encoders that have not seen their user, validation queries by the full one.
    folded = FoldedEncoder(wide_shop.encoder(0), [wide_shop.encoder(1), wide_shop.encoder(2)])
    source = wide_shop.source(folded=folded, evidence=None)
    rows = wide_shop.dataset(none, signals=source)
    queries = {(query.user, query.position): query for query in queries_of(wide_shop.sequences())}
    for row in pd.concat([rows.head(5), rows.tail(3)]).itertuples():
        assert said_evidence(row) == [evidence_line(SLOTS, classes) for classes in row.classes]
        assert said_evidence(row) != said_evidence(row)[::-1]
        asked = queries[row.user_id, row.position]
        (own,), (other,) = (
            source.of([asked], [row.items], training=row.split == split) for split in (TRAIN, VALIDATION)
        )
        assert own.classes.tolist() == row.classes != other.classes.tolist()


def test_a_share_of_the_slots_of_training_lists_is_blank_and_none_of_validation_ones():
    config = CONFIG.model_copy(update={"evidence_dropout": 0.25, "examples": 400, "tasks": LISTS, "list_negatives": 2})
    found = wide_shop.dataset(config)
    slots = blank = 0
    for row in yes_no(found, TRAIN).itertuples():
        lines = [line.split() for line in said_evidence(row)]
        for slot in zip(*lines):
            assert len({word.endswith("-") for word in slot}) == 1  # of all candidates of a list, or of none
            slots, blank = slots + 1, blank + slot[0].endswith("-")
        assert all(value >= 0 for own in row.classes for value in own)  # what a regression reads is whole
    assert slots == 3600
    assert abs(blank / slots - 0.25) < 0.025  # three standard errors
    assert not any("-" in line for row in yes_no(found, VALIDATION).itertuples() for line in said_evidence(row))


def test_the_evidence_of_choices_is_blanked_too():
    tasks = TaskWeights(yes_no=1, choose=9, next_keywords=0, item_keywords=0)
    found = wide_shop.dataset(CONFIG.model_copy(update={"evidence_dropout": 0.5, "tasks": tasks}))
    options = [
        line
        for asked in found.loc[found["task"] == "choose", "prompts"]
        for line in task_prompts.from_json(asked[0])[0].splitlines()
        if line[:3] in {"A. ", "B. "}
    ]
    assert 0.3 < np.mean(["seq-" in line for line in options]) < 0.7


def test_prompts_show_the_history_before_the_position_and_nothing_after():
    found = shop.examples(40)
    rows = sequences().query(f"{SPLIT} == '{TRAIN}'").reset_index(drop=True)
    prefixes = {(query.user, query.position): task_prompts.user_part(context(), query) for query in queries_of(rows)}
    assert prefixes["u1", 2].splitlines()[1:3] == ["1. red, mug, gift", "2. tea, pot"]
    training = found[found[USER].notna() & (found[SPLIT] == TRAIN)]
    assert len(training) > 20
    for row in training.itertuples():
        for asked in row.prompts:
            first = task_prompts.from_json(asked)[0]
            assert first.startswith(prefixes[row.user_id, row.position] + "\n")
            assert sum(line[:2] in {"1.", "2.", "3."} for line in first.splitlines()) == row.position


def test_a_user_who_took_nearly_all_there_is_gets_a_shorter_list_and_one_who_took_all_none():
    found = shop.examples(40, list_negatives=5)  # of the six items that training saw u2 left one
    found = found[found["task"] == "yes_no"]
    seen = found["items"].map(lambda items: len(set(items[1:]) - {"bag"}))  # training never saw the bag
    assert seen.groupby(found[USER]).agg(set).to_dict() == {"u1": {2}, "u2": {1}, "u3": {2}, "u4": {1}}
    rows = sequences()
    rows.loc[rows[USER] == "u2", HISTORY] = rows[HISTORY].map(lambda items: [*items, "chair", "bag"])
    config = RecommendationConfig(examples=40, min_history=1, negatives={"first_stage": 0})
    without = build_sft_dataset(
        rows, draw_queries(rows, config, 0), shop.training(), context(), shop.source(), None, config, 0
    )
    assert set(without.loc[without["task"] == "yes_no", USER]) == {"u1", "u3", "u4"}


def test_the_same_seed_gives_the_same_examples_and_another_one_others(table):
    pd.testing.assert_frame_equal(wide_shop.dataset(CONFIG), table)
    other = wide_shop.dataset(CONFIG, seed=1)
    assert not other["prompts"].equals(table["prompts"])
    assert set(yes_no(other, VALIDATION)[USER]) != set(yes_no(table, VALIDATION)[USER])


def test_row_order_of_the_inputs_changes_nothing(table):
    shuffled = build_sft_dataset(
        wide_shop.sequences().iloc[::-1],
        draw_queries(wide_shop.sequences().iloc[::-1], CONFIG, 0),
        wide_shop.training().sample(frac=1, random_state=0),
        wide_shop.context(),
        wide_shop.source(),
        wide_shop.first_stage(),
        CONFIG,
        0,
    )
    pd.testing.assert_frame_equal(shuffled, table)


def test_the_table_survives_its_way_through_the_store(table, tmp_path):
    store = Store(tmp_path)
    store.replace("sft_dataset", "shop", table)
    again = store.read("sft_dataset", "shop")
    for name in ("prompts", "answers", "items"):
        assert [list(value) for value in again[name]] == table[name].tolist()
    assert [[list(own) for own in value] for value in again["classes"]] == table["classes"].tolist()
    pd.testing.assert_frame_equal(training_lists(again), training_lists(table))


def test_training_lists_are_the_candidates_of_training_queries_with_their_classes(table):
    found, rows = training_lists(table), yes_no(table, TRAIN)
    assert found.columns.tolist() == ["list_id", "is_target", *(f"class_{slot}" for slot in SLOTS)]
    assert len(found) == 42 * 8
    for number, (_, row) in enumerate(rows.iterrows()):
        own = found[found["list_id"] == number]
        assert own["is_target"].tolist() == [True, *[False] * 7]
        assert own.iloc[:, 2:].to_numpy().tolist() == row["classes"]


def test_what_sums_up_the_evidence_is_fitted_on_the_training_lists_alone():
    folded = FoldedEncoder(wide_shop.encoder(0), [wide_shop.encoder(1), wide_shop.encoder(2)])
    source = wide_shop.source(folded=folded, evidence=None)
    found = wide_shop.dataset(CONFIG, signals=source)
    assert source.evidence == fit_evidence(training_lists(found), STATED)
    assert len({own[-1] for classes in yes_no(found, TRAIN)["classes"] for own in classes}) > 5
    again = wide_shop.dataset(CONFIG, signals=source)  # what it was before has no say
    pd.testing.assert_frame_equal(again, found)


def test_prompts_that_do_not_sum_up_fit_nothing_and_those_that_do_only_what_they_say():
    source = wide_shop.source(evidence=None)
    wide_shop.dataset(CONFIG, signals=source, evidence=("sequence", "votes"))
    assert source.evidence is None
    wide_shop.dataset(CONFIG, signals=source, evidence=("all", "votes", "sequence"))
    assert source.evidence is not None
    assert source.evidence.slots == ("votes", "sequence")


def test_what_sums_up_alone_sums_up_what_is_not_shown():
    source = wide_shop.source(evidence=None)
    wide_shop.dataset(CONFIG, signals=source, evidence=("all",))
    assert source.evidence is not None
    assert source.evidence.slots == STATED


def test_training_lists_of_no_rows_are_empty(table):
    assert len(training_lists(table.iloc[:0])) == 0


def test_examples_hold_prompts_as_lists_of_parts(table):
    for row in table.itertuples():
        assert all(isinstance(json.loads(asked), list) for asked in row.prompts)
    of_items = table[table["task"] == "item_keywords"]
    assert of_items[USER].isna().all()
    assert {item for items in of_items["items"] for item in items} <= set(ITEMS)


def test_queries_are_training_rows_and_short_histories_come_last():
    config = RecommendationConfig(examples=4, min_history=2, tasks=LISTS)
    found = training_queries(sequences(), config, 0)
    assert len(found) == 4
    assert set(found[SPLIT]) == {TRAIN}
    assert found[HISTORY].map(len).tolist() == [2, 2, 2, 2]
    more = training_queries(sequences(), config.model_copy(update={"examples": 100}), 0)
    assert len(more) == 8  # all there are


def test_the_earliest_positions_come_last():
    config = RecommendationConfig(examples=4, min_history=1, early_share=0.6, tasks=LISTS)
    # Training targets by day: u1 2, 3; u2 3, 4; u3 5, 6; u4 2, 3. The four latest are of u2 (4), u3 and one of day 3.
    days = (training_queries(sequences(), config, 0)["timestamp"] // DAY).sort_values().tolist()
    assert days == [3, 4, 5, 6]
    untimed = sequences().assign(timestamp=pd.array([pd.NA] * len(sequences()), dtype="Int64"))
    assert len(training_queries(untimed, config, 0)) == 4


def test_training_users_bound_whose_positions_are_used():
    config = CONFIG.model_copy(update={"training_users": 2})
    assert training_queries(sequences(), config, 0)[USER].nunique() == 2


def test_validation_queries_are_a_sample_of_the_validation_rows():
    rows = wide_shop.sequences()
    found = validation_queries(rows, CONFIG, 0)
    assert set(found[SPLIT]) == {VALIDATION}
    assert len(found) == 12
    pd.testing.assert_frame_equal(found, validation_queries(rows.iloc[::-1], CONFIG, 0))
    assert len(validation_queries(rows, CONFIG.model_copy(update={"validation_lists": 1000}), 0)) == 48  # one a user


def test_a_dataset_without_training_rows_is_refused():
    held_out = sequences().query(f"{SPLIT} != '{TRAIN}'")
    with pytest.raises(DataError, match=r"no row of the split 'train'.*Lower `interactions.user_core`"):
        training_queries(held_out, CONFIG, 0)
