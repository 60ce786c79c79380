"""Whether the gateway delivered every span and named the compromised function.

usage: check.py SUMMARY SPANS ALERTS DEADLINE_SECONDS      (SUMMARY: what play.py printed)

The alert must be an incident of reserve-seat whose strongest evidence lies in the attack and which names the new table
or the new host. Prints one line; ends with a reason if it does not come in time.
"""

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
import otlp_json

FUNCTION = "reserve-seat"
NEW = ("customers", "attacker.example")


def incidents(path: str):
    for resource, _, record in otlp_json.items(path, "logs"):
        if record.get("eventName") == "sekisho.incident":
            known = otlp_json.attributes(resource) | otlp_json.attributes(record)
            yield known.get("faas.name"), int(record["timeUnixNano"]), known.get("sekisho.incident.tier"), record


def main(summary: str, spans: str, alerts: str, seconds: float) -> None:
    played = json.loads(Path(summary).read_text())
    deadline = time.monotonic() + seconds
    while True:
        delivered = sum(1 for _ in otlp_json.items(spans, "traces"))
        raised = list(incidents(alerts))
        of_the_attack = [each for each in raised if each[0] == FUNCTION and each[1] >= played["attack"]]
        naming = [each for each in of_the_attack if any(name in json.dumps(each[3]) for name in NEW)]
        if delivered >= played["spans"] and naming or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    if delivered != played["spans"]:
        sys.exit(f"{delivered} spans written of {played['spans']} sent")
    if not naming:
        others = sorted({f"{name}: {record['body']['stringValue']}" for name, _, _, record in raised})
        sys.exit(
            f"no incident of {FUNCTION} in the attack names the table or the host"
            f" ({len(of_the_attack)} name something else; all incidents: {others or 'none'})"
        )
    _, _, tier, record = naming[0]
    early = len({otlp_json.attributes(each[3]).get("sekisho.incident.id") for each in raised if each[1] < played["attack"]})
    print(f"{delivered} spans delivered, {early} incidents before the attack, alert ({tier}): {record['body']['stringValue']}")


main(*sys.argv[1:4], float(sys.argv[4]))
