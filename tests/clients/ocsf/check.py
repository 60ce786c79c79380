"""Reads the findings that the `ocsf` exporter sent with the models of py-ocsf-models."""

import json
import sys

from py_ocsf_models.events.findings.detection_finding import DetectionFinding
from pydantic import ValidationError

findings = json.load(open(sys.argv[1], encoding="utf-8"))
assert len(findings) == 3, findings
for finding in findings:
    read = DetectionFinding.model_validate(finding)
    assert read.type_uid.value == read.class_uid * 100 + read.activity_id.value
    assert read.finding_info.uid == "inc-1"
    assert read.cloud is None or read.cloud.provider
try:
    DetectionFinding.model_validate({**findings[0], "severity_id": "loud"})
except ValidationError:
    print(f"{len(findings)} findings are OCSF Detection Findings")
else:
    raise SystemExit("a wrong severity passes: this check checks nothing")
