"""Packs what a recommender is trained on and asked, for a machine with a GPU that has nothing else.

    python benchmarks/ranking_study/prepare.py --dataset movielens --out FOLDER [--seed 1]

Reads a root (MMSRA_ROOT) refreshed up to `similar_users` and `item_keywords`, with the settings that MMSRA_CONFIG
names; `recommendation.examples`, `recommendation.validation_lists`, `evaluation.users` and
`evaluation.validation_users` may be larger than those of the refresh. Prompts must show no picture. Writes:

- `sft_dataset.parquet`: the table of that name.
- `asked.parquet`: user_id, position, items and prompts of every list of validation and test queries.
- `candidates.parquet`: those lists with signals, and `queries.parquet`: stay here, for `measure.py`.

`--seed` draws other queries, negatives and lists. The sequential model and all before it are those of the root.
"""

import argparse
import time
from pathlib import Path

import pandas as pd

from mmsra_pipeline.columns import ITEM, POSITION, SPLIT, TEST, TRAIN, USER, VALIDATION, Tables
from mmsra_pipeline.errors import ConfigError
from mmsra_pipeline.evaluation.lists import all_lists, sample_queries
from mmsra_pipeline.interactions.query_sampling import asked_of, draw_queries
from mmsra_pipeline.orchestration import recommender_inputs
from mmsra_pipeline.orchestration.queries import queries as stage_queries
from mmsra_pipeline.orchestration.queries import with_histories
from mmsra_pipeline.orchestration.settings_read import dataset_config
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.recommendation import task_prompts
from mmsra_pipeline.recommendation.columns import class_column
from mmsra_pipeline.recommendation.queries import queries_of
from mmsra_pipeline.recommendation.scoring import with_signals
from mmsra_pipeline.recommendation.sft_dataset import SLOTS, build_sft_dataset
from mmsra_pipeline.retrieval.similar_users import find_similar_users
from mmsra_pipeline.storage.paths import find_paths


def main() -> None:
    """Pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int)
    asked = parser.parse_args()
    config, began = dataset_config(find_paths(), asked.dataset), time.monotonic()
    if config.recommendation.prompt.candidate_image:
        raise ConfigError(
            "prompts show pictures, which are not packed. Set recommendation.prompt.candidate_image: false"
        )
    seed = config.seed if asked.seed is None else asked.seed
    stage = Stage("rankings", asked.dataset, "", "", config, find_paths())
    sequences = with_histories(stage, stage_queries(stage))
    drawn = draw_queries(sequences, config.recommendation, seed)
    held = sequences[sequences[SPLIT].isin((VALIDATION, TEST))]
    similar = find_similar_users(
        recommender_inputs.user_encoder(stage),
        sequences,
        pd.concat([asked_of(sequences, drawn, TRAIN), held], ignore_index=True),
        config.retrieval.similar_users,
    )
    # Of more queries than the root has similar users of.
    recommender_inputs.similar_rows = lambda *_: similar
    index = recommender_inputs.cooccurrence_index(stage)
    first_stage = recommender_inputs.first_stage(stage, index, sequences)
    context = recommender_inputs.prompt_context(stage, sequences, pictures=False)
    training = stage.training_interactions()
    signals = recommender_inputs.signal_source(stage, sequences, fitted=False)
    rows = build_sft_dataset(sequences, drawn, training, context, signals, first_stage, config.recommendation, seed)
    asked.out.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(asked.out / "sft_dataset.parquet", compression="zstd", compression_level=12)
    print(f"sft_dataset: {len(rows)} rows, {time.monotonic() - began:.0f} s", flush=True)
    interactions, parts, every = stage.read(Tables.INTERACTIONS), [], []
    for split, served in ((VALIDATION, config.retrieval.first_stage.candidates), (TEST, 0)):
        queries = sample_queries(sequences, config.evaluation, seed, split=split)
        lists = all_lists(queries, training, interactions, first_stage, served, config.evaluation, seed)
        parts.append(with_signals(lists, queries, signals).assign(**{SPLIT: split}))
        every.append(queries)
    candidates, queries = pd.concat(parts, ignore_index=True), pd.concat(every, ignore_index=True)
    candidates.to_parquet(asked.out / "candidates.parquet")
    queries.to_parquet(asked.out / "queries.parquet")
    once = candidates.drop_duplicates([USER, POSITION, ITEM])
    known = {(query.user, query.position): query for query in queries_of(queries)}
    columns = [class_column(slot) for slot in SLOTS]
    packed = []
    for (user, at), group in once.groupby([USER, POSITION], sort=False):
        items = group[ITEM].tolist()
        prompts = task_prompts.yes_no_prompts(
            context, known[str(user), int(at)], items, group[columns].to_numpy().tolist()
        )
        packed.append((user, at, items, [task_prompts.to_json(prompt) for prompt in prompts]))
    table = pd.DataFrame(packed, columns=[USER, POSITION, "items", "prompts"])
    table.to_parquet(asked.out / "asked.parquet", compression="zstd", compression_level=12)
    print(f"asked: {len(table)} lists, {len(once)} candidates, {time.monotonic() - began:.0f} s", flush=True)
    print(rows["prompts"].iloc[0][0])


if __name__ == "__main__":
    main()
