"""Settings of a server that writes keywords in place of this process."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from mmsra_pipeline.config.section import Section


class GenerationServer(Section):
    """A server with OpenAI's chat API, such as vLLM's, that serves what `mmsra backbone export` wrote."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s?#@]+$")]
    """Up to and with the version: http://127.0.0.1:8000/v1."""
    requests: PositiveInt = 32
    """Sent at the same time; the server makes its own batches of them."""
    timeout_seconds: PositiveFloat = 120
    """For one answer."""
    tries: PositiveInt = 4
    """Of a request that is not answered, or with an error of the server's own; waits of 1, 2, 4 ... seconds between."""
    key_variable: Annotated[str, Field(pattern=r"^([A-Za-z_]\w*)?$")] = ""
    """The environment variable that holds the server's key, if it asks for one. The key itself is no setting."""
