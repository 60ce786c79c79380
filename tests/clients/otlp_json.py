"""Reads the file exporter's form: one OTLP/JSON export request a line."""

import json
from collections.abc import Iterator
from pathlib import Path

# (list of resources, list of scopes, list of records) of each signal
SIGNALS = {
    "traces": ("resourceSpans", "scopeSpans", "spans"),
    "logs": ("resourceLogs", "scopeLogs", "logRecords"),
    "metrics": ("resourceMetrics", "scopeMetrics", "metrics"),
}
METRIC_KINDS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")


def lines(path: str | Path) -> Iterator[dict]:
    """Whole lines only: the writer may be in the middle of the last one."""
    try:
        text = Path(path).read_text()
    except FileNotFoundError:
        return
    for line in text.split("\n")[:-1]:
        yield json.loads(line)


def items(path: str | Path, signal: str) -> Iterator[tuple[dict, dict, dict]]:
    """(resource, scope, item); an item is a span, a log record, or a metric with exactly one of its points."""
    resources, scopes, records = SIGNALS[signal]
    for request in lines(path):
        for by_resource in request.get(resources, []):
            for by_scope in by_resource.get(scopes, []):
                # the schema URLs stand beside resource and scope: keep each with what it describes
                resource = {**by_resource.get("resource", {}), "schemaUrl": by_resource.get("schemaUrl", "")}
                scope = {**by_scope.get("scope", {}), "schemaUrl": by_scope.get("schemaUrl", "")}
                for record in by_scope.get(records, []):
                    for item in points(record) if signal == "metrics" else [record]:
                        yield resource, scope, item


def points(metric: dict) -> Iterator[dict]:
    """A metric of n points as n metrics of one point: how points are grouped into metrics carries no meaning."""
    for kind in METRIC_KINDS:
        for point in metric.get(kind, {}).get("dataPoints", []):
            yield {**metric, kind: {**metric[kind], "dataPoints": [point]}}


def attributes(item: dict) -> dict:
    """Attributes as a plain mapping; enough for scalars."""
    return {each["key"]: next(iter(each.get("value", {}).values()), None) for each in item.get("attributes", [])}


def canonical(value, key: str = ""):
    """The same text for the same meaning: protobuf's JSON lets writers choose between 1 and "1", and leave defaults out."""
    if isinstance(value, dict):
        kept = {name: canonical(each, name) for name, each in value.items()}
        # inside a oneof (stringValue, asInt, ...) a zero says which member is set, so it stays
        return {name: each for name, each in kept.items() if is_oneof(name) or each not in (None, "", "0", "0.0", "false", [], {})}
    if isinstance(value, list):
        each = [canonical(one) for one in value]
        return sorted(each, key=lambda one: one.get("key", "")) if key == "attributes" else each
    if key in ("doubleValue", "asDouble", "sum", "min", "max") and value is not None:
        return repr(float(value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


def is_oneof(name: str) -> bool:
    return name.endswith("Value") or name in ("asInt", "asDouble") or name in METRIC_KINDS


def text(*parts) -> str:
    return json.dumps([canonical(part) for part in parts], sort_keys=True)
