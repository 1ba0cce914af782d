"""PromQL as text. Pure: every label value is escaped here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

MOST_NAMES: Final = 200
# Distinguishes the two halves of the answer to `slice_query`.
PART_LABEL: Final = "modelslo_part"
_META: Final = re.compile(r"([\\.+*?()|\[\]{}^$])")
# What may not stand in a double-quoted PromQL string as it is; U+FFFD is taken for broken UTF-8 by Prometheus' lexer.
_ESCAPED: Final = re.compile('[\\\\"\x00-\x1f\x7f\ufffd]')


def quoted(text: str) -> str:
    """`text` as a double-quoted PromQL string."""
    return '"' + _ESCAPED.sub(_escape, text) + '"'


def literal(text: str) -> str:
    """The RE2 pattern that matches `text` and nothing else."""
    return _META.sub(r"\\\1", text)


def matcher(label: str, values: Iterable[str]) -> str:
    """Matches `label` against one or several exact values."""
    distinct = sorted(set(values))
    if len(distinct) == 1:
        return f"{label}={quoted(distinct[0])}"
    return f"{label}=~{quoted('|'.join(literal(value) for value in distinct))}"


def selector(names: Sequence[str], matchers: Iterable[tuple[str, Iterable[str]]]) -> str:
    """Instant selector of the metrics `names`; `matchers` are (label, allowed values)."""
    parts = [matcher("__name__", names), *(matcher(label, values) for label, values in matchers)]
    return "{" + ",".join(parts) + "}"


def samples_query(names: Sequence[str], matchers: Iterable[tuple[str, Iterable[str]]], milliseconds: int) -> str:
    """Raw samples of the last `milliseconds`, with the times at which they were scraped."""
    return f"{selector(names, matchers)}[{milliseconds}ms]"


def slice_query(
    metric: str, matchers: Sequence[tuple[str, Iterable[str]]], labels: Iterable[str], milliseconds: int
) -> str:
    """Increase of sum and count of the histogram `metric` by `labels`; PART_LABEL is "sum" or "count"."""
    by = ",".join(dict.fromkeys(labels))

    def part(name: str) -> str:
        chosen = selector([f"{metric}_{name}"], matchers)
        increase = f"sum by ({by}) (increase({chosen}[{milliseconds}ms]))"
        return f'label_replace({increase}, "{PART_LABEL}", "{name}", "", "")'

    return f"{part('sum')} or {part('count')}"


def encodable(text: str) -> bool:
    """Whether `text` can be sent at all: JSON may carry half of a surrogate pair, UTF-8 may not."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escape(found: re.Match[str]) -> str:
    character = found.group()
    return "\\" + character if character in '\\"' else f"\\u{ord(character):04x}"
