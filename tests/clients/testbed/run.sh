#!/usr/bin/env bash
# The load and correctness tests of the Collector's own testbed, with sekisho in the place of the Collector: they start it,
# send 10,000 items a second, count what comes out and watch its CPU and memory against their limits.
#
#   SEKISHO=path/to/sekisho tests/clients/testbed/run.sh [regular expression of test names, default: those of OTLP]
#
# The tests are built from the published module (minutes, once) and kept in $SEKISHO_TOOLS. Senders and receivers of other
# protocols are left out: see datasenders.go. TESTCASE_DURATION (15s) is how long a load lasts; RESULTS=FILE keeps the table.

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"

tests=${1:-'^(TestTrace10kSPS|TestLog10kDPS|TestMetric10kDPS)$/^OTLP|^TestTrace1kSPSWithAttrs$|^TestTraceNoBackend10kSPS$|^TestTraceAttributesProcessor$/^OTLP|^TestIdleMode$'}
golden='^TestTracingGoldenData$/^otlp-otlp|^TestSporadicGoldenDataset$|^TestHarness_MetricsGoldenData$/^otlp-otlp'
need_or_skip go

contrib=github.com/open-telemetry/opentelemetry-collector-contrib
version=v0.148.0 # the newest of the testbed that the module proxy has
home=$tools/testbed-$version-$(cat "$here"/*.go | sha256sum | cut -c1-12)

module() { go mod download -json "$contrib/$1@$version" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p'; }

# Where the tests look for what is beside them in the repository they come from.
build() {
  local new=$work/testbed
  mkdir -p "$new/bin" "$new/internal"
  cp -r "$(module testbed)" "$new/testbed" || return
  cp -r "$(module internal/coreinternal)" "$new/internal/coreinternal" || return
  chmod -R u+w "$new"
  cd "$new/testbed"
  rm -r datasenders/* datareceivers/* testbed/*_test.go testbed/components.go testbed/in_process_collector.go
  rm tests/{k8sattributes_processor,prometheus,syslog_integration}_test.go
  cp "$here/datasenders.go" datasenders/
  cp "$here/datareceivers.go" datareceivers/
  cp "$here/runner.go" testbed/
  # It fails those who need less memory than the Go Collector does at the very least.
  sed -i -E 's/(ExpectedMinFinalRAM: +)[0-9]+/\11/' tests/trace_test.go
  sed -i -E '/=> \.\.?\//d' go.mod # its neighbours come from the proxy as well
  local package
  for package in tests correctnesstests/traces correctnesstests/metrics; do
    (cd "$package" && GOFLAGS=-mod=mod nice go test -c -o run.test .) || return
  done
  ln -s ../bin bin # the packages lie at two depths, and each looks two above it
  cd - >/dev/null
  mv "$new" "$home"
}

[ -d "$home" ] || build >"$work/build.log" 2>&1 || fail "building the testbed"
[ -x "$SEKISHO" ] || fail "no gateway at $SEKISHO (cargo build --release, or set SEKISHO)"
ln -sf "$(realpath "$SEKISHO")" "$home/bin/oteltestbedcol_$(go env GOOS)_$(go env GOARCH)"

# package NAME TESTS: runs them; each has its log beside the table.
status=0
package() {
  cd "$home/testbed/$1"
  rm -rf results
  RUN_TESTBED=1 ./run.test -test.v -test.timeout 30m -test.run "$2" >"$work/$(basename "$1").log" 2>&1 || status=1
  grep -E '^ *--- (PASS|FAIL)' "$work/$(basename "$1").log" || status=1
  # Some tests pass with a gateway that never started.
  if grep 'cannot start executable' "$work/$(basename "$1").log"; then status=1; fi
}

package tests "$tests"
sed -n '/^Test /,/^$/p' results/TESTRESULTS.md | tee "${RESULTS:-/dev/null}"
package correctnesstests/traces "$golden"
package correctnesstests/metrics "$golden"
[ "$status" = 0 ] || fail "see the tests above; the gateway's logs are in $home/testbed/*/results"
echo "testbed: the Collector's load and correctness tests for OTLP pass"
