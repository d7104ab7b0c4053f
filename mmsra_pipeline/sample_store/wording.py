"""Words of the made-up shop. No title or description tells a colour, a pattern or a shape: only pictures do."""

from typing import Final, NamedTuple

import numpy as np

MATERIALS: Final = ("ceramic", "cotton", "oak", "leather", "glass", "wool")
USES: Final = {
    "office": "a calm desk and long working days",
    "garden": "the terrace, the balcony and the vegetable patch",
    "travel": "trains, ferries and short trips",
    "kitchen": "busy kitchens and slow breakfasts",
    "nursery": "the smallest members of the family",
    "party": "birthdays and long evenings with friends",
}
BRANDS: Final = ("Aldervik", "Brontes", "Casa Lume", "Dunmore", "Elsinor", "Fjordhus")
STYLES: Final = ("classic", "rustic", "playful", "minimal", "vintage")
CARE: Final = {
    "ceramic": "Fired twice; wash it by hand.",
    "cotton": "Washable at forty degrees.",
    "oak": "Oil it once a year.",
    "leather": "Ages well; keep it dry.",
    "glass": "Mouth-blown; handle with care.",
    "wool": "Air it rather than wash it.",
}
FIRST: Final = (
    *(
        "Al",
        "Bel",
        "Cor",
        "Dal",
        "Ev",
        "Fen",
        "Gal",
        "Hal",
        "Is",
        "Jor",
        "Kel",
        "Lor",
        "Mar",
        "Nor",
        "Ol",
        "Per",
        "Quin",
    ),
    *("Ros", "Sol", "Tam", "Ul", "Ver", "Wil", "Yl", "Zan", "Bran", "Cas", "Dor", "El", "Fal", "Gren", "Hol", "Im"),
    *("Jun", "Kal", "Lin", "Mel", "Nim", "Or", "Pol"),
)
SECOND: Final = (
    *("andra", "bero", "cinta", "dine", "ette", "fora", "grin", "hem", "ino", "kara", "lund", "mora", "nessa", "olin"),
    *("pello", "quist", "rona", "stad", "tine", "una", "vik", "wyn", "zia", "aldo", "brik", "celle", "dova", "eska"),
    *("finn", "gora"),
)
PRAISE: Final = {
    5: ("Exactly what I hoped for.", "Would buy again at once.", "A joy every day."),
    4: ("Good, as described.", "Happy with it.", "Does what it should."),
    3: ("All right for the price.", "Neither good nor bad."),
    2: ("I had expected more.", "Not quite my taste."),
    1: ("Went back to the shop.", "A disappointment."),
}


class Facts(NamedTuple):
    """What the text of a product tells."""

    material: str
    use: str
    brand: str
    style: str


def model_names(count: int, rng: np.random.Generator) -> list[str]:
    """Return ``count`` different names of products.

    Raises:
        ValueError: if there are not so many.
    """
    names = [first + second for first in FIRST for second in SECOND]
    if count > len(names):
        raise ValueError(f"{count} names of products are asked for, but there are {len(names)}; add parts of names")
    return [names[index] for index in rng.permutation(len(names))[:count]]


def title(facts: Facts, name: str) -> str:
    """Return a product's title."""
    return f"{facts.brand} {name}, {facts.material}, for the {facts.use}"


def description(facts: Facts, rng: np.random.Generator) -> str:
    """Return a product's description: all of its facts, in one of several wordings."""
    article = "An" if facts.material[0] in "aeiou" else "A"
    openings = (
        f"{article} {facts.material} piece in {facts.style} style.",
        f"Made of {facts.material}, in the {facts.style} line of {facts.brand}.",
        f"{facts.brand} makes it of {facts.material}; the style is {facts.style}.",
    )
    return f"{openings[rng.integers(len(openings))]} Made for {USES[facts.use]}. {CARE[facts.material]}"


def review(rating: int, rng: np.random.Generator) -> str:
    """Return a short review; half of the buyers write none."""
    texts = PRAISE[rating]
    return texts[rng.integers(len(texts))] if rng.random() < 0.5 else ""
