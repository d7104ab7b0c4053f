"""Users of the made-up shop and what they buy.

A user takes the next product by a softmax over utility = taste over attributes of picture and text + popularity. Or,
if the last product has a companion, often that one: pairs of products that share no attribute, so that only
interactions tell they belong together.
"""

from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float

VISIBLE: Final = ("colour", "pattern", "shape")
TOLD: Final = ("material", "use", "brand")
TASTE: Final = {"colour": 1.8, "pattern": 0.7, "shape": 1.4, "material": 1.6, "use": 1.4, "brand": 0.7}
SECOND_CHOICE = 0.5  # of the weight of a favourite
POPULARITY = 0.8  # utility falls by this times log(rank)
COMPANION_CHANCE = 0.6
BASKET_CHANCE = 0.04  # that two purchases carry the same time
OPENING = pd.Timestamp("2024-01-08T08:00:00Z")
JOIN_DAYS = 240
GAP_DAYS = 4.0
SECONDS_A_DAY = 86_400


def popularity_utility(count: int, rng: np.random.Generator) -> Float[np.ndarray, " products"]:
    """Give each product's utility from popularity alone, mean 0."""
    values: Float[np.ndarray, " products"] = -POPULARITY * np.log(1 + rng.permutation(count).astype(np.float64))
    values -= values.mean()
    return values


def make_companions(products: pd.DataFrame, pairs: int, rng: np.random.Generator) -> pd.DataFrame:
    """Give pairs of products (columns ``item_id``, ``companion_id``), both orders, that share no attribute.

    Each product is in one pair at most.
    """
    attributes = products[[*VISIBLE, *TOLD]].to_numpy()
    free = list(rng.permutation(len(products)))
    chosen: list[tuple[str, str]] = []
    while free and len(chosen) < pairs:
        one = free.pop()
        other = next((index for index in free if not (attributes[one] == attributes[index]).any()), None)
        if other is not None:
            free.remove(other)
            chosen.append((str(products["item_id"].iloc[one]), str(products["item_id"].iloc[other])))
    both = [*chosen, *((second, first) for first, second in chosen)]
    return pd.DataFrame(both, columns=["item_id", "companion_id"], dtype="str")


def make_users(products: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """Give users with a first and a second favourite value of each attribute (``colour``, ``colour_2``, …)."""
    table: dict[str, list[str]] = {"user_id": [f"u{number:03d}" for number in range(1, count + 1)]}
    for attribute in TASTE:
        values = np.array(sorted(products[attribute].unique()))
        picks = [rng.choice(values, size=2, replace=False) for _ in range(count)]
        table[attribute] = [str(first) for first, _ in picks]
        table[f"{attribute}_2"] = [str(second) for _, second in picks]
    return pd.DataFrame(table)


def utilities(users: pd.DataFrame, products: pd.DataFrame) -> Float[np.ndarray, "users products"]:
    """Give each user's utility of each product; a favourite value counts by the weights of ``TASTE``."""
    total = np.tile(products["popularity"].to_numpy(dtype=np.float64), (len(users), 1))
    for attribute, weight in TASTE.items():
        values = products[attribute].to_numpy()[None, :]
        total += weight * (users[attribute].to_numpy()[:, None] == values)
        total += SECOND_CHOICE * weight * (users[f"{attribute}_2"].to_numpy()[:, None] == values)
    return total


def make_events(
    users: pd.DataFrame,
    products: pd.DataFrame,
    companions: pd.DataFrame,
    lengths: tuple[int, int],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Give the purchases: user_id, item_id, timestamp (seconds), rating, by_companion; sorted by time.

    Nobody buys a product twice, and new products (``is_new``) are not bought yet.
    """
    ids = products["item_id"].tolist()
    place = {item: index for index, item in enumerate(ids)}
    partner = {place[a]: place[b] for a, b in companions.itertuples(index=False)}
    on_sale = np.flatnonzero(~products["is_new"].to_numpy())
    rows = []
    for user, utility in zip(users["user_id"], utilities(users, products)):
        count = min(int(rng.integers(lengths[0], lengths[1] + 1)), len(on_sale))
        bought = _purchases(utility, partner, on_sale, count, rng)
        seconds = _times([follows for _, follows in bought], rng)
        middle = float(np.median(utility))
        for (index, follows), second in zip(bought, seconds):
            rating = int(np.clip(round(3.6 + 0.4 * (utility[index] - middle) + rng.normal(0, 0.6)), 1, 5))
            rows.append((user, ids[index], second, rating, follows))
    events = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp", "rating", "by_companion"])
    return events.sort_values("timestamp", kind="stable", ignore_index=True)


def _purchases(
    utility: Float[np.ndarray, " products"],
    partner: dict[int, int],
    on_sale: np.ndarray,
    count: int,
    rng: np.random.Generator,
) -> list[tuple[int, bool]]:
    """Products in order, each with whether it followed as a companion."""
    left = [int(index) for index in on_sale]
    bought: list[tuple[int, bool]] = []
    while len(bought) < count:
        companion = partner.get(bought[-1][0]) if bought else None
        follows = companion in left and rng.random() < COMPANION_CHANCE
        if follows and companion is not None:
            choice = companion
        else:
            weights = np.exp(utility[left] - utility[left].max())
            choice = left[int(rng.choice(len(left), p=weights / weights.sum()))]
        left.remove(choice)
        bought.append((choice, follows))
    return bought


def _times(follows: list[bool], rng: np.random.Generator) -> list[int]:
    """Seconds since 1970: days apart, minutes apart for a companion, now and then equal."""
    now = int(OPENING.timestamp()) + int(rng.integers(JOIN_DAYS * SECONDS_A_DAY))
    times = [now]
    for companion in follows[1:]:
        gap = rng.integers(120, 3600) if companion else 3600 + rng.exponential(GAP_DAYS * SECONDS_A_DAY)
        now += 0 if rng.random() < BASKET_CHANCE else int(gap)
        times.append(now)
    return times
