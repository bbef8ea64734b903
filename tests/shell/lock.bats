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
while [ "$1 $2" = "tool run" ]; do shift 5; done
case "$*" in
  --version) echo "uv ${UV_VERSION:-0.13.9} (stub)"; exit 0 ;;
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
  [ "$(calls 'uv tool run --from uv==0.13.9 uv pip compile')" -eq 2 ]
}

@test "the committed locks name no address and no path" {
  [ -s "$SOURCE/requirements.lock" ]
  run grep -nE '://|^-|@ |(^|[ =])/' "$SOURCE/requirements.lock" "$SOURCE/requirements-dev.lock"
  [ "$status" -eq 1 ]
}

@test "the development lock has every release of the runtime lock" {
  local line count=0
  while read -r line; do
    grep -qF -- "${line%% *} " "$SOURCE/requirements-dev.lock"
    count=$((count + 1))
  done < <(grep -E '^[a-z0-9._-]+(\[.*\])?==' "$SOURCE/requirements.lock")
  [ "$count" -gt 20 ]
}
