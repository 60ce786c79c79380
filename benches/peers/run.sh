#!/usr/bin/env bash
# Sekisho beside the Go Collector and rotel, in one run: same generator, same sink, same core, same YAML where there is
# one. Arguments go to the bench.
#
#   benches/peers/run.sh --cells '*/forward,*/attributes,*/detect' --seconds 3 --rounds 5
#
# The Collector is built once with ocb from manifest.yaml (minutes), rotel comes from its wheel; both are kept in
# $SEKISHO_TOOLS. PROFILE=dist measures the gateway as it is released (link-time optimised; the build takes minutes).

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../tests/clients/lib.sh"

need go python3 cargo

collector=$tools/otelcol-bench-$(sha256sum "$here/manifest.yaml" | cut -c1-12)
if [ ! -x "$collector" ]; then
  go_tool builder go.opentelemetry.io/collector/cmd/builder
  sed "s|^dist:|dist:\n  output_path: $work/otelcol|" "$here/manifest.yaml" >"$work/manifest.yaml"
  nice "$builder" --config "$work/manifest.yaml" >"$work/ocb.log" 2>&1 || fail "building the Collector"
  mv "$work/otelcol/otelcol" "$collector"
fi

python_with "$here/requirements.txt"
rotel=$("$python" -c 'import importlib.util as u; print(u.find_spec("rotel").submodule_search_locations[0])')/rotel-agent
chmod +x "$rotel"

cd "$here/../.."
cargo bench --locked --profile "${PROFILE:-bench}" --bench loopback -- \
  --peer "otelcol=$collector" --peer "rotel=$rotel" "$@"
