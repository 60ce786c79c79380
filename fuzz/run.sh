#!/usr/bin/env bash
# Fuzzes every target, or those named, for some seconds each. Ends with an error at the first input that breaks one.
#
#   fuzz/run.sh [SECONDS, default 20] [TARGET...]
#
# Nothing to install: the coverage that libFuzzer steers by is a pass of the stable compiler. Only the address sanitizer
# wants nightly, and this crate forbids unsafe code.

set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-20}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(basename -s .rs -a targets/*.rs)
command -v c++ >/dev/null || { echo "fuzz: a C++ compiler (c++) is needed to build libFuzzer" >&2; exit 1; }

coverage="-Cpasses=sancov-module -Cdebug-assertions -Coverflow-checks --cfg fuzzing"
for option in level=4 inline-8bit-counters pc-table trace-compares; do
  coverage+=" -Cllvm-args=-sanitizer-coverage-$option"
done
# With --target the flags reach what runs on the target and not what only runs during the build.
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS=$coverage cargo build --locked --release -p sekisho-fuzz --target "$host"

for target in "${targets[@]}"; do
  mkdir -p "corpus/$target" "artifacts/$target"
  program=../target/$host/release/$target
  "$program" "corpus/$target" "seeds/$target" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 \
    -artifact_prefix="artifacts/$target/" -print_final_stats=1 >"artifacts/$target.log" 2>&1 || {
    tail -n 40 "artifacts/$target.log" >&2
    echo "fuzz: $target broke; again with: fuzz/$program FILE" >&2
    exit 1
  }
  echo "fuzz: $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "artifacts/$target.log") executions in ${seconds}s"
done
