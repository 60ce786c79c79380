#!/usr/bin/env bash
# Other detectors on just what Sekisho's detector is told: a table of who finds how many attacks at which rate of false
# pages, on standard output. Needs Rust and Python 3.11 or newer with its venv. Slow: minutes for each detector and fleet.
#
#   benches/baselines/run.sh [FLEETS] [FIRST_SEED]
#
# The fleets are those of `sekisho evaluate`; see baselines.py for what each detector gets.

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../tests/clients/lib.sh"

need python3
[ -x "$SEKISHO" ] || fail "no gateway at $SEKISHO (cargo build --release, or set SEKISHO)"
python_with "$here/requirements.txt"
"$SEKISHO" evaluate --observations "$work/observations" --runs "${1:-4}" --seed "${2:-1}" --days 28 --scale "${SCALE:-0.05}"
export OMP_NUM_THREADS=1
"$python" "$here/baselines.py" "$work/observations"
