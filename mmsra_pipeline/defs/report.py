"""Stage 6, evaluation: the pages that a person looks at."""

from typing import TYPE_CHECKING

import dagster as dg

from mmsra_pipeline.columns import ITEM, POSITION, RANK, RANKED_BY, SERVE, SPLIT, TEST, TIME, USER, Tables
from mmsra_pipeline.defs.resources import Installation
from mmsra_pipeline.orchestration.checks.results import Results, specs
from mmsra_pipeline.orchestration.labels import GROUPS, OWNERS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.pools import DEVICE
from mmsra_pipeline.orchestration.queries import queries as asked
from mmsra_pipeline.orchestration.queries import similar_rows, with_histories
from mmsra_pipeline.orchestration.recommender_inputs import (
    PROMPT_TABLES,
    prompt_context,
    signal_source,
    tuned_backbone,
)
from mmsra_pipeline.orchestration.reporting import report as reported
from mmsra_pipeline.orchestration.settings_read import code_version
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.orchestration.variants import variants_of

if TYPE_CHECKING:
    import pandas as pd

    from mmsra_pipeline.recommendation.explaining import Asked
    from mmsra_pipeline.report.inputs import Catalogue, Measured

MEASURED = [
    Tables.METRICS,
    Tables.RANKINGS,
    Tables.RECOMMENDATIONS,
    Tables.KEYWORD_QUALITY,
    Tables.SERVED_QUALITY,
]
EXPLAINED_ITEMS = 2  # of a stored list, its first ones


@dg.asset(
    deps=[
        *MEASURED,
        Tables.SFT_DATASET,
        Tables.RECOMMENDER,
        Tables.ALIGNMENT,
        Tables.ITEM_IMAGES,
        *PROMPT_TABLES,
    ],
    partitions_def=datasets,
    pool=DEVICE,
    group_name=GROUPS["evaluation"],
    owners=OWNERS,
    kinds={"html"},
    code_version=code_version("report", 1, __name__),
    check_specs=specs(Tables.REPORT),
)
def report(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per user whom the pages show; the artifact is the folder of pages, which `mmsra report` opens.

    The table explanations says, for a few users, what leaving out each part of a prompt does to p;
    injection_probe what a title or a picture that imitates the prompt does. The page on ablation
    compares variants of the data set as they are now; they make nothing stale here: `mmsra ablate` renews the report.
    """
    from mmsra_pipeline.interactions.query_table import plain
    from mmsra_pipeline.recommendation.explaining import explain
    from mmsra_pipeline.recommendation.injection import probe
    from mmsra_pipeline.recommendation.top_n import BY_FUSION
    from mmsra_pipeline.report.case_data import CaseTables
    from mmsra_pipeline.report.cases import choose_cases
    from mmsra_pipeline.report.pages import FIRST, write_report

    stage = mmsra.stage(context)
    config, sequences = stage.config.report, plain(asked(stage, TEST, SERVE))
    lists, rankings = stage.slice_of(Tables.RECOMMENDATIONS).where(RANKED_BY, [BY_FUSION]), stage.read(Tables.RANKINGS)
    per_user, keywords = stage.read(Tables.USER_METRICS), stage.read(Tables.ITEM_KEYWORDS)
    listed = sequences[(sequences[SPLIT] == SERVE) & sequences[USER].isin(lists[USER].unique())]
    served = list(zip(listed[USER], listed[POSITION].astype(int)))
    cases = choose_cases(per_user, served, config.cases, config.explained_cases, stage.config.seed)
    queries = with_histories(stage, sequences.merge(cases[[USER, POSITION]], on=[USER, POSITION]))
    similar = similar_rows(stage, cases)
    in_prompts = similar[similar[RANK] <= stage.config.retrieval.similar_users.k].reset_index(drop=True)

    backbone = tuned_backbone(stage)
    explanations = explain(
        backbone,
        _asked(cases, queries, rankings, lists),
        signal_source(stage, queries),
        prompt_context(stage, queries, pictures=True),
        {item: tuple(words) for item, words in zip(keywords[ITEM], keywords["image_keywords"])},
        stage.score_file(),
        autocast=stage.config.recommendation.scoring_autocast,
    )
    probed = stage.read(Tables.SERVED_CANDIDATES)
    asked_again = with_histories(stage, sequences.merge(probed[[USER, POSITION]].drop_duplicates()))
    injection = probe(
        backbone,
        probed,
        asked_again,
        prompt_context(stage, asked_again, pictures=True),
        seed=stage.config.seed,
        autocast=stage.config.recommendation.scoring_autocast,
    )
    tables = CaseTables(
        cases,
        queries,
        rankings,
        stage.read(Tables.CANDIDATES),
        in_prompts,
        lists,
        explanations,
        {item: tuple(words) for item, words in zip(keywords[ITEM], keywords["keywords"])},
    )
    with stage.publish(read_on=False) as folder:
        write_report(
            folder,
            _measured(stage, per_user, similar, sequences, injection),
            _catalogue(stage, keywords),
            tables,
            stage.images(),
            worst_count=config.worst_keywords,
            user_ids=config.user_ids,
        )
    stage.write(Tables.REPORT, cases)
    stage.write(Tables.EXPLANATIONS, explanations)
    stage.write(Tables.INJECTION_PROBE, injection)
    assert stage.staged is not None
    with stage.tracked() as tracker:
        tracker.log_folder(stage.staged, "report")
    page = stage.paths.remote.address(stage.staged / FIRST)
    size = sum(file.stat().st_size for file in stage.staged.rglob("*") if file.is_file())
    yield from reported(stage, {"open": dg.MetadataValue.path(page), "megabytes": size / 1e6})


def _asked(
    cases: "pd.DataFrame", queries: "pd.DataFrame", rankings: "pd.DataFrame", lists: "pd.DataFrame"
) -> "list[Asked]":
    """Return the candidates to explain: what came next and the model's best of a test user, a list's first items."""
    from mmsra_pipeline.recommendation.explaining import Asked
    from mmsra_pipeline.recommendation.queries import queries_of
    from mmsra_pipeline.report.case_data import MODEL

    found = []
    own = rankings[(rankings["protocol"] == rankings["protocol"].iloc[0]) & (rankings["row"] == MODEL)]
    wanted = set(zip(*(cases.loc[cases["explained"], name] for name in (USER, POSITION))))
    for query in queries_of(queries):
        if (query.user, query.position) not in wanted:
            continue
        ranked = own[(own[USER] == query.user) & (own[POSITION] == query.position)].sort_values("score")
        if len(ranked):
            items = [ranked.loc[ranked["is_target"], ITEM].iloc[0], ranked[ITEM].iloc[-1]]
        else:
            items = lists[lists[USER] == query.user].sort_values(RANK)[ITEM].tolist()[:EXPLAINED_ITEMS]
        found.append(Asked(query, tuple(dict.fromkeys(map(str, items)))))
    return found


def _measured(
    stage: Stage,
    per_user: "pd.DataFrame",
    similar: "pd.DataFrame",
    sequences: "pd.DataFrame",
    injection: "pd.DataFrame",
) -> "Measured":
    from mmsra_pipeline.evaluation.ablation import ablation
    from mmsra_pipeline.evaluation.user_metrics import curves
    from mmsra_pipeline.report.ablation_page import described
    from mmsra_pipeline.report.inputs import Measured
    from mmsra_pipeline.retrieval.similar_users import hit_share, leak_rate

    config, test = stage.config.evaluation, sequences[sequences[SPLIT] == TEST]
    variants = variants_of(stage.paths, stage.dataset)
    there = {name: stage.store.read(Tables.USER_METRICS, name) for name in variants
             if stage.store.has(Tables.USER_METRICS, name)}  # fmt: skip
    found = similar.merge(test[[USER, POSITION]], on=[USER, POSITION])
    return Measured(
        stage.dataset,
        config.cutoff,
        stage.read(Tables.METRICS),
        stage.read(Tables.DIFFERENCES),
        stage.read(Tables.PAIRWISE),
        stage.read(Tables.METRICS_BY_SLICE),
        per_user,
        curves(per_user, 20, config.bootstrap, stage.config.seed),
        stage.read(Tables.SERVED_QUALITY),
        stage.read(Tables.SERVED_TRAITS),
        stage.read(Tables.SERVED_OVERLAP),
        stage.read(Tables.SERVED_CANDIDATES),
        injection,
        stage.read(Tables.FUNNEL),
        leak_rate(found, test),
        hit_share(found, test),
        ablation(per_user, there, config.cutoff, config.bootstrap, stage.config.seed),
        {name: described(stage.dataset, name, settings) for name, settings in variants.items()},
        float(test[TIME].isna().mean()),
    )


def _catalogue(stage: Stage, keywords: "pd.DataFrame") -> "Catalogue":
    from mmsra_pipeline.report.inputs import Catalogue

    return Catalogue(
        stage.read(Tables.ITEM_TEXT),
        keywords,
        stage.read(Tables.KEYWORD_QUALITY),
        stage.read(Tables.KEYWORD_PANEL),
        stage.read(Tables.ITEM_IMAGES),
    )
