#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031 # each test is a shell of its own, and so is its pid
# run-all.sh: the order of the profiles, one that fails, an interrupt, going on. Everything is real but for each profile's
# run, which is a stub.

setup_file() {
  export ROOT PERF_PYTHON
  ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
  PERF_PYTHON=$ROOT/.venv/bin/python
  # A run that the stub leaves.
  PYTHONPATH=$ROOT/utils:$ROOT/tests "$PERF_PYTHON" -c \
    'from builders import documents; from benchkit import store; print(store.dump(documents.run([documents.case()])))' \
    >"$BATS_FILE_TMPDIR/run.json"
}

setup() {
  CHECKOUT="$BATS_TEST_TMPDIR/a checkout"
  export CALLS="$BATS_TEST_TMPDIR/calls" CODES="$BATS_TEST_TMPDIR/codes" TMPDIR="$BATS_TEST_TMPDIR/tmp"
  export PERF_LOCK="$BATS_TEST_TMPDIR"
  export RESULTS_DIR="$BATS_TEST_TMPDIR/the results" TEMPLATE="$BATS_FILE_TMPDIR/run.json" CI=true
  unset PROFILE SCENARIOS PERF_SCENARIOS PERF_REQUESTS RUNNER_DIR_FILE
  mkdir -p "$CHECKOUT/utils" "$CODES" "$TMPDIR"
  : >"$CALLS"
  cp "$ROOT/run-all.sh" "$CHECKOUT/"
  ln -s "$ROOT"/utils/* "$CHECKOUT/utils/"
  # Leaves a run with the exit code of $CODES/<profile> (0); `none` leaves no run and ends with 2, `hang` waits.
  cat >"$CHECKOUT/run-configurable.sh" <<'END'
#!/usr/bin/env bash
echo "$* browser=$PERF_OPEN_BROWSER" >>"$CALLS"
while [ $# -gt 0 ]; do
  case $1 in
    --profile) profile=$2 ;;
    --results-dir) results=$2 ;;
  esac
  shift
done
code=$(cat "$CODES/$profile" 2>/dev/null || echo 0)
[ "$code" != none ] || exit 2
number=1
while ! mkdir "$results/${profile}_$number" 2>/dev/null; do number=$((number + 1)); done
printf '%s' "$results/${profile}_$number" >"$RUNNER_DIR_FILE"
: >"$results/${profile}_$number/plan.json"
finish() {
  sed -e "s/light_2026-03-02-093000/${profile}_$number/" -e "s/\"exit_code\": 0/\"exit_code\": $1/" "$TEMPLATE" \
    >"$results/${profile}_$number/run.json"
  [ -e "$CODES/uncompared" ] || printf '{\n  "exit_code": %s\n}\n' "$1" >"$results/${profile}_$number/comparison.json"
}
if [ "$code" = hang ]; then
  trap 'echo stopped >>"$CALLS"; finish 143; exit 143' TERM
  echo "hangs $$" >>"$CALLS"
  while :; do sleep 0.1; done
fi
finish "$code"
exit "$code"
END
  chmod +x "$CHECKOUT/run-configurable.sh"
}

teardown() {
  # Only what a failed test may have left of its own.
  [ -z "${pid:-}" ] || { kill -TERM "$pid" 2>/dev/null && wait "$pid"; } || true
}

all() { run "$CHECKOUT/run-all.sh" "$@"; }

profiles() { # the profiles that were measured, in order
  sed -n 's/^--profile \([^ ]*\) .*/\1/p' "$CALLS" | tr '\n' ' '
}

state() { # KEY: its values in all.json, in order
  sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}\$/\1/p" "$RESULTS_DIR"/all_*/all.json | tr '\n' ' '
}

background() { # ARGUMENT...: run-all.sh in the background, its pid in $pid
  "$CHECKOUT/run-all.sh" "$@" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
  pid=$!
}

waits() { # TEXT FILE: until it is there
  local tries
  for ((tries = 0; tries < 200; tries++)); do
    grep -q "$1" "$2" 2>/dev/null && return 0
    sleep 0.1
  done
  return 1
}

ended() { # its exit code, in $code; one that goes on and on is told to end
  local tries
  for ((tries = 0; tries < 300; tries++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -TERM "$pid" 2>/dev/null && echo 'it did not end by itself' && return 1
  code=0
  wait "$pid" || code=$?
  pid=''
}

@test "light, medium, heavy, all scenarios, with the time told before; a report, a list, and the last line" {
  all --requests 400 --concurrency=200
  [ "$status" -eq 0 ]
  [ "$(profiles)" = 'light medium heavy ' ]
  grep -qx -e "--profile light --results-dir $RESULTS_DIR --scenarios all --requests 400 --concurrency 200 browser=false" "$CALLS"
  [[ $output == *'(rough: no run is stored yet;'*'this will take '*'profile 1 of 3: light'* ]]
  [ "$(state state)" = 'done done done ' ]
  grep -q 'All profiles' "$RESULTS_DIR"/all_*/report.html
  grep -q all_ "$RESULTS_DIR/index.html"
  [[ ${lines[${#lines[@]} - 1]} == all_*": passed: light, medium, heavy; results in $RESULTS_DIR/all_"*' (exit 0)' ]]
}

@test "a profile that fails does not stop the others, and a regression is not hidden by what else failed" {
  echo 3 >"$CODES/light"
  echo 1 >"$CODES/medium"
  echo none >"$CODES/heavy"
  all
  [ "$status" -eq 1 ]
  [ "$(profiles)" = 'light medium heavy ' ]
  [ "$(state state)" = 'done done done ' ]
  [ "$(state exit_code)" = '3 1 2 1 ' ]
  [[ ${lines[${#lines[@]} - 1]} == *'regression in medium; without a result: heavy; invalid or missing cases in light;'*'(exit 1)' ]]
}

@test "a regression without a comparison that stands written is none" {
  echo 1 >"$CODES/medium"
  : >"$CODES/uncompared"
  all --profiles light,medium --no-report
  [ "$status" -eq 2 ]
}

@test "a profile that could not be measured is exit 2" {
  echo none >"$CODES/light"
  all --profiles light,medium --no-report
  [ "$status" -eq 2 ]
  [ "$(profiles)" = 'light medium ' ]
  [ ! -e "$RESULTS_DIR/index.html" ]
  grep -q -e '--no-report browser=false$' "$CALLS"
}

@test "an interrupt stops all, waits for the run, and --resume goes on with it" {
  local signal expected
  for signal in INT TERM HUP; do
    rm -rf "$RESULTS_DIR"
    rm -f "${CODES:?}"/*
    : >"$CALLS"
    echo hang >"$CODES/medium"
    # Bash lets what it starts in the background ignore INT; a shell of its own takes it again.
    "$PERF_PYTHON" -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])' \
      "$CHECKOUT/run-all.sh" --requests 400 --profiles light,medium,heavy >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
    pid=$!
    waits '^hangs' "$CALLS"
    child=$(sed -n 's/^hangs //p' "$CALLS")
    kill -s "$signal" "$pid"
    ended
    expected=143
    [ "$signal" != INT ] || expected=130
    [ "$code" -eq "$expected" ]
    grep -qx stopped "$CALLS"
    if kill -0 "$child" 2>/dev/null; then return 1; fi
    [ "$(state state)" = 'done interrupted pending ' ]
    grep -q "interrupted in medium.*--resume goes on.*(exit $expected)" "$BATS_TEST_TMPDIR/out"
    grep -q Interrupted "$RESULTS_DIR/index.html"
    # What was measured until then can be looked at.
    grep -qi 'not measured' "$RESULTS_DIR"/all_*/report.html
    rm "$RESULTS_DIR"/all_*/report.html
    : >"$CALLS"
    rm "$CODES/medium"
    all --resume
    [ "$status" -eq 0 ]
    [ "$(profiles)" = 'medium heavy ' ]
    [[ $output == *'medium was cut short: it is measured again as a whole, what was measured of it is kept'* ]]
    [ -e "$RESULTS_DIR/medium_1/run.json" ]
    [ "$(state run)" = 'light_1 medium_2 heavy_1 ' ]
    [ -s "$(echo "$RESULTS_DIR"/all_*/report.html)" ]
    grep -q medium_1 "$RESULTS_DIR"/all_*/all.json
  done
}

@test "one that was killed goes on as well" {
  echo hang >"$CODES/light"
  background --profiles light
  waits '^hangs' "$CALLS"
  kill -KILL "$pid"
  ended
  kill -TERM "$(sed -n 's/^hangs //p' "$CALLS")"
  waits '^stopped' "$CALLS"
  [ "$(state state)" = 'running ' ]
  rm "$CODES/light"
  all --resume "$RESULTS_DIR"/all_*
  [ "$status" -eq 0 ]
  [ "$(state run)" = 'light_2 ' ]
}

@test "a run that is told to end ends all of them" {
  echo hang >"$CODES/light"
  background --profiles light,medium
  waits '^hangs' "$CALLS"
  kill -TERM "$(sed -n 's/^hangs //p' "$CALLS")"
  ended
  [ "$code" -eq 143 ]
  [ "$(state state)" = 'interrupted pending ' ]
}

@test "two at a time: the second is refused, and the first goes on" {
  echo hang >"$CODES/light"
  background --profiles light
  waits '^hangs' "$CALLS"
  all --profiles light
  [ "$status" -eq 2 ]
  [[ ${lines[0]} == *"another run measures on this machine (pid $pid, run-all.sh)"* ]]
  all --resume
  [ "$status" -eq 2 ]
  kill -TERM "$pid"
  ended
  [ "$(state state)" = 'interrupted ' ]
}

@test "--resume refuses other options, and where nothing is left" {
  all --resume
  [ "$status" -eq 2 ]
  [[ $output == *'nothing to resume'* ]]
  [ "${#lines[@]}" -eq 1 ]
  echo 130 >"$CODES/medium"
  all --profiles light,medium --requests 60
  [ "$status" -eq 130 ]
  rm "$CODES/medium"
  local line
  while read -r line; do
    # shellcheck disable=SC2086 # words of a command line
    all --resume ${line%%|*}
    [ "$status" -eq 2 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == *"${line##*|}"* ]]
  done <<'END'
--requests 61 |--requests 61: all_
--profiles medium,light |was begun with --profiles light,medium
--iterations 1 |was begun with no --iterations
--results-dir elsewhere |nothing to resume
nowhere |there is no all.json in it
END
  PERF_ITERATIONS=1 run "$CHECKOUT/run-all.sh" --resume
  [ "$status" -eq 2 ]
  [[ $output == *'profile medium: iterations changed from 3 to 1'* ]]
  all --resume --requests 60
  [ "$status" -eq 0 ]
  all --resume
  [ "$status" -eq 2 ]
  [[ $output == *'nothing to resume'* ]]
}

@test "mistakes on the command line: one line, exit 2, nothing made" {
  local line
  while read -r line; do
    # shellcheck disable=SC2086 # words of a command line
    all ${line%%|*}
    [ "$status" -eq 2 ]
    [ "${#lines[@]}" -eq 1 ]
    [[ $output == *"${line##*|}"* ]]
  done <<'END'
--profiles nothing |there is no profiles/nothing.env
--profiles light,light |light is listed twice
--profiles , |names no profile
--profiles |argument --profiles: expected one argument
--profile light |unrecognized arguments: --profile
--scenarios nothing |there is no scenario 'nothing'
--requests x |must be a whole number
--speed 9 |unrecognized arguments: --speed
END
  [ ! -s "$CALLS" ]
  [ ! -e "$RESULTS_DIR" ]
}

@test "SCENARIOS of the environment counts, and stays when it goes on" {
  echo 143 >"$CODES/light"
  SCENARIOS=tools all --profiles light
  [ "$status" -eq 143 ]
  rm "$CODES/light"
  all --resume
  [ "$status" -eq 0 ]
  [ "$(grep -c -e '--scenarios tools' "$CALLS")" -eq 2 ]
}

@test "its help" {
  all --help
  [ "$status" -eq 0 ]
  [[ $output == *'usage: run-all.sh'*'--resume [DIR]'*'exit: '* ]]
}
