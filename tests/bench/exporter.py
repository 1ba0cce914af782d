"""One process that exports the losses of the whole fleet: `python -m tests.bench.exporter --models 500 --port 9000`.

Every value is a function of the time: ``active`` seconds of traffic in each slice, times the model's rate and loss.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from tests.bench.fleet import BELOW, EDGES, GUARD, PERIOD, Kind, Mix, Served, Shape, fleet


@dataclass(slots=True)
class Progress:
    """Seconds of traffic, and the same weighted by the loss, since ``first``, of one pattern of slices."""

    served: Served
    first: int
    index: int = field(init=False)
    count: float = 0.0
    total: float = 0.0

    def __post_init__(self) -> None:
        self.index = self.first

    def at(self, now: float) -> tuple[float, float]:
        length = self.served.shape.slice
        index = int(now // length)
        while self.index < index:
            traffic, loss = self.served.level(self.index)
            self.count += traffic * (length - 2 * GUARD)
            self.total += traffic * loss * (length - 2 * GUARD)
            self.index += 1
        traffic, loss = self.served.level(index)
        active = min(max(now - index * length - GUARD, 0.0), length - 2 * GUARD)
        return self.count + traffic * active, self.total + traffic * loss * active


@dataclass(frozen=True, slots=True)
class Line:
    """A series: its text up to the value, and the value per second of traffic and per loss-weighted second."""

    text: str
    per_count: float
    per_total: float


def lines_of(served: Served) -> Iterator[Line]:
    model_label, version_label = served.labels
    for version, rate, loss in served.versions():
        labels = f'namespace="{served.namespace}",{model_label}="{served.name}",{version_label}="{version}"'
        metric = served.metric
        for edge, share in zip((*EDGES, None), (*BELOW[version], 1.0), strict=True):
            le = "+Inf" if edge is None else repr(edge)
            yield Line(f'{metric}_bucket{{{labels},le="{le}"}} ', rate * share, 0.0)
        yield Line(f"{metric}_count{{{labels}}} ", rate, 0.0)
        yield Line(f"{metric}_sum{{{labels}}} ", 0.0, rate * loss)
        # About what a loss with this mean and a standard deviation of half of it has.
        yield Line(f"{metric}_squares_total{{{labels}}} ", 0.0, rate * loss * loss * 1.25)
        yield Line(f"ml_predictions_total{{{labels}}} ", rate, 0.0)
        for reason in ("nan", "inf"):
            yield Line(f'ml_loss_invalid_total{{{labels},reason="{reason}"}} ', 0.0, 0.0)


class Exporter:
    """Renders all series at a time. The steady models share one progress."""

    def __init__(self, models: tuple[Served, ...], now: float) -> None:
        self._lock = Lock()
        self._parts: list[tuple[Progress, list[Line]]] = []
        shared: dict[Kind, list[Line]] = {}
        for served in models:
            lines = shared.get(served.kind)
            if lines is None:
                lines = []
                if served.kind is not Kind.NOISY:
                    shared[served.kind] = lines
                first = int(now // served.shape.slice) // PERIOD * PERIOD
                self._parts.append((Progress(served, first), lines))
            lines.extend(lines_of(served))

    @property
    def series(self) -> int:
        return sum(len(lines) for _, lines in self._parts)

    def render(self, now: float) -> bytes:
        with self._lock:
            text: list[str] = []
            for progress, lines in self._parts:
                count, total = progress.at(now)
                text.extend(f"{line.text}{line.per_count * count + line.per_total * total!r}\n" for line in lines)
        return "".join(text).encode()


def _handler(exporter: Exporter) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exporter.render(time.time())
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
            pass

    return Handler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=500)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--shape", type=Shape.loads, default=Shape())
    parser.add_argument("--mix", type=Mix, choices=list(Mix), default=Mix.MIXED)
    arguments = parser.parse_args()
    exporter = Exporter(fleet(arguments.models, arguments.shape, arguments.mix), time.time())
    ThreadingHTTPServer(("127.0.0.1", arguments.port), _handler(exporter)).serve_forever()


if __name__ == "__main__":
    main()
