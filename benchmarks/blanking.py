"""What each part of the prompt is worth to a tuned recommender: test lists scored again with the part blanked.

    python benchmarks/blanking.py --dataset sample [--users 100] [--protocol uniform] [--parts all context pictures ...]

Reads a finished `mmsra refresh` of the root (MMSRA_ROOT, MMSRA_CONFIG as for it). A part is a slot of the evidence;
'context': all that others' behaviour says (sequence, cooccurrence, next, votes, all, and what similar users took next);
'pictures': the keywords of pictures and the pictures themselves, signals of content made anew without them. Prints the
change of HR@5 in points, paired by user, with a 95 % interval; on the sample store also for users who care for pictures
alone and for targets that followed as a companion. Nothing is chosen by it.
"""

import argparse
import dataclasses
from collections.abc import Sequence

import numpy as np
import pandas as pd

from mmsra_pipeline.columns import ITEM, KEYWORDS, POSITION, TARGET, USER, Tables
from mmsra_pipeline.config.tree import SLOTS
from mmsra_pipeline.evaluation.lists import IS_TARGET, PROTOCOL
from mmsra_pipeline.evaluation.metrics import hr, placed
from mmsra_pipeline.ingest.readers.sample import sample_options
from mmsra_pipeline.orchestration import recommender_inputs
from mmsra_pipeline.orchestration.queries import queries_of_users, with_histories
from mmsra_pipeline.orchestration.settings_read import dataset_config
from mmsra_pipeline.orchestration.stage import Stage
from mmsra_pipeline.recommendation.columns import class_column
from mmsra_pipeline.recommendation.context import PromptContext
from mmsra_pipeline.recommendation.evidence import BLANK
from mmsra_pipeline.recommendation.scoring import score_candidates, with_signals
from mmsra_pipeline.sample_store.shop import make_shop
from mmsra_pipeline.storage.paths import find_paths

OF_OTHERS = ("sequence", "cooccurrence", "next", "votes", "all")
RESAMPLES = 2000


class Workplace(Stage):
    """A stage that reads another's keywords where it is told to."""

    blind = False

    def read(self, table: str) -> pd.DataFrame:
        """Read a table; keywords without those of pictures where the stage is blind."""
        rows = super().read(table)
        if table == Tables.ITEM_KEYWORDS and self.blind:
            rows = rows.assign(**{KEYWORDS: rows["text_keywords"]})
        return rows


def hits(lists: pd.DataFrame, logit: pd.Series) -> pd.Series:
    """HR@5 of each user."""
    order = lists.sort_values([USER, POSITION], kind="stable")
    numbers = order.groupby([USER, POSITION], sort=False).ngroup().to_numpy()
    found = hr(placed(numbers, order[IS_TARGET].to_numpy(), logit.loc[order.index].to_numpy()), 5)
    return pd.Series(found, index=order[USER].drop_duplicates())


def difference(less: pd.Series, whole: pd.Series, users: Sequence[str]) -> str:
    """The mean change in points with its interval."""
    change = 100 * (less - whole).loc[list(users)].to_numpy()
    drawn = np.random.default_rng(0).integers(len(change), size=(RESAMPLES, len(change)))
    low, high = np.percentile(change[drawn].mean(axis=1), (2.5, 97.5))
    return f"{change.mean():+6.1f} [{low:+.1f}, {high:+.1f}] n={len(change)}"


def main() -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="sample")
    parser.add_argument("--users", type=int)
    parser.add_argument("--protocol", default="uniform")
    parser.add_argument("--parts", nargs="+", default=["context", "pictures", *SLOTS])
    asked = parser.parse_args()
    config = dataset_config(find_paths(), asked.dataset)
    stage = Workplace("rankings", asked.dataset, "", "", config, find_paths())
    lists = stage.read(Tables.CANDIDATES)
    lists = lists[lists[PROTOCOL] == asked.protocol]
    users = lists[USER].drop_duplicates()[: asked.users]
    lists = lists[lists[USER].isin(users)].reset_index(drop=True)
    rows = queries_of_users(stage, set(users))
    queries = with_histories(stage, rows.merge(lists[[USER, POSITION]].drop_duplicates(), on=[USER, POSITION]))
    backbone = recommender_inputs.tuned_backbone(stage)
    context = recommender_inputs.prompt_context(stage, queries, pictures=True)
    groups = _groups(stage, queries)

    def scored(rows: pd.DataFrame, context: PromptContext) -> pd.Series:
        answers = score_candidates(backbone, queries, rows, context, autocast=config.recommendation.scoring_autocast)
        return hits(lists, answers["logit"])

    whole = hits(lists, lists["logit"])
    print(f"{asked.dataset}, {asked.protocol} negatives, HR@5 {100 * whole.mean():.1f} with everything")
    for part in asked.parts:
        if part == "pictures":
            stage.blind = True
            rows = with_signals(
                lists[[USER, POSITION, ITEM, IS_TARGET]], queries, recommender_inputs.signal_source(stage, queries)
            )
            less = scored(rows, dataclasses.replace(recommender_inputs.prompt_context(stage, queries, pictures=False)))
            stage.blind = False
        else:
            slots = OF_OTHERS if part == "context" else (part,)
            rows = lists.assign(**{class_column(slot): BLANK for slot in slots})
            less = scored(rows, dataclasses.replace(context, similar={}) if part == "context" else context)
        said = [f"{name} {difference(less, whole, chosen)}" for name, chosen in groups.items() if len(chosen)]
        print(f"without {part:13} " + "   ".join(said), flush=True)


def _groups(stage: Stage, queries: pd.DataFrame) -> dict[str, Sequence[str]]:
    """All users; on the sample store, whose structure is known, two groups more."""
    found: dict[str, Sequence[str]] = {"all users": queries[USER].tolist()}
    if stage.spec.format != "sample":
        return found
    options = sample_options(stage.spec)
    shop = make_shop(options.size, options.seed)
    pictured = shop.users.loc[shop.users["cares_for"] == "picture", "user_id"]
    followed = shop.events[shop.events["by_companion"]].merge(
        queries[[USER, TARGET]], left_on=["user_id", "item_id"], right_on=[USER, TARGET]
    )
    found["who care for pictures alone"] = queries.loc[queries[USER].isin(pictured), USER].tolist()
    found["companions"] = queries.loc[queries[USER].isin(followed[USER]), USER].tolist()
    return found


if __name__ == "__main__":
    main()
