"""What the shipped warm start was trained on: drawings, made-up scenes, texts of made-up shops and English prose.

Of no catalogue: it teaches what colours, patterns and shapes look like, the form of keywords, to take them out of a
text, and to say whether one is true.
"""

import re
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from mmsra_pipeline.backbone.embedded.drawing import COLOURS, PATTERNS, SHAPES, drawn_look
from mmsra_pipeline.config.tree import SummarizationConfig
from mmsra_pipeline.sample_store.shop import make_shop
from mmsra_pipeline.summarization.pseudo import pseudo_keywords
from mmsra_pipeline.summarization.warm_start.examples import Example, parts, summary_example, verification_example
from mmsra_pipeline.summarization.warm_start.picture_labels import PALETTE, SHADES, picture_labels

SHOPS = range(1000, 1006)  # seeds of the shops whose texts are read; no preset uses one of them
PROSE_WORDS = (14, 80)  # of a paragraph
TEXT_KEYWORDS = 8
LOOK_WORDS = (*COLOURS, *PATTERNS, *SHAPES)
PICTURE_WORDS = (*PALETTE, "bright", "dark", "photo", "drawing")

# Kinds of examples and their shares.
KINDS = {
    "drawing": 0.32,
    "drawing beside a text": 0.22,
    "scene": 0.10,
    "scene beside a text": 0.08,
    "text": 0.10,
    "verify a picture": 0.10,
    "verify a text": 0.08,
}


class GeneralExamples:
    """Makes the batch of any step, the same each time."""

    def __init__(self, config: SummarizationConfig, *, side: int, seed: int, batch_size: int, part_size: int) -> None:
        self._side, self._seed, self._batch, self._part = side, seed, batch_size, part_size
        count = min(TEXT_KEYWORDS, config.max_keywords)
        self._corpora = [(texts, pseudo_keywords(texts, count=count)) for texts in (shop_texts(), prose())]

    def batch(self, step: int) -> list[list[Example]]:
        """Return the examples of a step in parts of like length."""
        rng = np.random.default_rng([self._seed, step])
        shares = np.array(list(KINDS.values()))
        kinds = rng.choice(list(KINDS), size=self._batch, p=shares / shares.sum())
        return parts([self._example(str(kind), rng) for kind in kinds], self._part)

    def _example(self, kind: str, rng: np.random.Generator) -> Example:
        text, keywords = self._text(rng)
        if kind == "text":
            return summary_example(text, None, (), keywords)
        if kind == "verify a text":
            # The texts of a corpus are many; a keyword of another that this one has too is not false.
            others = [word for word in self._text(rng)[1] if word not in text.casefold()]
            return verification_example(text, keywords, others, rng) or summary_example(text, None, (), keywords)
        if kind == "verify a picture":
            labels, picture, words = self._labelled_picture(rng)
            example = verification_example(picture, labels, words, rng)
            return example or summary_example("", picture, labels, ())
        if kind.startswith("scene"):
            picture = made_up_scene(self._side, rng)
            labels = picture_labels(picture)
        else:
            labels, picture = drawn_look(self._side, rng)
        return (
            summary_example(text, picture, labels, keywords)
            if "beside" in kind
            else summary_example("", picture, labels, ())
        )

    def _labelled_picture(self, rng: np.random.Generator) -> tuple[tuple[str, ...], Image.Image, tuple[str, ...]]:
        if rng.uniform() < 0.7:
            look, picture = drawn_look(self._side, rng)
            return look, picture, LOOK_WORDS
        scene = made_up_scene(self._side, rng)
        return picture_labels(scene), scene, PICTURE_WORDS

    def _text(self, rng: np.random.Generator) -> tuple[str, list[str]]:
        texts, keywords = self._corpora[int(rng.integers(len(self._corpora)))]
        row = int(rng.integers(len(texts)))
        return texts[row], keywords[row]


def made_up_scene(side: int, rng: np.random.Generator) -> Image.Image:
    """Return a picture of some coloured regions: as flat as a drawing, or noisy and soft as a photo."""
    picture = Image.new("RGB", (side, side), _colour(rng))
    pen = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(1, 5))):
        x, y = np.sort(rng.integers(-side // 4, side + side // 4, size=(2, 2)), axis=1).tolist()
        box = [x[0], y[0], max(x[1], x[0] + 2), max(y[1], y[0] + 2)]
        form = int(rng.integers(3))
        if form == 0:
            pen.rectangle(box, fill=_colour(rng))
        elif form == 1:
            pen.ellipse(box, fill=_colour(rng))
        else:
            corners = rng.integers(0, side, size=(int(rng.integers(3, 7)), 2))
            pen.polygon([tuple(corner) for corner in corners.tolist()], fill=_colour(rng))
    if rng.uniform() < 0.6:
        soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, side / 16)))), dtype=np.float64)
        first, last = rng.uniform(0.7, 1.2, size=2).tolist()
        light = np.linspace(first, last, side)[:, None, None]
        grain = rng.normal(0, rng.uniform(2, 25), size=soft.shape)
        picture = Image.fromarray(np.clip(soft * light + grain, 0, 255).astype(np.uint8))
    return picture


@cache
def shop_texts() -> list[str]:
    """Texts of made-up products, as the asset ``item_text`` puts them together."""
    found: list[str] = []
    for seed in SHOPS:
        products = make_shop("large", seed).products
        described = products[products["has_text"]]
        found += (described["title"] + ". " + described["description"] + " " + described["use"]).tolist()
    return found


@cache
def prose() -> list[str]:
    """Paragraphs of English: the language reference that Python itself brings along (PSF licence)."""
    from pydoc_data.topics import topics

    least, most = PROSE_WORDS
    found: dict[str, None] = {}
    for topic in sorted(topics):
        for paragraph in re.split(r"\n\s*\n", topics[topic]):
            if paragraph.startswith(" " * 6) or "::" in paragraph or ">>>" in paragraph:
                continue  # code
            text = " ".join(re.sub(r"[*`\"_\\|=+<>{}\[\]]", " ", paragraph).split())
            letters = sum(character.isalpha() or character == " " for character in text)
            if least <= len(text.split()) <= most and letters >= 0.9 * len(text):
                found[text] = None
    return list(found)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    name = list(PALETTE)[int(rng.integers(len(PALETTE)))]
    shades = (PALETTE[name], *SHADES.get(name, ()))
    base = np.array(shades[int(rng.integers(len(shades)))]) + rng.normal(0, 12, size=3)
    red, green, blue = np.clip(base, 0, 255).astype(int).tolist()
    return red, green, blue
