"""Whether what prompts state of candidates is as of the query's time."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from mmsra_pipeline.columns import ITEM, POSITION, SPLIT, TEST, USER, Tables
from mmsra_pipeline.orchestration.checks.names import AS_OF
from mmsra_pipeline.orchestration.checks.results import check
from mmsra_pipeline.orchestration.settings_read import whole

if TYPE_CHECKING:
    from mmsra_pipeline.orchestration.stage import Stage
    from mmsra_pipeline.recommendation.evidence_as_of import Stated

QUERIES = 8  # for each, co-occurrence is counted anew


def example_evidence(stage: "Stage") -> dg.AssetCheckResult:
    """Check the evidence of a sample of the recommender's examples."""
    from mmsra_pipeline.interactions.query_sampling import YES_NO
    from mmsra_pipeline.recommendation.evidence_as_of import Stated

    rows = stage.read(Tables.SFT_DATASET)
    rows = rows[rows["task"] == YES_NO].drop_duplicates([SPLIT, USER, POSITION])
    columns = (rows[name] for name in (SPLIT, USER, POSITION, "items", "classes"))
    return _check(stage, [Stated(*row) for row in zip(*columns, strict=True)])


def candidate_evidence(stage: "Stage") -> dg.AssetCheckResult:
    """Check the evidence of a sample of the test queries' candidates."""
    from mmsra_pipeline.config.tree import SLOTS
    from mmsra_pipeline.recommendation.columns import class_column
    from mmsra_pipeline.recommendation.evidence_as_of import Stated

    rows = stage.read(Tables.CANDIDATES).drop_duplicates([USER, POSITION, ITEM])
    classes = [class_column(slot) for slot in SLOTS]
    groups: Any = rows.groupby([USER, POSITION], sort=True)
    stated = [
        Stated(TEST, str(user), int(at), own[ITEM].tolist(), own[classes].to_numpy().tolist())
        for (user, at), own in groups
    ]
    return _check(stage, stated)


def _check(stage: "Stage", stated: "list[Stated]") -> dg.AssetCheckResult:
    from mmsra_pipeline.orchestration.queries import queries_of_users, similar_rows, with_histories
    from mmsra_pipeline.recommendation.evidence_as_of import INTERACTED, differences
    from mmsra_pipeline.retrieval.cooccurrence.events import known_interactions

    # Not of the asset's own settings: that of co-occurrence changes what is checked through its artifact alone.
    hours = whole(stage.config).retrieval.cooccurrence.session_hours
    asked = queries_of_users(stage, {one.user for one in stated})
    training, similar = known_interactions(stage.training_interactions()), similar_rows(stage, asked)
    found = differences(stated, with_histories(stage, asked), training, similar, session_hours=hours, most=QUERIES)
    if not found.compared:
        return check(AS_OF, True, "no query has a time, so it cannot be measured")
    if not found.different:
        said = f"of {found.compared} queries the same is stated without all that came later ({', '.join(INTERACTED)})"
        return check(AS_OF, True, said)
    said = (
        f"of {len(found.different)} of {found.compared} queries something else is stated once all interactions from "
        f"the query's time on are left out; first: {found.different[0]}"
    )
    remedy = "Materialize cooccurrence_neighbors and similar_users again (rule as_of); what stays is a bug: report it"
    return check(AS_OF, False, f"{said}. {remedy}")
