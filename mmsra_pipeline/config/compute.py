"""Settings of the machines and processes that wide work is spread over. None of them changes what is computed."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from mmsra_pipeline.config.section import Section


class ComputeConfig(Section):
    """Where keywords are written, candidates scored and the recommender trained."""

    engine: Literal["local", "ray"] = "local"
    """local: in the process of the asset. ray: keywords and scores by actors of a Ray cluster (extra `ray`)."""
    address: Annotated[str, Field(pattern=r"^(auto|local|[\w.-]+:\d+)$")] = "auto"
    """Of the Ray cluster: auto (the one that this machine belongs to), local (started for the run), or HOST:PORT of its
    head. The machine that runs the asset must be a node of it."""
    workers: PositiveInt = 2
    """Actors, each with the model in memory, on as many nodes as have room."""
    cpus_per_worker: PositiveInt = 1
    """Cores of one, which are also torch's threads in it."""
    gpus_per_worker: NonNegativeFloat = 0
    """GPUs of one; 0.5: two share a GPU. 0: on the CPU, unless `backbone.device` says cuda."""
    lists_per_shard: PositiveInt = 16
    """Candidate lists that are handed to a worker at once. Of keywords it is a batch (`backbone.batch_size`)."""
    tries: PositiveInt = 3
    """Of a shard whose worker died or failed; then its rows are tried one by one, and one that fails is named."""
    start_seconds: PositiveInt = 300
    """So long the run waits while no worker at all is there, for example because the cluster has no free room."""
    training_ranks: PositiveInt = 1
    """Processes, a GPU each where there are some, that compute the gradients of one training of the recommender."""
