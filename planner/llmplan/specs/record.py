"""What all records share: making, comparison, printing, plain data, written once.

`@record` makes a dataclass without methods of its own: `Record` has them for all. Generating
and compiling them anew for each class would double the time that the records take to import.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, FrozenInstanceError, dataclass
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

    def __init__(self, *args: Any, **given: Any) -> None:
        """Set the fields by position or by name, defaults where they are silent."""
        fields, values = self.__dataclass_fields__, self.__dict__
        if len(args) > len(fields):
            raise TypeError(f"{type(self).__name__} has {len(fields)} fields, not {len(args)}")
        values.update(zip(fields, args, strict=False))
        for name, value in given.items():
            if name in values or name not in fields:
                problem = "given twice" if name in values else "no field"
                raise TypeError(f"{type(self).__name__}: {name} is {problem}")
            values[name] = value
        if len(values) < len(fields):
            for name, f in fields.items():
                if name not in values:
                    values[name] = _default(self, f)
        self.__post_init__()

    def __post_init__(self) -> None:
        """Check what a type cannot say; ValueError names the field first."""

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: records do not change, `dataclasses.replace` makes another."""
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        """Refuse: records do not change."""
        raise FrozenInstanceError(f"cannot delete field {name!r}")

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


def _default(record: Record, field: Any) -> Any:
    if field.default is not MISSING:
        return field.default
    if field.default_factory is not MISSING:
        return field.default_factory()
    raise TypeError(f"{type(record).__name__} needs {field.name}")


@dataclass_transform(frozen_default=True)
def record(cls: type[_T]) -> type[_T]:
    """Make a class a dataclass whose records do not change."""
    return dataclass(init=False, eq=False, repr=False, match_args=False)(cls)
