#!/usr/bin/env bash
# The official exporters of Python and Go (inside telemetrygen) deliver to sekisho: gRPC and HTTP, plain and gzip, traces,
# logs and metrics. Counted where sekisho's file exporter writes: every case has exactly what was sent.
#
#   SEKISHO=path/to/sekisho tests/clients/exporters/run.sh [items a case, default 1000]

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

n=${1:-1000}
need python3 curl
need_or_skip go

python_with "$here/requirements.txt"
go_tool telemetrygen "$telemetrygen_package"

free_ports grpc http health
cat >"$work/sekisho.yaml" <<YAML
receivers:
  otlp: {protocols: {grpc: {endpoint: 127.0.0.1:$grpc}, http: {endpoint: 127.0.0.1:$http}}}
exporters:
  file/traces: {path: $work/traces.jsonl}
  file/logs: {path: $work/logs.jsonl}
  file/metrics: {path: $work/metrics.jsonl}
extensions:
  health_check: {endpoint: 127.0.0.1:$health}
service:
  extensions: [health_check]
  pipelines:
    traces: {receivers: [otlp], exporters: [file/traces]}
    logs: {receivers: [otlp], exporters: [file/logs]}
    metrics: {receivers: [otlp], exporters: [file/metrics]}
YAML
start_sekisho "$health" "$work/sekisho.yaml"

"$python" "$here/python_exporters.py" "http://127.0.0.1:$grpc" "http://127.0.0.1:$http" "$n" \
  >"$work/cases" 2>"$work/python.log" || fail "the Python exporters"
# The SDK only logs what it could not send.
[ ! -s "$work/python.log" ] || fail "the Python exporters complained"

# telemetrygen has no switch for compression; the exporters inside it read OpenTelemetry's own variable.
for compression in none gzip; do
  for transport in grpc http; do
    to=(--otlp-insecure --otlp-endpoint "127.0.0.1:$grpc")
    [ $transport = http ] && to=(--otlp-insecure --otlp-http --otlp-endpoint "127.0.0.1:$http")
    for signal in traces logs metrics; do
      case=go-$transport-$compression-$signal
      count=$n
      [ $signal = traces ] && count=$((n / 2)) # each trace is two spans
      OTEL_EXPORTER_OTLP_COMPRESSION=$compression "$telemetrygen" "$signal" "${to[@]}" "--$signal" "$count" --rate 0 \
        --otlp-attributes "test.case=\"$case\"" >"$work/telemetrygen.log" 2>&1 || fail "telemetrygen: $case"
      [ $signal = traces ] && count=$((count * 2))
      echo "$case $signal $count"
    done
  done
done >>"$work/cases"

verdict=$(python3 "$here/count.py" "$work" 30 <"$work/cases") || fail "not everything arrived exactly once"
stop sekisho
# Once more after the drain: nothing may be written twice on the way out.
python3 "$here/count.py" "$work" 0 <"$work/cases" >/dev/null || fail "the drain changed what was written"
echo "exporters: $verdict delivered exactly once"
