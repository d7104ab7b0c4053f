"""Stage 4, retrieval: collaborative signals."""

import math

import dagster as dg

from mmsra_pipeline.columns import RANK, SPLIT, TEST, TIME, TRAIN, VALIDATION, Tables
from mmsra_pipeline.defs.resources import Installation, reusable
from mmsra_pipeline.orchestration.checks import names
from mmsra_pipeline.orchestration.checks.results import Results, specs
from mmsra_pipeline.orchestration.labels import GROUPS, OWNERS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.pools import DEVICE, MEMORY
from mmsra_pipeline.orchestration.queries import answered_queries, batches, drawn, histories, queries, seen_of_late
from mmsra_pipeline.orchestration.reporting import report
from mmsra_pipeline.orchestration.settings_read import code_version


@dg.asset(
    deps=[Tables.INTERACTIONS, Tables.SEQUENCES],
    partitions_def=datasets,
    pool=DEVICE,
    group_name=GROUPS["retrieval"],
    owners=OWNERS,
    kinds={"pytorch", "mlflow"},
    code_version=code_version("user_encoder", 2, __name__),
    check_specs=specs(Tables.USER_ENCODER, blocking=(names.FINITE, names.DIFFER), warning=(names.FALLS,)),
)
@reusable
def user_encoder(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """The sequential model on item ids whose history embedding finds similar users; rows are its epochs.

    Beside it, for each fold of the users, one that has not seen them: it answers their training queries.
    """
    from mmsra_pipeline.retrieval.user_encoder.folds import train_folded
    from mmsra_pipeline.telemetry.plots import curve_png

    stage = mmsra.stage(context)
    asked, user_histories = queries(stage, TRAIN, VALIDATION), histories(stage)

    with stage.training("cpu") as (workdir, tracker):
        config = stage.config.retrieval.encoder
        encoder, curve = train_folded(asked, config, stage.config.seed, workdir, tracker, user_histories)

    with stage.publish() as folder:
        encoder.save(folder)
    stage.write(Tables.USER_ENCODER, curve, read_on=False)
    yield from report(stage, plot=curve_png(curve, "epoch", ["loss", "ndcg@10"], "user_encoder"))


@dg.asset(
    deps=[Tables.USER_ENCODER, Tables.INTERACTIONS, Tables.SEQUENCES, Tables.TRAINING_QUERIES],
    partitions_def=datasets,
    pool=MEMORY,
    group_name=GROUPS["retrieval"],
    owners=OWNERS,
    kinds={"pytorch"},
    code_version=code_version("similar_users", 2, __name__),
    check_specs=specs(Tables.SIMILAR_USERS, blocking=(names.NO_FUTURE, names.NO_TEST), warning=(names.ALIKE,)),
)
@reusable
def similar_users(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per query and similar training user: who it is, at which moment, and the item that came next there.

    With the rule as_of an item counts only if it was taken before the query's moment; the check measures that. The hit
    shares are of the users whose next items the prompt shows. That of training queries must not be far above that of
    test: it would teach the recommender to trust what is weaker later.
    """
    from mmsra_pipeline.retrieval.many_similar_users import similar_users_in_parts
    from mmsra_pipeline.retrieval.similar_users import hit_share, leak_rate
    from mmsra_pipeline.retrieval.user_encoder.folds import FoldedEncoder

    stage = mmsra.stage(context)
    encoder, config = FoldedEncoder.load(stage.artifact(Tables.USER_ENCODER)), stage.config.retrieval.similar_users
    asked, every = drawn(stage, TRAIN), queries(stage)
    bounded = (every[SPLIT] == TRAIN).sum() > config.exact_entries and every[TIME].notna().any()
    served = seen_of_late(stage, config.served_days) if bounded and config.served_days is not None else None

    parts = similar_users_in_parts(encoder, every, asked, config, histories(stage), stage.config.seed, served)

    stage.write(Tables.SIMILAR_USERS, batches(parts))
    rows, held_out = answered_queries(stage)
    tested, in_prompts = held_out[held_out[SPLIT] == TEST], rows[rows[RANK] <= config.k]
    metadata = {
        "leak_rate": _or_none(leak_rate(rows, held_out)),
        "hit_share": _or_none(hit_share(in_prompts, tested)),
        "hit_share_training": _or_none(hit_share(in_prompts, asked)),
        "test_queries": len(tested),
        "training_queries": len(asked),
    }
    yield from report(stage, metadata)


@dg.asset(
    deps=[Tables.INTERACTIONS, Tables.SEQUENCES],
    partitions_def=datasets,
    pool=MEMORY,
    group_name=GROUPS["retrieval"],
    owners=OWNERS,
    kinds={"parquet"},
    code_version=code_version("cooccurrence_neighbors", 3, __name__),
    check_specs=specs(Tables.COOCCURRENCE_NEIGHBORS),
)
@reusable
def cooccurrence_neighbors(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per item and neighbor: the items that users take soon after each other, best first.

    Counts training interactions only, so no held-out interaction reaches a neighbor list. The artifact holds them with
    their times and users: evidence, first stage and baseline ask it as of any moment and without a given user.
    """
    from mmsra_pipeline.retrieval.cooccurrence.index import WINDOW, CooccurrenceIndex
    from mmsra_pipeline.retrieval.cooccurrence.neighbors import neighbors

    stage = mmsra.stage(context)
    config, training = stage.config.retrieval.cooccurrence, stage.training_interactions()
    widest = None if config.window is None else max(config.window, WINDOW)

    index = CooccurrenceIndex.of_training(training, widest, config.session_hours)

    stage.write(Tables.COOCCURRENCE_NEIGHBORS, neighbors(index.within(config.window), config.neighbors_per_item))
    with stage.publish() as folder:
        index.save(folder)
    yield from report(stage, {"training_interactions": len(training), "events": int(index.event_counts().sum())})


def _or_none(share: float) -> float | None:
    """JSON has no nan: what cannot be measured is null."""
    return None if math.isnan(share) else share
