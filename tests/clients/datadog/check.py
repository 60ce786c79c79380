"""Checks the bodies that the `datadog` exporter sent against the models of Datadog's own Python client."""

import json
import sys

from datadog_api_client import Configuration
from datadog_api_client.model_utils import validate_and_convert_types
from datadog_api_client.v2.model.event_create_request_payload import EventCreateRequestPayload
from datadog_api_client.v2.model.http_log import HTTPLog
from datadog_api_client.v2.model.metric_payload import MetricPayload


def check(body, model):
    """Raises where the client would not have sent this, or does not know a part of it."""
    made = validate_and_convert_types(body, (model,), ["body"], True, True, configuration=Configuration())
    text = repr(made)
    assert "UnparsedObject" not in text and not getattr(made, "_unparsed", False), f"the client cannot read {body}"
    return made


def main():
    bodies = json.load(open(sys.argv[1], encoding="utf-8"))
    models = {"events": EventCreateRequestPayload, "logs": HTTPLog, "series": MetricPayload}
    for kind, model in models.items():
        assert bodies[kind], f"no {kind}"
        for body in bodies[kind]:
            check(body, model)
        print(f"{len(bodies[kind])} {kind} are what the client would send")
    # The check itself: a body that is wrong must not pass.
    wrong = json.loads(json.dumps(bodies["events"][0]))
    wrong["data"]["attributes"]["attributes"]["status"] = "loud"
    try:
        check(wrong, EventCreateRequestPayload)
    except Exception:
        return
    raise SystemExit("a wrong status passes: this check checks nothing")


main()
