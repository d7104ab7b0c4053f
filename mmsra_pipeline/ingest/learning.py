"""What rows taught a reader holds for later rows, and, carried by marks, for a later reading.

Nothing of it is listed by name, so that nothing can be forgotten: of a ``Learner`` every attribute is carried but those
that it calls ``OUTER``. An attribute that JSON cannot hold keeps marks from being noted; then all is read again.
"""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar

PLAIN = (type(None), bool, int, str)


class NotCarriedError(TypeError):
    """What a reader learnt is nothing that a mark can hold."""


class Learner:
    """Learns from rows what holds for the rows behind them."""

    OUTER: ClassVar[frozenset[str]] = frozenset()
    """Attributes that are given from outside, or follow from the place in the file alone."""
    KINDS: ClassVar[tuple[type, ...]] = ()
    """Frozen dataclasses that its attributes may be."""

    def state(self) -> dict[str, Any]:
        """Return all that was learnt, as JSON.

        Raises:
            NotCarriedError: if JSON cannot hold an attribute.
        """
        carried = {name: value for name, value in vars(self).items() if name not in self.OUTER}
        return {name: self._written(value, name) for name, value in carried.items()}

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Begin with what ``state`` returned behind the rows before."""
        for name, value in state.items():
            setattr(self, name, self._read(value, vars(self).get(name)))

    def _written(self, value: Any, name: str) -> Any:
        if type(value) in PLAIN or (type(value) is float and math.isfinite(value)):
            return value
        if isinstance(value, Learner):
            return {"learner": value.state()}
        if type(value) in (list, tuple):
            entries = [self._written(entry, name) for entry in value]
            return entries if type(value) is list else {"tuple": entries}
        if type(value) is dict:
            return {"dict": [[self._written(key, name), self._written(entry, name)] for key, entry in value.items()]}
        if type(value) in self.KINDS:
            return {
                type(value).__name__: {
                    each.name: self._written(getattr(value, each.name), name) for each in fields(value)
                }
            }
        raise NotCarriedError(f"{type(self).__name__}.{name} is {type(value).__name__}, which a mark cannot hold")

    def _read(self, value: Any, current: Any) -> Any:
        if isinstance(value, list):
            return [self._read(entry, None) for entry in value]
        if not isinstance(value, dict):
            return value
        ((kind, inner),) = value.items()
        if kind == "learner":
            current.go_on(inner)  # what is outer to it, it has by now
            return current
        if kind == "tuple":
            return tuple(self._read(entry, None) for entry in inner)
        if kind == "dict":
            known = current if isinstance(current, dict) else {}
            pairs = [(self._read(key, None), entry) for key, entry in inner]
            return {key: self._read(entry, known.get(key)) for key, entry in pairs}
        found = next(each for each in self.KINDS if each.__name__ == kind)
        return found(**{name: self._read(entry, None) for name, entry in inner.items()})
