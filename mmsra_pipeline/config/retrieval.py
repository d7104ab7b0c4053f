"""Settings of collaborative signals: sequential model, similar users, co-occurrence, first stage."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from mmsra_pipeline.config.section import Section, Share


class EncoderConfig(Section):
    """The sequential model whose history embedding e_u finds similar users (sec. 3.4)."""

    kind: Literal["sasrec", "gru4rec"] = "sasrec"
    """The network over the history."""
    dim: PositiveInt = 64
    """Numbers of an item vector and of a user vector."""
    layers: PositiveInt = 2
    """Blocks, or recurrent layers."""
    heads: PositiveInt = 2
    """Of attention; sasrec alone."""
    dropout: Share = 0.2
    """Share of activations that training leaves out."""
    max_length: PositiveInt = 50
    """Latest items of a history that are read."""
    epochs: PositiveInt = 200
    """Passes over the training histories, at most."""
    patience: PositiveInt = 20
    """Epochs without a better validation NDCG@10 before training ends."""
    validation_users: PositiveInt = 10_000
    """Validation queries that are looked at after each epoch, a random sample where there are more."""
    batch_size: PositiveInt = 32
    """Windows of histories a step."""
    learning_rate: PositiveFloat = 3e-3
    """Of Adam."""
    negatives: PositiveInt = 128
    """Negatives per window of a history; an item of the window is none."""
    loss: Literal["catalogue", "softmax", "bce", "gbce"] = "catalogue"
    """catalogue: cross-entropy over all items; of more than ``catalogue_items`` it is softmax. softmax: cross-entropy
    over positive and negatives. bce: SASRec's own; it stays at popularity for some 15 epochs first and needs patience.
    gbce: of gSASRec (arXiv 2308.07192)."""
    catalogue_items: PositiveInt = 20_000
    """Up to this many items the loss ``catalogue`` looks at all of them."""
    folds: Annotated[int, Field(ge=2)] | None = 5
    """Parts of the users, for each of which a further encoder is trained without it: what a prompt says of a training
    query must not come of a model that learned the answer. Two ruin it on sparse data. Unset: none, and training
    queries are answered by the one encoder."""
    calibration: Share = 0.75
    """t of gbce: corrects the overconfidence that sampled negatives teach. 0 is bce."""

    @model_validator(mode="after")
    def _heads_share_the_dimensions(self) -> "EncoderConfig":
        if self.kind == "sasrec" and self.dim % self.heads:
            raise ValueError(f"dim={self.dim} is not a multiple of heads={self.heads}, so heads cannot share it")
        return self


class SimilarUsersConfig(Section):
    """Whose next items become context."""

    k: PositiveInt = 3
    """Similar users per query whose next items the prompt shows (sec. 4: 3)."""
    voters: PositiveInt = 50
    """Similar users per query who vote for candidates by what they took next."""
    rule: Literal["as_of", "training_users"] = "as_of"
    """as_of: a neighbour's next item counts only if it happened before the query. training_users: the paper's rule,
    which lets it lie in the future."""
    exact_entries: PositiveInt = 1_000_000
    """Training moments up to which all are compared with each query. Of more the nearest cells are searched, which
    finds most of them; nothing from the future is found either way."""
    held_out_queries: PositiveInt = 20_000
    """Validation and test queries each, of as many random users, that get similar users where the search is not exact.
    ``evaluation.users`` must not be more then."""
    served_days: PositiveInt | None = 30
    """Where the search is not exact: of the queries of serving those get similar users whose users were seen in so many
    days before the latest interaction. Fewer than ``recommendations.active_days`` leave users without votes who are
    asked about, and so does a number for ``recommendations.users``. Unset, or without times: all."""


class CooccurrenceConfig(Section):
    """Items that users take soon after each other, counted once for evidence, first stage, baseline and neighbor table.

    Evidence looks at the last 20 items and right after the last, whatever ``window`` is.
    """

    window: PositiveInt | None = 5
    """Interactions that lie at most this far apart in a history co-occur. Unset: however far."""
    session_hours: PositiveFloat | None = None
    """A longer time between two interactions ends a session; only interactions of one session co-occur. Unset: a
    history is one session."""
    neighbors_per_item: PositiveInt = 20
    """Rows of the neighbor table an item, at most."""


class FirstStageConfig(Section):
    """Candidates out of the whole catalogue, before the model ranks them."""

    candidates: PositiveInt = 20
    """Items that the first stage hands to the recommender, a user."""
    cold_items: Share = 0.1
    """Share of the places for items that nobody took yet, by their keywords. Without keywords none is kept."""


class RetrievalConfig(Section):
    """Collaborative signals."""

    encoder: EncoderConfig = EncoderConfig()
    similar_users: SimilarUsersConfig = SimilarUsersConfig()
    cooccurrence: CooccurrenceConfig = CooccurrenceConfig()
    first_stage: FirstStageConfig = FirstStageConfig()
