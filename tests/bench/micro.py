"""Micro-benchmarks (to come)."""

from __future__ import annotations


def run() -> list[tuple[str, str]]:
    return []


def rendered(found: list[tuple[str, str]]) -> str:
    return "\n".join(f"| {name} | {value} |" for name, value in found)
