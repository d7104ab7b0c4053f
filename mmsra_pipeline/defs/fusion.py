"""Stage 5, recommendation: the fusion of the language model with collaborative scores, fitted on validation queries."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from mmsra_pipeline.columns import VALIDATION, Tables
from mmsra_pipeline.defs.resources import Installation, reusable
from mmsra_pipeline.orchestration.checks import names
from mmsra_pipeline.orchestration.checks.results import Results, check, specs
from mmsra_pipeline.orchestration.labels import GROUPS, OWNERS
from mmsra_pipeline.orchestration.partitions import datasets
from mmsra_pipeline.orchestration.pools import DEVICE
from mmsra_pipeline.orchestration.queries import queries as asked
from mmsra_pipeline.orchestration.queries import with_histories
from mmsra_pipeline.orchestration.recommender_inputs import PROMPT_TABLES, answered, cooccurrence_index, first_stage
from mmsra_pipeline.orchestration.reporting import report, sample_table
from mmsra_pipeline.orchestration.settings_read import code_version

if TYPE_CHECKING:
    import pandas as pd

    from mmsra_pipeline.evaluation.calibration import Calibration

CHECKS = ("calibrated", "answers_are_words", "few_ties", "not_inverted")


@dg.asset(
    deps=[Tables.SFT_DATASET, Tables.RECOMMENDER, Tables.ALIGNMENT, Tables.ITEM_IMAGES, *PROMPT_TABLES],
    partitions_def=datasets,
    pool=DEVICE,
    group_name=GROUPS["recommendation"],
    owners=OWNERS,
    kinds={"pytorch", "mlflow"},
    code_version=code_version("fusion", 2, __name__),
    check_specs=specs(Tables.FUSION, blocking=(names.VARIES,), warning=CHECKS),
)
@reusable
def fusion(context: dg.AssetExecutionContext, mmsra: Installation) -> Results:
    """One row per kind of fusion and feature: its coefficient with a 95 % interval over validation users.

    The artifact holds both fusions, with and without the language model. Fitted and calibrated on lists of validation
    queries alone, those that the first stage would serve among them; p is judged on users that the fit has not seen.
    The table validation_candidates has the lists, with signals and the model's answers.
    """
    import pandas as pd

    from mmsra_pipeline.evaluation.answers import Answers
    from mmsra_pipeline.evaluation.calibration import calibration, reliability
    from mmsra_pipeline.evaluation.lists import all_lists, sample_queries
    from mmsra_pipeline.evaluation.metric_plots import fusion_png
    from mmsra_pipeline.interactions.query_table import read_interactions
    from mmsra_pipeline.recommendation.fusion import FUSED, KINDS, WITHOUT_MODEL, save_models
    from mmsra_pipeline.recommendation.fusion_fit import AT_PIVOT, FusionFit

    stage = mmsra.stage(context)
    config = stage.config
    some = sample_queries(asked(stage, VALIDATION), config.evaluation, config.seed, split=VALIDATION)
    queries = with_histories(stage, some)
    lists = all_lists(
        queries,
        stage.training_interactions(),
        read_interactions(stage.path(Tables.INTERACTIONS)),
        first_stage(stage, cooccurrence_index(stage), queries),
        config.retrieval.first_stage.candidates,
        config.evaluation,
        config.seed,
    )
    candidates = answered(stage, lists, queries)

    with stage.training("cpu") as (_, _):
        fits = {kind: FusionFit(candidates, kind, config.fusion, config.seed) for kind in KINDS}
        models = {kind: fit.model for kind, fit in fits.items()}
        table = pd.concat([fit.coefficients(config.evaluation.bootstrap) for fit in fits.values()], ignore_index=True)
    served = {kind: fit.cross_fitted() for kind, fit in fits.items()}
    judged = {kind: calibration(rows["p"].to_numpy(), rows["is_target"].to_numpy()) for kind, rows in served.items()}

    with stage.publish() as folder:
        save_models(models, folder)
    stage.write(Tables.FUSION, table, read_on=False)
    stage.write(Tables.VALIDATION_CANDIDATES, candidates, read_on=False)
    found = Answers.of(candidates)
    plotted = table[table["feature"].str.endswith(AT_PIVOT)]
    bins = reliability(served[FUSED]["p"].to_numpy(), served[FUSED]["is_target"].to_numpy())
    yield from report(
        stage,
        {
            "calibration": models[FUSED].calibration,
            "coefficients": sample_table(table, count=len(table)),
            "reliability": sample_table(bins, count=len(bins)),
            **_measures(judged[FUSED], ""),
            **_measures(judged[WITHOUT_MODEL], " without the model"),
            **_logit(table),
            **found.values(),
        },
        checks=[
            _calibrated(judged[FUSED], config.fusion.max_calibration_error, models[FUSED].calibration),
            *(check(name, passed, said, warn=True) for name, (passed, said) in found.checks().items()),
        ],
        plot=fusion_png(bins, plotted),
    )


def _measures(judged: "Calibration", suffix: str) -> dict[str, Any]:
    """Name the measures for the UI and MLflow, which allows no + in a name; what cannot be measured is null."""
    measured = {
        "ece": judged.ece,
        "ece of equal width": judged.ece_equal_width,
        "brier": judged.brier,
        "mean p": judged.mean_p,
        "share that came next": judged.share,
    }
    metadata = {f"{name}{suffix}": value if judged.n else None for name, value in measured.items()}
    return metadata | {f"served candidates judged{suffix}": judged.n}


def _logit(coefficients: "pd.DataFrame") -> dict[str, Any]:
    """Return what the model's logit weighs at an item that the mean number of users took, with its interval."""
    from mmsra_pipeline.recommendation.fusion import LOGIT
    from mmsra_pipeline.recommendation.fusion_fit import AT_PIVOT

    found = coefficients[coefficients["feature"] == f"{LOGIT} {AT_PIVOT}"].iloc[0]
    return {f"weight of the logit{name}": float(found[column])
            for name, column in (("", "value"), (" low", "low"), (" high", "high"))}  # fmt: skip


def _calibrated(judged: "Calibration", most: float, fitted_on: str) -> dg.AssetCheckResult:
    """Check p of served candidates; a failure warns, for the order of the lists stays what it is."""
    if not judged.n:
        return check("calibrated", True, "there are no served lists, so it cannot be measured", warn=True)
    found = (
        f"p of served candidates is off by {judged.ece:.3f} (fusion.max_calibration_error: {most:g}): its mean is "
        f"{judged.mean_p:.3f} where {judged.share:.3f} came next; {judged.n} candidates of users that the fit has not "
        f"seen. Calibrated on {fitted_on}. More evaluation.validation_users make it better"
    )
    return check("calibrated", judged.ece <= most, found, warn=True, ece=judged.ece)
