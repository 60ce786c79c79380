#!/usr/bin/env bash
# What the ocsf exporter sends, read with the models of py-ocsf-models.
#
#   tests/clients/ocsf/run.sh

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

need python3 cargo
python_with "$here/requirements.txt"
(cd "$here" && OCSF_FINDINGS="$work/findings.json" cargo test --quiet --locked --lib -- exporters::tests::siem::ocsf_findings_are)
"$python" "$here/check.py" "$work/findings.json"
