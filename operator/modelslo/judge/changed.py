"""Copies of frozen dataclasses with other fields. A fold makes several per scrape, where `dataclasses.replace` takes
a fifth of its time: it reads and sets each field by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import replace as changed  # so that the types of the fields are checked
else:

    def changed(value: Any, /, **fields: Any) -> Any:
        """A copy of `value`, a dataclass without slots and ``__post_init__``, with these fields."""
        copy = object.__new__(type(value))
        copy.__dict__.update(value.__dict__)
        copy.__dict__.update(fields)
        return copy


__all__ = ["changed"]
