#!/usr/bin/env bats
# utils/check-services.sh: its arguments and its exit code. What is checked is tested in tests/unit/test_gateway_program.py.
#
# shellcheck disable=SC2154 # run sets stderr

bats_require_minimum_version 1.5.0

setup() {
  SOURCE=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
  CHECKOUT="$BATS_TEST_TMPDIR/a checkout"
  PERF_CALLS=$BATS_TEST_TMPDIR/calls
  export PERF_CALLS
  mkdir -p "$CHECKOUT/utils" "$CHECKOUT/.venv/bin"
  cp -R "$SOURCE/utils/check-services.sh" "$SOURCE/utils/lib" "$CHECKOUT/utils/"
  : >"$PERF_CALLS"
  cat >"$CHECKOUT/.venv/bin/python" <<'STUB'
#!/usr/bin/env bash
shift # -Es
printf '[%s]' "$@" >>"$PERF_CALLS"
echo "ok       gateway"
exit "${PERF_STATUS:-0}"
STUB
  chmod +x "$CHECKOUT/.venv/bin/python"
  unset PERF_PYTHON PERF_STATUS LOG_LEVEL
  cd "$BATS_TEST_TMPDIR" || return
}

run_check() {
  run --separate-stderr "$CHECKOUT/utils/check-services.sh" "$@"
}

@test "--help prints the header and names every line" {
  run_check --help
  [ "$status" -eq 0 ]
  [[ $output == "Say whether a run against the gateway could be trusted"* ]]
  for name in gateway token database cache "MCP servers" "rate limiting" catalogue; do
    grep -q "^  $name " <<<"$output"
  done
  [ ! -s "$PERF_CALLS" ]
}

@test "the lines go to stdout, everything ok is 0" {
  run_check
  [ "$status" -eq 0 ]
  [ "$output" = "ok       gateway" ]
  [ "$(cat "$PERF_CALLS")" = "[$CHECKOUT/utils/gateway.py][check]" ]
}

@test "what is not ok is 2" {
  PERF_STATUS=2 run_check
  [ "$status" -eq 2 ]
}

@test "address, profile and scenarios are passed on" {
  run_check --url "http://a b:1" --scenarios tools,prompts --profile heavy
  [ "$(cat "$PERF_CALLS")" = "[$CHECKOUT/utils/gateway.py][check][--url][http://a b:1][--scenarios][tools,prompts][--profile][heavy]" ]
}

@test "wrong arguments: exit 2 and a line that names them" {
  run_check --frobnicate
  [ "$status" -eq 2 ]
  [[ $stderr == *"unknown argument '--frobnicate'"* ]]
  run_check --profile
  [ "$status" -eq 2 ]
  [[ $stderr == *"--profile needs a value"* ]]
  [ ! -s "$PERF_CALLS" ]
}

@test "without the toolkit's environment it says how to get it" {
  rm "$CHECKOUT/.venv/bin/python"
  run_check
  [ "$status" -eq 2 ]
  [[ $stderr == *"make setup installs it" ]]
}
