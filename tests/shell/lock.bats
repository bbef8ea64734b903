#!/usr/bin/env bats
# utils/lock.sh, and the locks that it wrote.
#
# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; run sets stderr

bats_require_minimum_version 1.5.0

setup_file() {
  load bare_machine
  system_programs
}

setup() {
  load bare_machine
  bare_machine
  echo '[project]' >pyproject.toml
  # A uv that resolves to what $PARTS/resolved says.
  echo 'one==1.0' >"$PARTS/resolved"
  stub uv <<'END'
case "$*" in
  --version)
    case $0 in */.tools/* | */lock.*) UV_VERSION=$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' "$CHECKOUT/utils/uv.pin") ;; esac
    echo "uv ${UV_VERSION:-0.13.9} (stub)"; exit 0 ;;
  "venv --quiet --no-project --python "*) mkdir -p "$6/bin"; exit 0 ;;
  "pip sync --quiet --python "*" --require-hashes "*/utils/uv.pin) cp "$0" "${5%/python}/uv"; exit 0 ;;
  *"--format pylock.toml"*) echo 'upload-time = 2026-10-20T17:43:45Z'; exit 0 ;;
  *"--target "*)
    mkdir -p "$6/mcp_contextforge_gateway-1.dist-info"
    echo 'Requires-Python: <3.14,>=3.12' >"$6/mcp_contextforge_gateway-1.dist-info/METADATA"
    exit 0 ;;
  "pip compile "*) ;;
  *) wrong "$@" ;;
esac
[ -z "${FAIL_UV:-}" ] || { printf 'error: No solution\n  cause: one is not there\n\nhint: try\n' >&2; exit 1; }
[ -f pyproject.toml ] || wrong "$@"
extra=
while [ $# -gt 0 ]; do
  case $1 in
    --output-file) output=$2 ;;
    --extra) extra=two==2.0 ;;
  esac
  shift
done
{ cat "$PARTS/resolved"; [ -z "$extra" ] || echo "$extra"; } >"$output"
END
}

run_lock() {
  run --separate-stderr utils/lock.sh "$@"
}

@test "--help prints the header; other arguments are refused" {
  run_lock --help
  [ "$status" -eq 0 ]
  [[ $output == "Resolve the dependencies"* ]]
  run_lock --chek
  [ "$status" -eq 2 ]
  [[ $stderr == *"'--chek'"* ]]
}

@test "both locks are written, by hashes, from where they were" {
  echo 'one==1.1' >"$PARTS/resolved"
  run_lock
  [ "$status" -eq 0 ]
  [ "$(cat requirements.lock)" = one==1.1 ]
  [ "$(cat requirements-dev.lock)" = $'one==1.1\ntwo==2.0' ]
  [ "$(calls 'pip compile .*--universal --python-version 3.11 --generate-hashes')" -eq 2 ]
  [ "$(calls '--upgrade')" -eq 0 ]
  run_lock --upgrade
  [ "$(calls '--upgrade')" -eq 2 ]
}

@test "--check: up to date" {
  run_lock --check
  [ "$status" -eq 0 ]
  [[ $stderr == *"up to date"* ]]
}

@test "--check: out of date; nothing is written" {
  echo 'one==1.1' >"$PARTS/resolved"
  run_lock --check
  [ "$status" -eq 2 ]
  [[ $stderr == *"requirements.lock requirements-dev.lock out of date"*"utils/lock.sh"* ]]
  [ "$(cat requirements.lock)" = one==1.0 ]
}

@test "what cannot be resolved: one line, nothing is written" {
  FAIL_UV=1 run_lock
  [ "$status" -eq 2 ]
  [[ $stderr == "error: "*"one is not there" ]]
  [ "$(cat requirements.lock)" = one==1.0 ]
}

@test "another release of uv resolves by the pinned one" {
  UV_VERSION=0.12.0 run_lock
  [ "$status" -eq 0 ]
  [ "$(calls 'uv pip sync .* --require-hashes .*/utils/uv.pin')" -eq 1 ]
  [ "$(calls 'uv pip compile .*--universal')" -eq 2 ]
}

@test "--gateway: a release with the packages of its day, and the Pythons that it runs on" {
  has_python 3.11.2
  echo 'gateway==1.1.1' >"$PARTS/resolved"
  run_lock --gateway 1.1.1
  [ "$status" -eq 0 ]
  [ "$(calls 'pip compile .*--universal --python-version 3.12 --generate-hashes .*--exclude-newer 2026-10-20')" -eq 1 ]
  grep -qx '# Python: 3.12 3.13' utils/gateway-locks/1.1.1.lock
  grep -qx 'gateway==1.1.1' utils/gateway-locks/1.1.1.lock
  [ "$(cat requirements.lock)" = one==1.0 ]
}

@test "--gateway: a pre-release does not become the newest; a missing one is asked for" {
  has_python 3.11.2
  local bad
  for bad in 1.0.0rc1 '' ../x 1.1.; do
    run_lock --gateway "$bad"
    [ "$status" -eq 2 ]
    [[ $stderr == "error: '$bad' is no release"* ]]
  done
}

@test "the committed locks name no address and no path" {
  [ -s "$SOURCE/requirements.lock" ]
  [ -s "$SOURCE/utils/uv.pin" ]
  run grep -nE '://|^-|@ |(^|[ =])/' "$SOURCE/requirements.lock" "$SOURCE/requirements-dev.lock" "$SOURCE"/utils/gateway-locks/*.lock \
    "$SOURCE/utils/uv.pin" "$SOURCE/utils/nodejs.pin"
  [ "$status" -eq 1 ]
}

@test "every package of every committed lock has a hash, and each gateway lock its Pythons" {
  local lock
  for lock in "$SOURCE"/requirements*.lock "$SOURCE"/utils/gateway-locks/*.lock "$SOURCE/utils/uv.pin" "$SOURCE/utils/nodejs.pin"; do
    [ "$(grep -cE '^[a-zA-Z0-9._-]+(\[.*\])?==' "$lock")" -gt 0 ]
    run grep -nE '^[a-zA-Z0-9._-]+(\[.*\])?==.*[^\]$' "$lock" # what has a hash goes on behind a backslash
    [ "$status" -eq 1 ]
  done
  for lock in "$SOURCE"/utils/gateway-locks/*.lock; do
    grep -qE '^# Python: 3\.[0-9 .]+$' "$lock"
    grep -qF "mcp-contextforge-gateway==$(basename "$lock" .lock) " "$lock"
  done
}

@test "the development lock has every release of the runtime lock" {
  local line count=0
  while read -r line; do
    grep -qF -- "${line%% *} " "$SOURCE/requirements-dev.lock"
    count=$((count + 1))
  done < <(grep -E '^[a-z0-9._-]+(\[.*\])?==' "$SOURCE/requirements.lock")
  [ "$count" -gt 20 ]
}
