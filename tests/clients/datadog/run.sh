#!/usr/bin/env bash
# What the datadog exporter sends, and config-examples/datadog, held against the models of Datadog's own Python client.
#
#   tests/clients/datadog/run.sh

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

need python3 cargo
python_with "$here/requirements.txt"
(cd "$here" && DATADOG_BODIES="$work/bodies.json" cargo test --quiet --locked --lib -- exporters::tests::datadog)
"$python" "$here/check.py" "$work/bodies.json" "$here/../../../config-examples/datadog"
