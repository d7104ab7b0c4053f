"""Scores lists of candidates, in this process or in a worker of a cluster."""

import contextlib
import functools
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

from PIL import Image

from mmsra_pipeline.backbone.elsewhere import Origin, open_elsewhere, origin_of
from mmsra_pipeline.backbone.model import Backbone
from mmsra_pipeline.backbone.prompt import Prompt
from mmsra_pipeline.compute.shards import Shard
from mmsra_pipeline.compute.spreading import spread
from mmsra_pipeline.config.tree import ComputeConfig
from mmsra_pipeline.items.images import ItemImages, load_image
from mmsra_pipeline.recommendation import task_prompts
from mmsra_pipeline.recommendation.task_prompts import Parts, Picture
from mmsra_pipeline.storage.artifacts import Artifacts

Query = tuple[str, int]
"""User and position."""
PromptList = Sequence[Parts]
"""The prompts of one list."""
Scores = list[tuple[float, float]]
"""(logit, mass) of each candidate of a list."""
Spread = Callable[[Iterable[tuple[Query, PromptList]]], Generator[tuple[Query, Scores]]]
"""Has lists scored, and gives their scores as they are done."""


class ListScorer:
    """Scores lists one by one. The weights are prepared for many of them at the first one."""

    def __init__(self, backbone: Backbone, autocast: bool | str) -> None:
        """``autocast``: a value of ``recommendation.scoring_autocast``."""
        self._backbone = backbone
        self._wanted = autocast
        self._prepared: contextlib.ExitStack | None = None
        self._autocast = False

    def __enter__(self) -> "ListScorer":
        return self

    def __exit__(self, *_: object) -> None:
        if self._prepared:
            self._prepared.close()

    def __call__(self, prompts: Sequence[Prompt]) -> Scores:
        """Return the scores of one list."""
        if self._prepared is None:
            self._autocast = self._backbone.autocasts(self._wanted)
            self._prepared = contextlib.ExitStack()
            self._prepared.enter_context(self._backbone.rounded(autocast=self._autocast))
        words = (task_prompts.YES, task_prompts.NO)
        answers = self._backbone.score_group(prompts, words, autocast=self._autocast)
        return list(zip(answers.margin.tolist(), answers.mass.tolist(), strict=True))


class Stored:
    """Pictures of a root by their hash."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    def get(self, image_sha256: str) -> Image.Image:
        """Return a picture in RGB."""
        return load_image(self._artifacts, image_sha256)


def by_workers(
    backbone: Backbone,
    artifacts: Artifacts,
    images: ItemImages | None,
    compute: ComputeConfig,
    *,
    autocast: bool | str,
) -> Spread | None:
    """Return what has lists scored by the workers of a cluster; None where this process is to score them.

    Args:
        backbone: whose weights the workers open. They are not read here.
        artifacts: of the root from which workers take weights and pictures.
        images: names the pictures that prompts show.
        compute: the engine, how many workers, how many lists a shard.
        autocast: a value of ``recommendation.scoring_autocast``.
    """
    if compute.engine == "local":
        return None
    make = functools.partial(scoring_elsewhere, origin_of(backbone, artifacts, compute.cpus_per_worker), autocast)

    def score(lists: Iterable[tuple[Query, PromptList]]) -> Generator[tuple[Query, Scores]]:
        asked: dict[str, Query] = {}

        def shards() -> Iterator[Shard]:
            waiting = iter(lists)
            while some := list(itertools.islice(waiting, compute.lists_per_shard)):
                names = [f"the list of user {user} at {position}" for (user, position), _ in some]
                asked.update(zip(names, (query for query, _ in some)))
                yield Shard(tuple(names), tuple(plain(prompts, images) for _, prompts in some))

        with contextlib.closing(spread(make, shards(), compute, "scoring")) as answers:
            for shard, found in answers:
                yield from ((asked.pop(name), scores) for name, scores in zip(shard.names, found, strict=True))

    return score


def plain(asked: PromptList, images: ItemImages | None) -> tuple[str, ...]:
    """Return prompts as text in which pictures stand by their hash, so that another machine can show them."""
    return tuple(task_prompts.to_json(tuple(_named(part, images) for part in parts)) for parts in asked)


def scoring_elsewhere(origin: Origin, autocast: bool | str) -> Callable[[Sequence[Sequence[str]]], list[Scores]]:
    """Make what scores lists in a worker of a cluster, written by ``plain``.

    Raises:
        MissingInputError: if weights are not to be had there.
        ConfigError: if the backbone there is another one.
    """
    backbone, artifacts = open_elsewhere(origin)
    scorer, stored = ListScorer(backbone, autocast), Stored(artifacts)
    _ = backbone.model

    def score(lists: Sequence[Sequence[str]]) -> list[Scores]:
        return [scorer([task_prompts.render(task_prompts.from_json(text), stored) for text in own]) for own in lists]

    return score


def _named(part: str | Picture, images: ItemImages | None) -> str | Picture:
    if isinstance(part, str):
        return part
    image_sha256 = images.image_hash(part.item) if images is not None else None
    return task_prompts.NO_PICTURE if image_sha256 is None else Picture(image_sha256)
