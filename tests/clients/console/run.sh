#!/usr/bin/env bash
# The console in a real browser: an attack is played into a gateway that knows nothing, appears on the page by itself and is
# answered with the keyboard alone; every view is checked by axe-core in light and dark, wide and narrow; an incident full of
# hostile text stays text; nothing leaves the origin, breaks the policy or is written to the browser's console.
#
#   SEKISHO=path/to/sekisho tests/clients/console/run.sh
#   tests/clients/console/run.sh pictures    makes the README's pictures in docs/ anew, and tests nothing

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

need python3 curl node npm
need_or_skip chromium
node_with "$here"
[ -x "$SEKISHO" ] || fail "no gateway at $SEKISHO (cargo build --release, or set SEKISHO)"

export SEKISHO NODE_HOME=$node_home CHROMIUM=${CHROMIUM:-$(command -v chromium)}
export RECORDING=$here/../lambda/recording.jsonl.zst TOKEN=an-operator-on-call

# gateway NAME [KEYS]: one that knows nothing, on the latest free_ports, with further keys of its console; sets
# $CONSOLE, $OTLP and $FORWARD to it.
gateway() {
  cat >"$work/$1.yaml" <<YAML
receivers:
  otlp: {protocols: {grpc: {endpoint: 127.0.0.1:$grpc}, http: {endpoint: 127.0.0.1:$http}}}
processors:
  faas: {}
  anomaly: {budget: 1/week, state: file_storage}
exporters:
  debug: {}
extensions:
  health_check: {endpoint: 127.0.0.1:$health}
  file_storage: {directory: $work/$1-state, create_directory: true}
  bearertokenauth: {token: $TOKEN}
  console: {endpoint: 127.0.0.1:$console, ${2:-}}
service:
  telemetry: {metrics: {level: none}}
  extensions: [health_check, file_storage, bearertokenauth, console]
  pipelines:
    traces: {receivers: [otlp], processors: [faas, anomaly], exporters: [debug]}
    logs/alerts: {receivers: [anomaly], exporters: [debug]}
YAML
  cat >"$work/$1-forward.yaml" <<YAML
receivers: {otlp: {protocols: {grpc: {}}}}
exporters:
  otlp_grpc: {endpoint: "127.0.0.1:$grpc", tls: {insecure: true}, sending_queue: {enabled: false}}
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [otlp_grpc]}
YAML
  start_ready "$1" "$health" "$SEKISHO" --config "$work/$1.yaml"
  export CONSOLE=http://127.0.0.1:$console OTLP=http://127.0.0.1:$http FORWARD=$work/$1-forward.yaml
}

check() { node --test --test-reporter=spec "$here/$1.test.mjs" || fail "console: $1"; }

free_ports grpc http health console
if [ "${1:-}" = pictures ]; then
  need zstd convert
  gateway pictures
  node "$here/pictures.mjs" "$here/../../../docs" || fail "the pictures"
  for picture in "$here"/../../../docs/console-*.png; do convert "$picture" -strip +dither -colors 192 "$picture"; done
  ls -l "$here/../../../docs"
  exit
fi

# In this order: the path begins with an empty gateway, the others look at what it left.
gateway open
for part in path hostile proposals accessibility parts; do check "$part"; done
stop open

free_ports grpc http health console
gateway signed "auth: {authenticator: bearertokenauth}, public_url: 'http://127.0.0.1:$console', link_secret: 0123456789abcdef0123456789abcdef"
check signed
stop signed
echo "console: from attack to verdict, $(ls "$here"/*.test.mjs | wc -l) files of tests hold in $("$CHROMIUM" --version)"
