"""Raw reviews to interactions: which count, in which order, and how many each step leaves."""

import logging

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from mmsra_pipeline import columns as c
from mmsra_pipeline.config import InteractionsConfig
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.interactions.raw import ORDER

logger = logging.getLogger(__name__)


def build_interactions(
    raw_reviews: pd.DataFrame, config: InteractionsConfig, seed: int, *, raw_items: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the interactions that count, and how many users, items and interactions each step left.

    Args:
        raw_reviews: as ``RawData.reviews``.
        config: the steps.
        seed: draws the users that ``max_users`` keeps.
        raw_items: as ``RawData.items``; only ``require_image`` reads it.

    Returns:
        interactions: user_id, item_id, timestamp, rating, position (0-based), sorted by user and position. Of several
        of one user with one item the first counts. Equal times keep the order of the source.
        funnel: step, users, items, interactions.

    Raises:
        DataError: if nothing is left, naming the step.
    """
    rows = raw_reviews
    counts = [_counted("source", rows)]

    def keep(step: str, kept: pd.DataFrame) -> pd.DataFrame:
        counts.append(_counted(step, kept))
        if kept.empty:
            raise DataError(_nothing_left(step, counts, config))
        return kept

    if config.min_rating is not None:
        rows = keep("min_rating", rows[~(rows[c.RATING] < config.min_rating)])
    if config.require_image:
        if raw_items is None:
            raise ValueError("require_image needs raw_items")
        rows = keep("require_image", rows[rows[c.ITEM].isin(raw_items[c.ITEM][raw_items[c.IMAGE_HASH].notna()])])
    rows = keep("duplicates", _in_order(rows).drop_duplicates([c.USER, c.ITEM], keep="first"))
    if config.max_items is not None:
        rows = keep("max_items", rows[rows[c.ITEM].isin(_most_taken(rows, config.max_items))])
    rows = keep("k_core", rows[k_core(rows[c.USER], rows[c.ITEM], config.user_core, config.item_core)])
    if config.max_users is not None:
        rows = keep("max_users", rows[rows[c.USER].isin(_drawn(rows, config.max_users, seed))])
    rows = rows.assign(**{c.POSITION: rows.groupby(c.USER, sort=False).cumcount().astype("int64")})
    funnel = pd.DataFrame(counts)
    logger.info("interactions:\n%s", funnel.to_string(index=False))
    return rows[[c.USER, c.ITEM, c.TIME, c.RATING, c.POSITION]].reset_index(drop=True), funnel


def k_core(users: pd.Series, items: pd.Series, user_core: int, item_core: int) -> Bool[np.ndarray, " n"]:
    """Tell the rows of the largest part in which each user has ``user_core`` rows and each item ``item_core``.

    It is unique: rows of users and items that fall short go until none does, in whatever order.
    """
    user_codes, item_codes = pd.factorize(users)[0], pd.factorize(items)[0]
    kept = np.ones(len(users), dtype=bool)
    while kept.any():
        enough = _reach(user_codes, kept, user_core) & _reach(item_codes, kept, item_core)
        if not (kept & ~enough).any():
            break
        kept &= enough
    return kept


def _reach(codes: Int[np.ndarray, " n"], kept: Bool[np.ndarray, " n"], core: int) -> Bool[np.ndarray, " n"]:
    enough: Bool[np.ndarray, " codes"] = np.bincount(codes[kept], minlength=int(codes.max()) + 1) >= core
    reached: Bool[np.ndarray, " n"] = enough[codes]
    return reached


def _in_order(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values([c.USER, c.TIME, ORDER, c.ITEM], kind="stable")


def _most_taken(rows: pd.DataFrame, count: int) -> list[str]:
    """Items of most interactions; equal ones by id, so that the choice does not hang on the order of rows."""
    taken = rows.groupby(c.ITEM).size().rename("taken").reset_index()
    return taken.sort_values(["taken", c.ITEM], ascending=[False, True])[c.ITEM].head(count).tolist()


def _drawn(rows: pd.DataFrame, count: int, seed: int) -> list[str]:
    users = sorted(rows[c.USER].unique())
    if len(users) <= count:
        return users
    chosen = np.random.default_rng([seed, 1]).choice(len(users), size=count, replace=False)
    return [users[index] for index in chosen]


def _counted(step: str, rows: pd.DataFrame) -> dict[str, object]:
    return {
        "step": step,
        "users": int(rows[c.USER].nunique()),
        "items": int(rows[c.ITEM].nunique()),
        "interactions": len(rows),
    }


def _nothing_left(step: str, counts: list[dict[str, object]], config: InteractionsConfig) -> str:
    funnel = ", ".join(f"{row['step']} {row['interactions']}" for row in counts)
    remedy = {
        "source": "The source has none.",
        "min_rating": f"Lower interactions.min_rating ({config.min_rating}).",
        "require_image": "Set interactions.require_image to false, or check the picture folder.",
        "k_core": f"Lower interactions.user_core ({config.user_core}) or interactions.item_core ({config.item_core}).",
    }
    return f"no interaction is left after step {step!r} ({funnel}). {remedy.get(step, 'Loosen that setting.')}"
