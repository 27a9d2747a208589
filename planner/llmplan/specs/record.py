"""What all records share: comparison, printing, plain data, written once for a fast start-up.

`@record` makes a frozen dataclass without the methods that `Record` already has: generating
them anew for each class would take a third of the time that the records take to import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, dataclass_transform

_T = TypeVar("_T")


def plain(value: Any) -> Any:
    """Return a record as JSON-ready data, fields in order."""
    names = getattr(value, "__dataclass_fields__", None) or getattr(value, "_fields", None)
    if names and not isinstance(value, type):
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return value


def as_dict(value: Any) -> dict[str, Any]:
    """Return a record as plain data, for the `to_dict` of every record."""
    result: dict[str, Any] = plain(value)
    return result


class Record:
    """Base of the records: equal by fields, hashable by identity of content, printable."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data in the order of its fields."""
        return as_dict(self)

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, n) for n in self.__dataclass_fields__)

    def __eq__(self, other: object) -> bool:
        """Compare field by field with a record of the same class."""
        if other.__class__ is not self.__class__:
            return NotImplemented
        assert isinstance(other, Record)
        return self._values() == other._values()

    def __hash__(self) -> int:
        """Hash the fields; mappings count by their keys."""
        values = (frozenset(v) if isinstance(v, Mapping) else v for v in self._values())
        return hash((self.__class__, *values))

    def __repr__(self) -> str:
        """Return the constructor call, as dataclasses print it."""
        names = self.__dataclass_fields__
        shown = ", ".join(f"{n}={getattr(self, n)!r}" for n in names)
        return f"{self.__class__.__name__}({shown})"


@dataclass_transform(frozen_default=True)
def record(cls: type[_T]) -> type[_T]:
    """Make a class a frozen dataclass."""
    return dataclass(frozen=True, eq=False, repr=False)(cls)
