"""Settings of the first stages: which interactions count, what is read of items, which pictures are fetched."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from mmsra_pipeline.config.section import Section, Share


class InteractionsConfig(Section):
    """Which interactions count, and who is held out."""

    max_reject_share: Share = 0.05
    """The check few_rejects fails when a larger share of the source's rows was refused."""
    min_rating: float | None = None
    """Reviews rated lower are no interactions. Unset: all count."""
    require_image: bool = False
    """Reviews of items without a picture file are no interactions."""
    repeats: Literal["first", "last"] = "first"
    """Which interaction of one user with one item counts; the others are none."""
    user_core: PositiveInt = 6
    """Users with fewer interactions are dropped, repeatedly (k-core). Sec. 4: 'few interactions are dropped'."""
    item_core: PositiveInt = 5
    """Items with fewer interactions are dropped, repeatedly."""
    max_items: PositiveInt | None = None
    """Keep only this many items, those of most interactions, before the k-core. Bounds the work on a small machine."""
    max_users: PositiveInt | None = None
    """Keep a random sample of this many users, after the k-core. Bounds the work on a small machine."""
    split: Literal["by_user", "leave_last_out", "global_time"] = "by_user"
    """by_user: users fall 8:1:1 into train, validation and test (sec. 4). leave_last_out: each user's last interaction
    is for test, the one before for validation. global_time: the first 80 % of all interactions are for training; a
    user's first one in the next 10 % is for validation, the first in the last 10 % for test."""
    min_history: PositiveInt = 1
    """Interactions with fewer before them are asked for in no split."""
    history_limit: PositiveInt = 50
    """Interactions of a history that the sequential model reads; the prompt reads fewer."""


class FetchConfig(Section):
    """Pictures that the source names by URL."""

    enabled: bool = False
    """Fetch them from the web. Off: those that were fetched before are used, the others count as missing."""
    contact: Annotated[str, Field(pattern=r"^[!-~]*$")] = ""
    """Page or mailbox that the User-Agent shows, so that whoever runs a server can reach you."""
    respect_robots: bool = True
    """Pictures that a server's robots.txt closes to robots are not fetched."""
    allow_private_addresses: bool = False
    """Also from this machine and its own network. Only for sources whose every URL you trust."""
    ports: tuple[PositiveInt, ...] = (80, 443)
    """Other ports are refused."""
    max_bytes: PositiveInt = 20_000_000
    """Larger files are refused, while they are read at the latest."""
    revalidate_days: NonNegativeFloat = 30
    """A picture, or a refusal that will last, is asked about again after this time."""
    workers: PositiveInt = 16
    """Pictures on their way at once."""
    per_host: PositiveInt = 4
    """Of them from one host."""
    pause_seconds: NonNegativeFloat = 0
    """Between the beginnings of two requests to one host. A longer Crawl-delay of its robots.txt holds instead."""
    connect_seconds: PositiveFloat = 10
    """Until a connection stands, at most."""
    read_seconds: PositiveFloat = 20
    """Without a byte."""
    deadline_seconds: PositiveFloat = 60
    """One picture in all, its further tries included, waits between them not."""
    tries: PositiveInt = 3
    """Of a picture in one run, where the failure may pass."""
    backoff_seconds: NonNegativeFloat = 1
    """Before the second try; each further wait is twice as long."""
    retry_after_seconds: NonNegativeFloat = 60
    """A host that asks for a longer wait is left alone for the rest of the run."""
    host_failures: PositiveInt = 20
    """Failures in a row after which a host is left alone for the rest of the run."""


class ItemsConfig(Section):
    """What is kept of an item's text and picture."""

    max_text_chars: PositiveInt = 600
    """Text is cut at a word boundary below this length."""
    image_side: PositiveInt = 256
    """Stored pictures have no side longer than this, in pixels."""
    max_image_pixels: PositiveInt = 40_000_000
    """Larger source pictures are refused before they are decoded (decompression bombs)."""
    cold_items: bool = True
    """Keep items of the catalogue that nobody took yet."""
    fetch: FetchConfig = FetchConfig()
