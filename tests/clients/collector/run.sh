#!/usr/bin/env bash
# Between two Go Collectors: telemetrygen -> Collector -> sekisho -> Collector. What the second writes to its file is,
# item by item, what the first wrote to its own. Once over gRPC, once over HTTP (both with gzip, the Collector's default),
# and once over gRPC with the detector in the path, told to annotate nothing.
#
#   SEKISHO=path/to/sekisho tests/clients/collector/run.sh
#
# The Collector is built once with ocb from manifest.yaml (minutes) and kept in $SEKISHO_TOOLS.

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

need python3 curl
need_or_skip go

go_tool telemetrygen "$telemetrygen_package"
collector=$tools/otelcol-$(sha256sum "$here/manifest.yaml" | cut -c1-12)
if [ ! -x "$collector" ]; then
  go_tool builder go.opentelemetry.io/collector/cmd/builder
  sed "s|^dist:|dist:\n  output_path: $work/otelcol|" "$here/manifest.yaml" >"$work/manifest.yaml"
  nice "$builder" --config "$work/manifest.yaml" >"$work/ocb.log" 2>&1 || fail "building the Collector"
  mv "$work/otelcol/otelcol" "$collector"
fi

traces=500 logs=1000 metrics=1000

# next_hop TRANSPORT GRPC HTTP: the exporter that goes on, as a YAML entry named $hop.
next_hop() {
  case $1 in
    grpc) echo "otlp_grpc: {endpoint: '127.0.0.1:$2', tls: {insecure: true}}" ;;
    http) echo "otlp_http: {endpoint: 'http://127.0.0.1:$3'}" ;;
  esac
}

# receive GRPC HTTP HEALTH: what all three have in common.
receive() {
  cat <<YAML
receivers:
  otlp: {protocols: {grpc: {endpoint: 127.0.0.1:$1}, http: {endpoint: 127.0.0.1:$2}}}
extensions:
  health_check: {endpoint: 127.0.0.1:$3}
YAML
}

# collector_config FOLDER GRPC HTTP HEALTH [EXPORTER]: write all to FOLDER, and send it on if there is somewhere to.
collector_config() {
  local next=${5:-}
  receive "$2" "$3" "$4"
  cat <<YAML
processors:
  batch: {timeout: 100ms}
exporters:
  file/traces: {path: $1/traces.jsonl}
  file/logs: {path: $1/logs.jsonl}
  file/metrics: {path: $1/metrics.jsonl}
  $next
service:
  extensions: [health_check]
  telemetry: {metrics: {level: none}}
  pipelines:
YAML
  next=${next%%:*}
  local signal
  for signal in traces logs metrics; do
    echo "    $signal: {receivers: [otlp], processors: [batch], exporters: [file/$signal${next:+, $next}]}"
  done
}

# sekisho_config GRPC HTTP HEALTH EXPORTER [DETECTOR]
sekisho_config() {
  receive "$1" "$2" "$3"
  local watched=batch
  echo "processors:"
  echo "  batch: {timeout: 100ms}"
  if [ -n "${5:-}" ]; then
    watched="faas, anomaly, batch"
    echo "  faas: {}"
    echo "  anomaly: {annotate: none}"
  fi
  cat <<YAML
exporters:
  $4
service:
  extensions: [health_check]
  pipelines:
    traces: {receivers: [otlp], processors: [$watched], exporters: [${4%%:*}]}
    logs: {receivers: [otlp], processors: [$watched], exporters: [${4%%:*}]}
    metrics: {receivers: [otlp], processors: [batch], exporters: [${4%%:*}]}
YAML
}

# send GRPC: every kind of item telemetrygen knows, with every kind of attribute value.
send() {
  local to=(--otlp-insecure --otlp-endpoint "127.0.0.1:$1" --rate 0
    --otlp-attributes 'faas.name="reserve-seat"' --otlp-attributes 'faas.max_memory=134217728'
    --telemetry-attributes 'seat.row="12"' --telemetry-attributes 'seat.number=-7'
    --telemetry-attributes 'seat.window=false' --telemetry-attributes 'seat.tags=["aisle", "", "前"]')
  "$telemetrygen" traces "${to[@]}" --traces $((traces / 2)) --span-links 2 --status-code Error || return
  "$telemetrygen" logs "${to[@]}" --logs $logs || return
  local kind
  for kind in Gauge Sum Histogram ExponentialHistogram; do
    "$telemetrygen" metrics "${to[@]}" --metrics $((metrics / 4)) --metric-type $kind --aggregation-temporality delta || return
  done
}

# round NAME TRANSPORT [DETECTOR]
round() {
  local folder=$work/$1
  mkdir -p "$folder/before" "$folder/after"
  free_ports a_grpc a_http a_health s_grpc s_http s_health b_grpc b_http b_health
  collector_config "$folder/after" "$b_grpc" "$b_http" "$b_health" >"$folder/after.yaml"
  sekisho_config "$s_grpc" "$s_http" "$s_health" "$(next_hop "$2" "$b_grpc" "$b_http")" "${3:-}" >"$folder/sekisho.yaml"
  collector_config "$folder/before" "$a_grpc" "$a_http" "$a_health" "$(next_hop "$2" "$s_grpc" "$s_http")" >"$folder/before.yaml"

  start_ready after "$b_health" "$collector" --config "$folder/after.yaml"
  start_sekisho "$s_health" "$folder/sekisho.yaml"
  start_ready before "$a_health" "$collector" --config "$folder/before.yaml"

  send "$a_grpc" >"$work/telemetrygen.log" 2>&1 || fail "$1: telemetrygen"
  python3 "$here/compare.py" "$folder/before" "$folder/after" 30 $traces $logs $metrics || fail "$1: not the same behind sekisho"
  # In the direction of the flow, so that each drains into the next; then once more, for what a drain may add or double.
  stop before
  stop sekisho
  stop after
  python3 "$here/compare.py" "$folder/before" "$folder/after" 0 $traces $logs $metrics || fail "$1: the drain changed what was written"
}

round grpc grpc
round http http
round detector grpc detector
echo "collector: $traces spans, $logs log records, $metrics metric points unharmed between two Collectors (gRPC, HTTP, gRPC with the detector)"
