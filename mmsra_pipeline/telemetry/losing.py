"""What MLflow cannot take is lost, and the training that says it is not."""

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Final

from mmsra_pipeline.errors import TrackingError

PAUSE_SECONDS = 60.0
"""How long nothing is asked after a failure: MLflow waits 20 s for a locked database, so at each point of a curve."""
PASSING: Final = ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR")
"""What MLflow calls a locked database and a server that does not answer; what is wrong in the call has other names."""

logger = logging.getLogger(__name__)


def passes(error: Exception) -> bool:
    """Whether the store did not answer, or was locked, so that the same call may be answered later."""
    from mlflow.exceptions import MlflowException  # 4 s: only where MLflow was asked before

    return isinstance(error, TrackingError) or (isinstance(error, MlflowException) and error.error_code in PASSING)


@contextlib.contextmanager
def losing(what: str, level: int = logging.WARNING) -> Iterator[None]:
    """Go on without what is asked of MLflow here if it passes, and log that ``what`` is not kept."""
    try:
        yield
    except Exception as error:
        if not passes(error):
            raise
        first = (str(error).splitlines() or [type(error).__name__])[0]
        logger.log(level, "MLflow did not take %s, so it is not kept there: %s", what, first)


class Patience:
    """Asks MLflow for what may be lost. After a failure nothing is asked for a while; the first one is a warning."""

    def __init__(self) -> None:
        self.lost = 0
        """Calls that were not made or failed."""
        self._until = 0.0

    @contextlib.contextmanager
    def losing(self, what: str) -> Iterator[None]:
        """As ``losing``; also counts what was lost."""
        level = logging.INFO if self.lost else logging.WARNING
        self.lost += 1
        with losing(what, level):
            self._until = time.monotonic() + PAUSE_SECONDS
            yield
            self.lost -= 1
            self._until = 0.0

    def pauses(self) -> bool:
        """Whether it is too early to ask again; what would have been said counts as lost."""
        early = time.monotonic() < self._until
        self.lost += early
        return early
