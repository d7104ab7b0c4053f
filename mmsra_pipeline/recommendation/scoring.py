"""p(Yes) of candidates: the score by which they are ranked (sec. 3.5)."""

import json
import logging
from pathlib import Path

import pandas as pd

from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.columns import ITEM, POSITION, USER
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.progress import Progress
from mmsra_pipeline.recommendation import prompts
from mmsra_pipeline.recommendation.context import PromptContext, Query, queries_of

logger = logging.getLogger(__name__)
Key = tuple[str, int, str]


def score_candidates(
    backbone: Backbone,
    queries: pd.DataFrame,
    candidates: pd.DataFrame,
    context: PromptContext,
    workdir: Path | None = None,
    *,
    autocast: bool,
) -> pd.Series:
    """Give p in (0, 1) for each row of ``candidates``, on its index.

    A (user, position, item) that stands in several rows, say in the lists of two protocols, is scored once. All
    candidates of a query share the computation of what the prompt says of the user.

    Args:
        backbone: with the recommender's adapter.
        queries: rows of ``sequences``.
        candidates: columns user_id, position, item_id; every (user_id, position) must be one of ``queries``.
        context: what prompts show, with images.
        workdir: where scores are kept as they come, so that a scoring that was stopped goes on. It must belong to
            these inputs alone.
        autocast: see ``Backbone.first_token_scores``.

    Raises:
        DataError: if candidates name a query that is not there.
    """
    kept = _ScoreFile(workdir / "scores.jsonl" if workdir else None)
    wanted = _items_by_query(candidates)
    known = {(query.user, query.position): query for query in queries_of(queries)}
    _check_known(wanted, known)
    progress = Progress("scoring", sum(len(items) for items in wanted.values()), "candidates")
    with backbone.many_scores(autocast=autocast):
        for key, items in wanted.items():
            left = [item for item in items if (*key, item) not in kept.scores]
            if left:
                kept.add(known[key], left, _scores(backbone, known[key], left, context, autocast))
            progress.advance(len(items))
    keys = zip(candidates[USER], candidates[POSITION], candidates[ITEM])
    values = [kept.scores[str(user), int(position), str(item)] for user, position, item in keys]
    return pd.Series(values, index=candidates.index, dtype="float64", name="p")


def _items_by_query(candidates: pd.DataFrame) -> dict[tuple[str, int], list[str]]:
    wanted: dict[tuple[str, int], list[str]] = {}
    for user, position, item in candidates[[USER, POSITION, ITEM]].drop_duplicates().itertuples(index=False):
        wanted.setdefault((str(user), int(position)), []).append(str(item))
    return wanted


def _check_known(wanted: dict[tuple[str, int], list[str]], known: dict[tuple[str, int], Query]) -> None:
    missing = [key for key in wanted if key not in known]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(wanted)} lists of candidates have no query (first: {USER}={missing[0][0]!r}, "
            f"{POSITION}={missing[0][1]}). Candidates and sequences are of different runs: materialize both again."
        )


def _scores(backbone: Backbone, query: Query, items: list[str], context: PromptContext, autocast: bool) -> list[float]:
    asked = [prompts.render(prompts.yes_no_prompt(context, query, item), context.images) for item in items]
    found = backbone.first_token_scores(asked, words=(prompts.YES, prompts.NO), autocast=autocast)
    return [float(p) for p in found]


class _ScoreFile:
    """Scores by (user, position, item), added to a file a query at a time where there is one."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.scores: dict[Key, float] = {}
        if path and path.exists():
            whole, _, torn = path.read_text(encoding="utf-8").rpartition("\n")
            if torn:  # a kill tore the last line
                path.write_text(whole + "\n" if whole else "", encoding="utf-8")
            for line in whole.splitlines():
                user, position, item, p = json.loads(line)
                self.scores[user, position, item] = p
            logger.info("scoring: %d scores of a stopped run are taken over", len(self.scores))

    def add(self, query: Query, items: list[str], scores: list[float]) -> None:
        rows = [(query.user, query.position, item, p) for item, p in zip(items, scores)]
        self.scores |= {(user, position, item): p for user, position, item, p in rows}
        if self._path:
            with self._path.open("a", encoding="utf-8") as handle:
                handle.write("".join(json.dumps(row) + "\n" for row in rows))
