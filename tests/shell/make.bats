#!/usr/bin/env bats
# The Makefile: which settings a target takes from where, and how they arrive.
#
# shellcheck disable=SC2016 # dollars that must not be expanded

bats_require_minimum_version 1.5.0

setup() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
  cd "$ROOT" || return
  unset MAKEFLAGS MAKELEVEL GATEWAY_PASSWORD PROFILE
  printf 'include Makefile\nshown:\n\t@printf "%%s\\n" "$$GATEWAY_PASSWORD" "$$PERF_REQUESTS" "$$PROFILE"\n' >"$BATS_TEST_TMPDIR/shown.mk"
}

@test "a password arrives as it was typed, behind the target and in front of make" {
  local password
  for password in 'Se$cret#1' '$$' '$(shell id)' 'a"b'"'"'c \ d' '#x' 'a=b$'; do
    run make -s -f "$BATS_TEST_TMPDIR/shown.mk" shown GATEWAY_PASSWORD="$password"
    [ "${lines[0]}" = "$password" ]
    GATEWAY_PASSWORD=$password run make -s -f "$BATS_TEST_TMPDIR/shown.mk" shown
    [ "${lines[0]}" = "$password" ]
  done
}

@test "the toolkit's settings come from the environment or from behind the target, which wins" {
  PERF_REQUESTS=7 PROFILE=heavy run make -s -f "$BATS_TEST_TMPDIR/shown.mk" shown
  [ "$output" = $'7\nheavy' ] || [ "$output" = $'\n7\nheavy' ]
  PROFILE=heavy run make -s -f "$BATS_TEST_TMPDIR/shown.mk" shown PROFILE='a$b'
  [[ "$output" == *'a$b' ]]
}

@test "common names of the environment change no target" {
  local target plain
  for target in serve-reports report profile compare-gateways history tune baseline noise baseline-save baseline-show \
    baseline-diff baseline-rollback baseline-forget baseline-export baseline-import logs conformance run-all compare-runs; do
    plain=$(make -n "$target")
    run env ARGS=--resume BASE=x BASELINE=x CASE=x ENV_FILE=.env FILE=x FROM=1 HEAD=x NAME=x PORT=1 RATE=x RELEASES=x \
      REQUESTS=x RUN=x RUNS=x TO=9 TUNE=x PYTHON=x FLAGS=x SETTINGS=x make -n "$target"
    [ "$output" = "$plain" ]
  done
  run make -n serve-reports PORT=7000
  [[ "$output" == *'--port "7000"'* ]]
  run make -n baseline-show PROFILE=heavy
  [[ "$output" == *'load "heavy"'* ]]
}

@test "flags of MAKEFLAGS that would hide a failure are refused; the others do no harm" {
  for flags in -i --ignore-errors -ki -e; do
    MAKEFLAGS=$flags run make -n test
    [ "$status" -eq 2 ]
    [[ "$output" == *MAKEFLAGS* ]]
  done
  for flags in -k -s -j8 --no-print-directory; do
    MAKEFLAGS=$flags run make -n restart
    [ "$status" -eq 0 ]
    # One after the other, whatever -j says.
    [ "$(grep -n 'stack.py down' <<<"$output" | cut -d: -f1)" -lt "$(grep -n 'stack.py up' <<<"$output" | cut -d: -f1)" ]
  done
}

@test "a recipe's shell reads no BASH_ENV and takes over no function" {
  echo 'exit 1' >"$BATS_TEST_TMPDIR/env"
  BASH_ENV=$BATS_TEST_TMPDIR/env run make -s -f "$BATS_TEST_TMPDIR/shown.mk" shown
  [ "$status" -eq 0 ]
}
