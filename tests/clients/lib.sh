# What the scripts in this folder share. Sourced, not run.
#
# Each script makes one temporary folder ($work), starts what it needs with `start`, waits with `wait_for` (never a
# fixed sleep: a poll with a deadline) and ends with one line that says what was proven. Whatever was started is
# stopped on the way out, and on a failure the last lines of every log are shown.
#
#   SEKISHO        the gateway to test (default: target/release/sekisho of this checkout)
#   SEKISHO_TOOLS  where built tools and Python environments are kept between runs
#   KEEP=1         keep $work and say where it is

set -euo pipefail

clients=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SEKISHO=${SEKISHO:-$clients/../../target/release/sekisho}
tools=${SEKISHO_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/sekisho-tools}
work=$(mktemp -d)
mkdir -p "$tools"

# One version for everything written in Go: telemetrygen, ocb and, in collector/manifest.yaml, the components.
otel_go=v0.161.0

declare -A pids=()

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

finish() {
  local status=$?
  trap - EXIT
  for name in "${!pids[@]}"; do kill "${pids[$name]}" 2>/dev/null || true; done
  for name in "${!pids[@]}"; do wait "${pids[$name]}" 2>/dev/null || true; done
  if [ "$status" -ne 0 ]; then
    for log in "$work"/*.log; do
      [ -s "$log" ] && { echo "--- $(basename "$log")"; tail -n 15 "$log"; } >&2
    done
  fi
  if [ -n "${KEEP:-}" ]; then echo "kept: $work" >&2; else rm -rf "$work"; fi
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# need COMMAND...: a missing one ends the script.
need() {
  local command
  for command in "$@"; do
    command -v "$command" >/dev/null || fail "$command is needed and not installed"
  done
}

# need_or_skip COMMAND: a missing one is a skip on a laptop and a failure in CI, where a skipped test looks like a green one.
need_or_skip() {
  command -v "$1" >/dev/null && return
  [ "${CI:-}" = true ] && fail "$1 is needed and not installed"
  echo "SKIPPED: $1 is not installed"
  exit 0
}

# wait_for SECONDS WHAT COMMAND...: until COMMAND succeeds. Ends the script when the time is up.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "gave up waiting for $what"
    sleep 0.1
  done
}

# free_ports NAME...: sets each NAME to a free loopback port, all different.
free_ports() {
  local ports
  mapfile -t ports < <(python3 - "$#" <<'PYTHON'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in sockets:
    each.bind(("127.0.0.1", 0))
    print(each.getsockname()[1])
PYTHON
  )
  local name
  for name in "$@"; do
    printf -v "$name" %s "${ports[0]}"
    ports=("${ports[@]:1}")
  done
}

# start NAME COMMAND...: in the background, its output in $work/NAME.log.
start() {
  local name=$1
  shift
  "$@" >"$work/$name.log" 2>&1 &
  pids[$name]=$!
}

# stop NAME: SIGTERM, then wait for a drained and clean exit.
stop() {
  local pid=${pids[$1]}
  unset "pids[$1]"
  kill -TERM "$pid"
  ended() { ! kill -0 "$pid" 2>/dev/null; }
  wait_for 30 "$1 to end" ended
  wait "$pid" || fail "$1 ended with status $?"
}

answers() { curl -fsS --max-time 2 -o /dev/null "$1"; }

# start_ready NAME HEALTH_PORT COMMAND...: start, then wait until `GET /` there answers 200 or the process is gone.
start_ready() {
  local name=$1 url=http://127.0.0.1:$2/
  shift 2
  start "$name" "$@"
  up_or_gone() { answers "$url" || ! kill -0 "${pids[$name]}" 2>/dev/null; }
  wait_for 30 "$name to be ready" up_or_gone
  answers "$url" || fail "$name ended before it was ready"
}

# start_sekisho HEALTH_PORT CONFIG
start_sekisho() {
  [ -x "$SEKISHO" ] || fail "no gateway at $SEKISHO (cargo build --release, or set SEKISHO)"
  start_ready sekisho "$1" "$SEKISHO" --config "$2"
}

# python_with REQUIREMENTS: sets $python to that of an environment with exactly these packages, made once.
python_with() {
  local home
  home=$tools/python-$(sha256sum "$1" | cut -c1-12)
  python=$home/bin/python
  [ -e "$home/complete" ] && return
  rm -rf "$home"
  python3 -m venv "$home"
  "$python" -m pip install --quiet --disable-pip-version-check -r "$1" >"$work/pip.log" 2>&1 || fail "pip install -r $1"
  touch "$home/complete"
}

# node_with FOLDER: sets $node_home to a folder with exactly the packages of FOLDER/package-lock.json, made once.
node_with() {
  node_home=$tools/node-$(sha256sum "$1/package-lock.json" | cut -c1-12)
  [ -e "$node_home/complete" ] && return
  rm -rf "$node_home"
  mkdir -p "$node_home"
  cp "$1/package.json" "$1/package-lock.json" "$node_home"
  (cd "$node_home" && npm ci --ignore-scripts --no-audit --no-fund) >"$work/npm.log" 2>&1 || fail "npm ci in $1"
  touch "$node_home/complete"
}

# go_tool NAME PACKAGE: sets the variable NAME to the program, built once.
go_tool() {
  local path=$tools/$1-$otel_go
  if [ ! -x "$path" ]; then
    mkdir -p "$work/gobin"
    GOBIN=$work/gobin nice go install "$2@$otel_go" >"$work/$1-build.log" 2>&1 || fail "go install $2@$otel_go"
    mv "$work/gobin/$(basename "$2")" "$path"
  fi
  printf -v "$1" %s "$path"
}

telemetrygen_package=github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen
