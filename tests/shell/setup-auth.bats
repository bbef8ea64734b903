#!/usr/bin/env bats
# utils/setup-auth.sh: which calls of utils/gateway.py come out of its arguments, and what becomes of their answers.
#
# shellcheck disable=SC2030,SC2031,SC2154 # each test is a subshell; run sets stderr

bats_require_minimum_version 1.5.0

setup() {
  SOURCE=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
  CHECKOUT="$BATS_TEST_TMPDIR/a checkout"
  PERF_CALLS=$BATS_TEST_TMPDIR/calls
  export PERF_CALLS
  mkdir -p "$CHECKOUT/utils" "$CHECKOUT/.venv/bin"
  cp -R "$SOURCE/utils/setup-auth.sh" "$SOURCE/utils/lib" "$CHECKOUT/utils/"
  : >"$PERF_CALLS"
  # The stub writes each call's arguments in brackets, and answers as gateway.py does.
  cat >"$CHECKOUT/.venv/bin/python" <<'STUB'
#!/usr/bin/env bash
shift # -Es
printf '[%s]' "$@" >>"$PERF_CALLS"
echo >>"$PERF_CALLS"
case $2 in
  token) echo the-token && echo "token of somebody" >&2 ;;
  login) echo "token of somebody" >&2 ;;
  env) printf "export GATEWAY_URL='a b'\nexport GATEWAY_TOKEN=the-token\n" ;;
  *) exit 99 ;;
esac
exit "${PERF_STATUS:-0}"
STUB
  chmod +x "$CHECKOUT/.venv/bin/python"
  unset PERF_PYTHON PERF_STATUS LOG_LEVEL
  cd "$BATS_TEST_TMPDIR" || return
}

run_auth() {
  run --separate-stderr "$CHECKOUT/utils/setup-auth.sh" "$@"
}

# called ARGUMENTS...: gateway.py was called like this, one line of brackets for each call.
called() {
  local expected
  expected=$(printf "[$CHECKOUT/utils/gateway.py]%s\n" "$@")
  [ "$(cat "$PERF_CALLS")" = "$expected" ]
}

@test "--help prints the header" {
  run_auth --help
  [ "$status" -eq 0 ]
  [[ $output == "Log in at the gateway and keep the token"* ]]
  [[ $output == *"exit: 0 "* ]]
  [[ $output != *"set -euo"* ]]
  called_nothing=$(cat "$PERF_CALLS")
  [ -z "$called_nothing" ]
}

@test "without arguments: the token is kept, stdout stays empty" {
  run_auth
  [ "$status" -eq 0 ]
  [ -z "$output" ]
  [ "$stderr" = "token of somebody" ]
  called "[login]"
}

@test "--print writes the token to stdout, and nothing else" {
  run_auth --print
  [ "$status" -eq 0 ]
  [ "$output" = the-token ]
  called "[token]"
}

@test "--export writes what a shell can evaluate" {
  run_auth --export
  [ "$status" -eq 0 ]
  eval "$output"
  [ "$GATEWAY_URL" = "a b" ]
  [ "$GATEWAY_TOKEN" = the-token ]
  called "[login]" "[env]"
}

@test "--renew and --url are passed on, also an address with spaces" {
  run_auth --renew --url "http://a b:1"
  called "[login][--renew][--url][http://a b:1]"
  : >"$PERF_CALLS"
  run_auth --url http://x:1 --export --renew
  called "[login][--renew][--url][http://x:1]" "[env][--url][http://x:1]"
}

@test "a failure is the exit code, and nothing is exported" {
  PERF_STATUS=2 run_auth --export
  [ "$status" -eq 2 ]
  [ -z "$output" ]
  called "[login]"
}

@test "wrong arguments: exit 2 and a line that names them" {
  run_auth --frobnicate
  [ "$status" -eq 2 ]
  [[ $stderr == *"unknown argument '--frobnicate'"* ]]
  run_auth --url
  [ "$status" -eq 2 ]
  [[ $stderr == *"--url needs an address"* ]]
}

@test "PERF_PYTHON chooses the interpreter; where there is none, it says how to get it" {
  mv "$CHECKOUT/.venv/bin/python" "$BATS_TEST_TMPDIR/other python"
  PERF_PYTHON="$BATS_TEST_TMPDIR/other python" run_auth
  [ "$status" -eq 0 ]
  run_auth
  [ "$status" -eq 2 ]
  [[ $stderr == *".venv/bin/python: there is no such program; make setup installs it" ]]
}

@test "loading the file runs nothing" {
  # shellcheck source=utils/setup-auth.sh
  run bash -c '. "$1"; type -t main' - "$CHECKOUT/utils/setup-auth.sh"
  [ "$output" = function ]
  [ ! -s "$PERF_CALLS" ]
}
