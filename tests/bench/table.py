"""The results as tables, beside the peers' figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tests.bench.fleet import Kind
from tests.bench.measure import Result

# Measured on this kind of machine by the same counts: 500 canaries, 2 metrics each, every 10 s (docs/bench.md).
PEERS: Mapping[str, tuple[str, str]] = {
    "API requests / model / min": ("4.9-6.0", "14.6 (73 raised)"),
    "evaluations done": ("80% (95% raised)", "22% (100% raised)"),
    "lateness p99, s": ("3.2", "41 (4.6 raised)"),
    # Of a canary: they count each of its two metrics.
    "CPU s / 1,000 evaluations": ("2.6-3.2", "3.0-7.8"),
    "RSS, MiB": ("142-154", "100-117"),
    "all judged after kill -9, s": ("24-29", "49-91"),
    "queries / tick": ("1,000", "1,000"),
}


def rows(result: Result, by_kind: Mapping[Kind, float]) -> list[tuple[str, str]]:
    """(what, figure)."""
    r = result
    return [
        ("models", f"{r.models} {r.mix}"),
        ("statuses equal to their known value", f"{r.checked - len(r.wrong)} of {r.checked}"),
        ("evaluations done", f"{r.share_done:.1%} ({r.done} of {r.due})"),
        ("evaluations by its own count", ", ".join(f"{name} {r.own.get(name, 0):.0f}" for name in ("done", "missed"))),
        ("lateness p50, s", f"{r.late_at(0.5):.2f}"),
        ("lateness p99, s", f"{r.late_at(0.99):.2f} (most {max(r.late, default=float('nan')):.2f})"),
        ("API requests / model / min", f"{r.per_model(r.requests):.3f}"),
        ("of these without the Lease", f"{r.per_model(r.of_models()):.3f}"),
        ("writes / model / min", f"{r.per_model([one for one in r.of_models() if one in r.writes]):.3f}"),
        *((f"writes / model / min, {kind}", f"{value:.3f}") for kind, value in by_kind.items()),
        ("queries / tick", f"{r.queries_per_tick:.1f}"),
        ("CPU s / 1,000 evaluations", f"{r.cpu_per_thousand:.2f}"),
        ("CPU cores", f"{r.cpu / r.seconds:.3f}"),
        ("RSS, MiB", f"{r.resident:.0f} (peak {r.peak:.0f})"),
        ("one read of /metrics, ms", f"{r.scrape_cost * 1000:.0f}"),
        ("first pass over all, s", f"{r.first_pass:.1f}"),
        ("all judged after kill -9, s", f"{r.takeover:.1f}" if r.takeover else "-"),
        ("the same, container of the same pod, s", f"{r.restart:.1f}" if r.restart else "-"),
    ]


def rendered(results: Sequence[tuple[Result, Mapping[Kind, float]]]) -> str:
    """All runs side by side, and the peers."""
    columns = [dict(rows(result, by_kind)) for result, by_kind in results]
    names = list(dict.fromkeys(name for column in columns for name in column))
    lines = [
        ["", *(column["models"] for column in columns), "Argo Rollouts (500)", "Flagger (500)"],
        ["---"] * (len(columns) + 3),
        *(
            [name, *(c.get(name, "-") for c in columns), *PEERS.get(name, ("", ""))]
            for name in names
            if name != "models"
        ),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def requests(result: Result) -> str:
    """Requests by what and by whom, and how they agree with the other counts."""
    counted = Counter((one.what, one.agent.partition(" ")[0][:24], one.code) for one in result.requests)
    lines = [f"{count:6d}  {what}  {code}  {agent}" for (what, agent, code), count in sorted(counted.items())]
    audited = sum(one.what == "patch modelslos/status" for one in result.requests)
    lines.append(
        f"        patches of status: {audited} by the audit log, {result.apiserver_writes:.0f} by the API server's "
        f"metrics; the engine counts {result.own.get('requests', 0):.0f} requests of its own"
    )
    lines.extend(f"{count:6d}  {path}" for path, count in sorted(result.queries.items()))
    return "\n".join(lines)
