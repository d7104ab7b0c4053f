"""Users of the made-up shop and what they buy.

A user takes the next product by a softmax over utility = taste + popularity. Or, if the last product has a companion,
often that one: pairs of products that share no attribute, so that only interactions tell they belong together.

A taste is for one value of a main attribute and, less, for one of a minor attribute. The other attributes do not count,
so that four purchases show a taste; were it spread over all of them, nobody could infer it from so few. Some users go
by pictures alone and some by text alone.
"""

from typing import Final

import numpy as np
import pandas as pd
from jaxtyping import Float

VISIBLE: Final = ("colour", "pattern", "shape")
TEXTUAL: Final = ("material", "use", "brand")
MAIN: Final = {
    "picture": ("colour", "shape"),
    "text": ("material", "use"),
    "both": ("colour", "shape", "material", "use"),
}
"""What may be the main attribute of whom, by what they care for."""
MAIN_WEIGHT = 5.0  # added to the utility of a product that has the favourite value of the main attribute
MINOR_WEIGHT = 3.0  # or of the minor one
COMPANION_CHANCE = 0.6
BASKET_CHANCE = 0.04  # that two purchases carry the same time
OPENING = pd.Timestamp("2024-01-08T08:00:00Z")
GAP_DAYS = 4.0
SECONDS_A_DAY = 86_400


def popularity_utility(count: int, fall: float, rng: np.random.Generator) -> Float[np.ndarray, " products"]:
    """Return each product's utility from popularity alone, mean 0: it falls by ``fall`` times log(rank)."""
    values: Float[np.ndarray, " products"] = -fall * np.log(1 + rng.permutation(count).astype(np.float64))
    values -= values.mean()
    return values


def make_companions(products: pd.DataFrame, pairs: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return pairs of products (columns ``item_id``, ``companion_id``), both orders, that share no attribute.

    Each product is in one pair at most.
    """
    attributes = products[[*VISIBLE, *TEXTUAL]].to_numpy()
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


def make_users(products: pd.DataFrame, count: int, one_sided: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return users, each with the two attributes that the taste goes by and the favourite value of either.

    Args:
        products: whose values may be favourites.
        count: of users.
        one_sided: so many users care for pictures alone, and so many for text alone.
        rng: draws who cares for what.

    Returns:
        ``user_id``; ``cares_for``, a key of ``MAIN``; ``main`` and ``minor``, two attributes, of one kind (``VISIBLE``
        or ``TEXTUAL``) unless ``cares_for`` is "both"; for each attribute the favourite value, "" of all but those two.
    """
    width = id_width(count)
    sides = np.array(["picture"] * one_sided + ["text"] * one_sided + ["both"] * (count - 2 * one_sided))
    values = {attribute: sorted(products[attribute].unique()) for attribute in (*VISIBLE, *TEXTUAL)}
    rows: list[dict[str, str]] = []
    for number, cares_for in enumerate(map(str, rng.permutation(sides)), start=1):
        main = str(rng.choice(MAIN[cares_for]))
        minor = str(rng.choice(_minors(cares_for, main)))
        row = {"user_id": f"u{number:0{width}d}", "cares_for": cares_for, "main": main, "minor": minor}
        row |= {name: str(rng.choice(some)) if name in (main, minor) else "" for name, some in values.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _minors(cares_for: str, main: str) -> list[str]:
    """Attributes that may stand beside the main one: of the other kind, or else others of the same."""
    own, other = (VISIBLE, TEXTUAL) if main in VISIBLE else (TEXTUAL, VISIBLE)
    return [attribute for attribute in (other if cares_for == "both" else own) if attribute != main]


def id_width(count: int) -> int:
    """Return how many digits the ids of ``count`` things have: p001 of 100, p0001 of 1,000."""
    return max(3, len(str(count)))


def utilities(users: pd.DataFrame, products: pd.DataFrame) -> Float[np.ndarray, "users products"]:
    """Return each user's utility of each product: its popularity, and more where it has a favourite value."""
    total = np.tile(products["popularity"].to_numpy(dtype=np.float64), (len(users), 1))
    for attribute in (*VISIBLE, *TEXTUAL):
        weight = MAIN_WEIGHT * (users["main"] == attribute) + MINOR_WEIGHT * (users["minor"] == attribute)
        liked = users[attribute].to_numpy()[:, None] == products[attribute].to_numpy()[None, :]
        total += weight.to_numpy()[:, None] * liked
    return total


def make_events(
    users: pd.DataFrame,
    products: pd.DataFrame,
    companions: pd.DataFrame,
    lengths: tuple[int, int],
    join_days: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return the purchases: user_id, item_id, timestamp (seconds), rating, by_companion; sorted by time.

    A user takes ``lengths[0]`` to ``lengths[1]`` products, the first within ``join_days`` of the opening. Nobody buys a
    product twice, and new products (``is_new``) are not bought yet.
    """
    ids = products["item_id"].tolist()
    place = {item: index for index, item in enumerate(ids)}
    partner = {place[a]: place[b] for a, b in companions.itertuples(index=False)}
    on_sale = np.flatnonzero(~products["is_new"].to_numpy())
    rows = []
    for user, utility in zip(users["user_id"], utilities(users, products)):
        count = min(int(rng.integers(lengths[0], lengths[1] + 1)), len(on_sale))
        bought = _purchases(utility, partner, on_sale, count, rng)
        seconds = _times([follows for _, follows in bought], join_days, rng)
        middle = float(np.median(utility))  # about what a product has that has no favourite value
        for (index, follows), second in zip(bought, seconds):
            rating = int(np.clip(round(1.6 + 0.35 * (utility[index] - middle) + rng.normal(0, 0.6)), 1, 5))
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


def _times(follows: list[bool], join_days: int, rng: np.random.Generator) -> list[int]:
    """Seconds since 1970: days apart, minutes apart for a companion, now and then equal."""
    now = int(OPENING.timestamp()) + int(rng.integers(join_days * SECONDS_A_DAY))
    times = [now]
    for companion in follows[1:]:
        gap = rng.integers(120, 3600) if companion else 3600 + rng.exponential(GAP_DAYS * SECONDS_A_DAY)
        now += 0 if rng.random() < BASKET_CHANCE else int(gap)
        times.append(now)
    return times
