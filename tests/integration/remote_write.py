"""Puts samples with chosen times into a real Prometheus through its remote-write receiver.

Start Prometheus with FLAG and CONFIG. Protocol: protobuf in snappy's block format, both written by hand; snappy may
hold literals only, so nothing is compressed.
"""

from __future__ import annotations

import struct
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

FLAG = "--web.enable-remote-write-receiver"
# Nothing is scraped; samples of one series may come after younger ones of another.
CONFIG = {"global": {"scrape_interval": "15s"}, "storage": {"tsdb": {"out_of_order_time_window": "1d"}}}
Sample = tuple[Mapping[str, str], int, float]
"""Labels with ``__name__``, Unix milliseconds, value."""


def push(url: str, samples: Iterable[Sample]) -> None:
    """Writes `samples` in the order of their times; returns when Prometheus has taken them."""
    ordered = sorted(samples, key=lambda sample: sample[1])
    for start in range(0, len(ordered), 5000):
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{url}/api/v1/write",
            data=_snappy(b"".join(_series(ordered[start : start + 5000]))),
            headers={"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            assert answer.status == 204


def _series(samples: Sequence[Sample]) -> Iterator[bytes]:
    def name(sample: Sample) -> list[tuple[str, str]]:
        return sorted(sample[0].items())

    for labels, of in groupby(sorted(samples, key=lambda sample: (name(sample), sample[1])), key=name):
        body = b"".join(_field(1, _field(1, key.encode()) + _field(2, value.encode())) for key, value in labels)
        for _, at, number in of:
            body += _field(2, b"\x09" + struct.pack("<d", number) + b"\x10" + _varint(at))
        yield _field(1, body)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _snappy(content: bytes) -> bytes:
    found = bytearray(_varint(len(content)))
    for start in range(0, len(content), 65536):
        part = content[start : start + 65536]
        found += bytes([61 << 2]) + struct.pack("<H", len(part) - 1) + part
    return bytes(found)
