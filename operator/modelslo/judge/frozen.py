"""Frozen dataclasses of which a fold makes dozens per scrape, and copies of them with other fields.

That nothing assigns to a field is checked by mypy instead of at run time: `dataclass(frozen=True)` takes three times as
long to make one, and `dataclasses.replace` five times as long to copy it, since both set field by field by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(*, eq: bool = True) -> Callable[[type[T]], type[T]]:
    """Makes a dataclass with slots. `eq`: compared by its fields; arrays cannot be."""
    return dataclass(slots=True, eq=eq, unsafe_hash=eq)


if TYPE_CHECKING:
    from dataclasses import replace as changed  # so that the types of the fields are checked
else:

    def changed(value: Any, /, **fields: Any) -> Any:
        """A copy of `value`, a dataclass without slots and ``__post_init__``, with these fields."""
        copy = object.__new__(type(value))
        copy.__dict__.update(value.__dict__)
        copy.__dict__.update(fields)
        return copy


__all__ = ["changed", "frozen"]
