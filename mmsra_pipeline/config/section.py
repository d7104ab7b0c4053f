"""What groups of settings are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A group of settings that one stage reads."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
