"""Checks what the `datadog` exporter sent, and the examples, against the models of Datadog's own Python client."""

import json
import pathlib
import re
import sys

from datadog_api_client import Configuration
from datadog_api_client.model_utils import validate_and_convert_types
from datadog_api_client.v1.model.dashboard import Dashboard
from datadog_api_client.v1.model.monitor import Monitor
from datadog_api_client.v2.model.event_create_request_payload import EventCreateRequestPayload
from datadog_api_client.v2.model.http_log import HTTPLog
from datadog_api_client.v2.model.metric_payload import MetricPayload


def check(body, model):
    """Raises where the client would not have sent this, or does not know a part of it."""
    made = validate_and_convert_types(body, (model,), ["body"], True, True, configuration=Configuration())
    text = repr(made)
    assert "UnparsedObject" not in text and not getattr(made, "_unparsed", False), f"the client cannot read {body}"
    return made


def check_examples(folder, bodies):
    """The dashboard and the monitors are what the client would send, and ask for what the exporter sends."""
    text = {name: (folder / f"{name}.json").read_text(encoding="utf-8") for name in ("dashboard", "monitors")}
    check(json.loads(text["dashboard"]), Dashboard)
    monitors = json.loads(text["monitors"])
    for monitor in monitors:
        check(monitor, Monitor)
    sent = {series["metric"] for body in bodies["series"] for series in body["series"]}
    asked = {name for every in text.values() for name in re.findall(r"(?:sum|max|min|avg):([a-z_.]+)\{", every)}
    assert asked and asked <= sent, f"nobody sends {asked - sent}"
    facets = {f"@sekisho.incident.{name}" for log in bodies["logs"] for name in one(log)["sekisho"]["incident"]}
    wanted = set(re.findall(r"(@sekisho\.incident\.[a-z_]+)", "".join(text.values())))
    assert wanted and wanted <= facets, f"no log says {wanted - facets}"
    print(f"a dashboard and {len(monitors)} monitors are what the client would send; they ask for {sorted(asked)}")


def one(log):
    return log[0] if isinstance(log, list) else log


def main():
    bodies = json.load(open(sys.argv[1], encoding="utf-8"))
    models = {"events": EventCreateRequestPayload, "logs": HTTPLog, "series": MetricPayload}
    for kind, model in models.items():
        assert bodies[kind], f"no {kind}"
        for body in bodies[kind]:
            check(body, model)
        print(f"{len(bodies[kind])} {kind} are what the client would send")
    check_examples(pathlib.Path(sys.argv[2]), bodies)
    # The check itself: a body that is wrong must not pass.
    wrong = json.loads(json.dumps(bodies["events"][0]))
    wrong["data"]["attributes"]["attributes"]["status"] = "loud"
    try:
        check(wrong, EventCreateRequestPayload)
    except Exception:
        return
    raise SystemExit("a wrong status passes: this check checks nothing")


main()
