"""How well anything could rank in the made-up shop: by the probabilities by which its users took what they took."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from mmsra_pipeline.columns import HISTORY, ITEM, POSITION, USER
from mmsra_pipeline.errors import DataError
from mmsra_pipeline.sample_store.behaviour import COMPANION_CHANCE, utilities
from mmsra_pipeline.sample_store.shop import Shop


def ceiling_scores(shop: Shop, queries: pd.DataFrame, candidates: pd.DataFrame) -> Float[np.ndarray, " rows"]:
    r"""Return $\log P(\text{candidate is taken next})$ of each row of ``candidates``, as the shop draws purchases.

    With $u$ the user's utilities, $L$ what is left (on sale and not taken before), $s(c) = e^{u_c} / \sum_{l \in L}
    e^{u_l}$, $m$ the companion of the last purchase and $\gamma$ = ``COMPANION_CHANCE``:

    $$P(c) = \gamma\,[c = m] + (1 - \gamma)\,s(c) \text{ if } m \in L, \text{ else } s(c).$$

    What is not in $L$ has $-\infty$. No ranking can be expected to do better, whatever it reads.

    Args:
        shop: who the users are, and what each had taken before.
        queries: user_id, position, history (item ids, oldest first). What lies before a cut history is read from
            ``shop.events``: all that the user took up to the last item of the history, which for the shop is the last
            purchase. An empty history is that of a user who has taken nothing. Other columns are not read.
        candidates: user_id, position, item_id, in any order.

    Returns:
        natural logarithms, float64, one for each row of ``candidates``, in their order.

    Raises:
        DataError: if a user or item is not of the shop, a history ends with what its user never took, two queries
            have the same user and position, or a candidate has no query.
    """
    return _scores(shop, queries, candidates, COMPANION_CHANCE)


def taste_scores(shop: Shop, queries: pd.DataFrame, candidates: pd.DataFrame) -> Float[np.ndarray, " rows"]:
    r"""Return $\log s(c)$ of each row of ``candidates``: what is known by taste and popularity without companions.

    $s(c) = e^{u_c} / \sum_{l \in L} e^{u_l}$; arguments, result and errors are those of ``ceiling_scores``.
    """
    return _scores(shop, queries, candidates, 0.0)


def _scores(
    shop: Shop, queries: pd.DataFrame, candidates: pd.DataFrame, companion_chance: float
) -> Float[np.ndarray, " rows"]:
    items = {str(item): place for place, item in enumerate(shop.products[ITEM])}
    users = {str(user): place for place, user in enumerate(shop.users[USER])}
    _refuse_unknown("item", candidates[ITEM], items)
    _refuse_unknown("user", candidates[USER], users)
    _refuse_unknown("user", queries[USER], users)
    partner = {items[one]: items[other] for one, other in shop.companions.itertuples(index=False)}
    utility = utilities(shop.users, shop.products)
    on_sale = ~shop.products["is_new"].to_numpy(dtype=bool)
    bought = {str(user): [items[item] for item in own] for user, own in shop.events.groupby(USER)[ITEM]}

    chances: dict[tuple[str, int], np.ndarray] = {}
    for user, position, history in queries[[USER, POSITION, HISTORY]].itertuples(index=False, name=None):
        if (user, position) in chances:
            raise DataError(f"two queries are of user {user!r} at position {position}; give each once")
        before = _bought_before(user, history, bought.get(user, []), items)
        left = on_sale.copy()
        left[before] = False
        companion = partner.get(before[-1]) if before else None
        chances[user, position] = _log_chances(utility[users[user]], left, companion, companion_chance)

    scores = np.empty(len(candidates))
    asked = candidates[[USER, POSITION, ITEM]].itertuples(index=False, name=None)
    for row, (user, position, item) in enumerate(asked):
        if (user, position) not in chances:
            raise DataError(f"a candidate is of user {user!r} at position {position}, of which there is no query")
        scores[row] = chances[user, position][items[item]]
    return scores


def _bought_before(user: str, history: Iterable[str], bought: list[int], items: dict[str, int]) -> list[int]:
    """Products that the user had taken when the history ended, oldest first."""
    seen = list(history)
    if not seen:
        return []
    _refuse_unknown("item", seen, items)
    last = items[seen[-1]]
    if last not in bought:  # nobody takes a product twice, so its place among the purchases is the only one
        raise DataError(f"the history of user {user!r} ends with {seen[-1]!r}, which this user of the shop never took")
    return bought[: bought.index(last) + 1]


def _log_chances(
    utility: Float[np.ndarray, " products"],
    left: Bool[np.ndarray, " products"],
    companion: int | None,
    companion_chance: float,
) -> Float[np.ndarray, " products"]:
    """Natural logarithm of each product's probability to be taken next."""
    within = np.where(left, utility, -np.inf)
    highest = within.max()
    logs: Float[np.ndarray, " products"] = within - highest - np.log(np.exp(within - highest).sum())
    if companion is not None and left[companion] and companion_chance > 0:
        logs += np.log1p(-companion_chance)
        logs[companion] = np.logaddexp(logs[companion], np.log(companion_chance))
    return logs


def _refuse_unknown(kind: str, found: Iterable[str], known: dict[str, int]) -> None:
    unknown = sorted({str(name) for name in found} - known.keys())
    if unknown:
        some = ", ".join(map(repr, unknown[:5]))
        raise DataError(
            f"{len(unknown)} of the {kind} ids are not of this shop of {len(known)} {kind}s: {some}. "
            "Make the shop with the size and seed of the data set that the queries are of."
        )
