#!/usr/bin/env bash
# Instrumented Python Lambda functions, compromised in their last hour (play.py says what they do), send eight days of
# event time to sekisho, which has to deliver every span and name the function and what it newly touched.
#
#   SEKISHO=path/to/sekisho tests/clients/lambda/run.sh [options of play.py]
#   tests/clients/lambda/run.sh record       makes recording.jsonl.zst anew: the same play, smaller, as OTLP JSON lines;
#                                            needs no sekisho and is what the Rust tests read
#
# OTEL_SEMCONV_STABILITY_OPT_IN=http has the HTTP spans in the newer naming; the default is what the SDK does by default.

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

need python3 curl
python_with "$here/requirements.txt"

if [ "${1:-}" = record ]; then
  need zstd
  shift
  "$python" "$here/play.py" --record "$work/recording.jsonl" --invocations-per-day 130 "$@" || fail "the recording"
  zstd -q -f --ultra -22 "$work/recording.jsonl" -o "$here/recording.jsonl.zst"
  ls -l "$here/recording.jsonl.zst"
  exit
fi

free_ports grpc http health
cat >"$work/sekisho.yaml" <<YAML
receivers:
  otlp: {protocols: {grpc: {endpoint: 127.0.0.1:$grpc}, http: {endpoint: 127.0.0.1:$http}}}
processors:
  faas: {}
  anomaly: {budget: 1/week}
exporters:
  file: {path: $work/spans.jsonl}
  file/alerts: {path: $work/alerts.jsonl}
extensions:
  health_check: {endpoint: 127.0.0.1:$health}
service:
  extensions: [health_check]
  pipelines:
    traces: {receivers: [otlp], processors: [faas, anomaly], exporters: [file]}
    logs/alerts: {receivers: [anomaly], exporters: [file/alerts]}
YAML
start_sekisho "$health" "$work/sekisho.yaml"

"$python" "$here/play.py" --endpoint "http://127.0.0.1:$http" "$@" >"$work/summary.json" 2>"$work/play.log" || fail "the play"
verdict=$(python3 "$here/check.py" "$work/summary.json" "$work/spans.jsonl" "$work/alerts.jsonl" 60) || fail "see above"
stop sekisho
echo "lambda: $verdict"
