"""What is wrong, in plain words, and what mends it: all findings, and those about roles and versions. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from modelslo.api.address import shown
from modelslo.api.spec import ModelSLOSpec
from modelslo.cli.doctor_finding import Finding, Role, listed, shares
from modelslo.cli.doctor_labels import ages, labels, predictions
from modelslo.cli.doctor_look import Look
from modelslo.cli.doctor_series import absent, buckets, of_age, scraping, slices, sums
from modelslo.judge.parameters import Parameters


def findings(look: Look, spec: ModelSLOSpec, parameters: Parameters, roles: tuple[Role, ...]) -> list[Finding]:
    """Everything that is wrong or worth a remark, most fundamental first."""
    evidence = look.evidence
    if evidence.gap is not None and evidence.queries and evidence.queries[0].error:
        return [Finding(True, evidence.gap.message, _unreachable(look))]
    found = [*_vetoes(look), *_versions_named(spec, roles)]
    if look.absence is not None:
        return [*absent(look, look.absence), *found]
    found += [
        *of_age(look, parameters),
        *sums(look),
        *_versions_seen(look, roles),
        *_shadow(look, spec, parameters, roles),
        *predictions(look, spec, parameters),
        *labels(look, spec, parameters),
        *ages(look),
        *buckets(look, parameters),
        *scraping(look, parameters),
        *slices(look, parameters),
    ]
    found += [Finding(True, f"An extra query failed: {failure}") for failure in look.failures]
    return found


def _vetoes(look: Look) -> Iterator[Finding]:
    for one in look.vetoes:
        if one.failure:
            yield Finding(True, one.failure)
        elif one.value is not None:
            nought = one.value == 0
            yield Finding(
                False,
                f"The veto {one.veto.name!r} stands: nothing is decided, and a canary is not compared."
                + (" Its value is 0, and any value lets it stand." if nought else ""),
                "If it should not stand at 0, compare without bool: `x > 0` returns nothing where it is not so."
                if nought
                else "Mend what it tells of; it lifts by itself.",
            )


def _unreachable(look: Look) -> str:
    return (
        f"Is {shown(look.ask.source.url)} right as seen from here? Inside the cluster it may be: "
        f"`kubectl -n modelslo-system exec deploy/modelslo-operator -- "
        f"modelslo doctor {look.ask.model.name} -n {look.ask.model.namespace}` asks "
        "as the operator does. From outside use `kubectl port-forward` and --prometheus-url."
    )


def _versions_named(spec: ModelSLOSpec, roles: tuple[Role, ...]) -> Iterator[Finding]:
    variable = spec.rollout.version_from.env if spec.rollout else ""
    for role in roles:
        if not role.there:
            yield Finding(
                True,
                f"There is no Deployment {role.deployment!r} ({role.name}).",
                f"Create it, or correct spec.rollout.{role.name}.name.",
            )
        elif role.version is None:
            yield Finding(
                True,
                f"Deployment {role.deployment!r} ({role.name}) names no version: its first container has no plain "
                f"environment variable {variable}.",
                f"Set {variable}, or spec.rollout.versionFrom.env to the variable that holds the version.",
            )


def _versions_seen(look: Look, roles: tuple[Role, ...]) -> Iterator[Finding]:
    there = tuple(dict.fromkeys(one.version for one in look.found if one.metric.endswith("_count")))
    label = look.ask.selector.version_label
    if "" in there:
        yield Finding(
            True,
            f"Series of this model have no label {label}.",
            "Set spec.indicator.loss.versionLabel to the label that holds the version.",
        )
    versions = {role.version for role in roles}
    for role in roles:
        if role.version is None or role.version in there:
            continue
        idle = role.name == "canary" and role.replicas == 0
        yield Finding(
            not idle,
            f"Version {role.version!r} of {role.name} is not seen in Prometheus"
            + (", and has no pods." if idle else f"; it has {listed(there)}."),
            "" if idle else f"Does the exporter set {label} to the version that predicted?",
        )
    if len(roles) == 2 and len(versions) == 1 and None not in versions:
        yield Finding(
            False, f"Stable and canary name the same version {roles[0].version!r}: there is no canary to judge."
        )
    for version in there:
        if roles and version and version not in versions:
            yield Finding(False, f"Prometheus also has version {version!r}, which no Deployment serves now.")


def _shadow(look: Look, spec: ModelSLOSpec, parameters: Parameters, roles: tuple[Role, ...]) -> Iterator[Finding]:
    """Of a shadow: whether the mirror reaches it. That is the user's own, and nothing else tells of it."""
    if spec.rollout is None or spec.rollout.shadow is None or len(roles) < 2:
        return
    stable, shadow = roles
    served = {one.version: one.predictions for one in shares(look, parameters)}
    of_stable, copied = served.get(stable.version or "", 0.0), served.get(shadow.version or "", 0.0)
    if shadow.replicas == 0 or stable.version == shadow.version or of_stable == 0:
        return
    if copied == 0:
        yield Finding(
            True,
            f"The shadow {shadow.version!r} has pods and predicted nothing, while stable did.",
            "Have the mirror copy requests to a Service of the shadow's pods alone.",
        )
        return
    yield Finding(
        False,
        f"The canary is a shadow: it answered copies of {copied / of_stable:.0%} of stable's requests. That no user "
        "sees them is for the Service and the mirror to keep.",
    )
