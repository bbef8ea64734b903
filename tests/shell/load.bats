#!/usr/bin/env bats
# load.sh: the command line of the runners, and which program is started with which arguments. The programs are stubs.

setup() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
  export PERF_PYTHON="$BATS_TEST_TMPDIR/python" CALLS="$BATS_TEST_TMPDIR/calls" TMPDIR="$BATS_TEST_TMPDIR"
  export RUN="$BATS_TEST_TMPDIR/a run" CODES="$BATS_TEST_TMPDIR/codes"
  mkdir -p "$RUN/raw" "$CODES"
  : >"$CALLS"
  : >"$RUN/plan.json"
  # The stub answers the session like utils/measure.py: one step with one process, then the end.
  {
    echo '#!/usr/bin/env bash'
    declare -p CALLS CODES RUN BATS_TEST_TMPDIR | sed 's/^declare -x/declare --/'
  } >"$BATS_TEST_TMPDIR/head" # what a stub knows although hey gets an environment of the toolkit's choice
  cat "$BATS_TEST_TMPDIR/head" - >"$PERF_PYTHON" <<'END'
[ "$1" != -Es ] || shift
name=$(basename "$1")
shift
printf '%s' "$name" >>"$CALLS"
printf ' %s' "$@" >>"$CALLS"
echo >>"$CALLS"
if [ "$name" = measure.py ]; then
  steps=1
  while read -r word rest; do
    echo "session $word $rest" >>"$CALLS"
    case $word in
      open) printf 'ok\0true\0001\0hey\0001\0%s\0' "$BATS_TEST_TMPDIR/hey" ;;
      plan) printf 'ok\0%s\0' "$RUN" ;;
      next)
        if [ $((steps--)) -gt 0 ]; then
          mkdir -p "$RUN/.load" "$RUN/raw/tools"
          printf '%s\n' "${PERF_ARGUMENTS:-hey
raw/tools/out.1.csv
-n
an argument
http://x/}" >"$RUN/.load/1.args"
          printf 'run\0001\0'
        else
          printf 'end\0'
        fi
        ;;
      *) printf 'ok\0' ;;
    esac
  done
fi
if [ "$name" = compare_results.py ] && [ ! -e "$CODES/broken" ]; then printf '{\n  "exit_code": %s\n}\n' "$(cat "$CODES/$name" 2>/dev/null || echo 0)" >"$RUN/comparison.json"; fi
if [ "$name" = monitor.py ] && [ -n "${PERF_MONITOR:-}" ]; then
  if [ "$PERF_MONITOR" = fails ]; then
    echo "error: it cannot" >&2
    exit 2
  fi
  for file in "$@"; do :; done
  echo header >"$file"
  echo "monitor $$ begins" >>"$CALLS"
  if [ "$PERF_MONITOR" = dies ]; then exit 2; fi
  # As the real one: INT is the shell's business, TERM ends it at once.
  trap '' INT
  trap 'kill $!; echo "monitor ends" >>"$CALLS"; exit 0' TERM
  sleep 60 &
  wait $!
fi
if [ -e "$CODES/$name" ]; then exit "$(cat "$CODES/$name")"; fi
END
  cat "$BATS_TEST_TMPDIR/head" - >"$BATS_TEST_TMPDIR/hey" <<'END'
echo "hey $#: $*" >>"$CALLS"
echo row
exit 5
END
  chmod +x "$PERF_PYTHON" "$BATS_TEST_TMPDIR/hey"
}

never() { # PATTERN: no call looks like it
  if grep -E "$1" "$CALLS"; then return 1; fi
}

@test "a whole run: session, target, load, results, comparison, report, and the last line" {
  run "$ROOT/run-configurable.sh" --profile heavy --scenarios=tools
  [ "$status" -eq 0 ]
  grep -q '^measure.py .*--profile heavy --scenarios tools$' "$CALLS"
  grep -q '^stack.py ensure .*--profile heavy --scenarios tools$' "$CALLS"
  grep -qx 'hey 3: -n an argument http://x/' "$CALLS"
  [ "$(cat "$RUN/raw/tools/out.1.csv")" = row ]
  grep -qx 'session done 5' "$CALLS"
  grep -qx "collect_results.py $RUN" "$CALLS"
  grep -q "^compare_results.py $RUN --join" "$CALLS"
  grep -q "^report_generator.py $RUN" "$CALLS"
  [[ "${lines[${#lines[@]} - 1]}" == *"results in $RUN (exit 0)" ]]
}

@test "a regression is the run's exit code, and stands in run.json and the last line" {
  echo 1 >"$CODES/compare_results.py"
  run "$ROOT/run-configurable.sh"
  [ "$status" -eq 1 ]
  grep -q '^collect_results.py --finish .* --exit-code 1 --reason regression$' "$CALLS"
  [[ "${lines[${#lines[@]} - 1]}" == *"regression"*"(exit 1)" ]]
}

@test "a comparison that could not even begin is no regression" {
  echo 1 >"$CODES/compare_results.py"
  : >"$CODES/broken"
  run "$ROOT/run-configurable.sh"
  [ "$status" -eq 2 ]
  [[ "${lines[${#lines[@]} - 1]}" == *"the comparison failed"*"(exit 2)" ]]
}

@test "invalid cases: exit 3, and no baseline is saved" {
  echo 3 >"$CODES/collect_results.py"
  run "$ROOT/run-configurable.sh" --baseline save
  [ "$status" -eq 3 ]
  never '^baseline_manager.py'
}

@test "--baseline save and skip" {
  run "$ROOT/run-configurable.sh" --baseline save
  [ "$status" -eq 0 ]
  grep -qx "baseline_manager.py save $RUN" "$CALLS"
  : >"$CALLS"
  run "$ROOT/run-configurable.sh" --baseline=skip
  [ "$status" -eq 0 ]
  never '^(baseline_manager|compare_results)'
}

@test "--no-report" {
  run "$ROOT/run-configurable.sh" --no-report
  [ "$status" -eq 0 ]
  never '^report_generator.py'
}

@test "a target that is not there: its exit code, nothing measured" {
  echo 2 >"$CODES/stack.py"
  run "$ROOT/run-configurable.sh"
  [ "$status" -eq 2 ]
  never '^session plan'
}

@test "every scenario runs its own cases, whatever else is said" {
  for script in "$ROOT"/scenarios/*.sh; do
    : >"$CALLS"
    run "$script" --requests 20
    [ "$status" -eq 0 ]
    grep -qE '^measure.py .*--requests 20 --scenarios (tools|resources|prompts|gateway-core|mixed)$' "$CALLS"
  done
}

@test "--help is the header, for every runner" {
  for script in "$ROOT/run-configurable.sh" "$ROOT"/scenarios/*.sh; do
    run "$script" --help
    [ "$status" -eq 0 ]
    [[ "$output" == *"usage: "*"exit: 0"* ]]
    [[ "$output" != *"set -e"* ]]
  done
}

@test "usage errors: one line, exit 2, nothing started" {
  for flags in "--speed 9" "--baseline perhaps" "--requests" "--requests="; do
    # shellcheck disable=SC2086  # the flags are words
    run "$ROOT/run-configurable.sh" $flags
    [ "$status" -eq 2 ]
    [ "${#lines[@]}" -eq 1 ]
    [ ! -s "$CALLS" ]
  done
}

# order PATTERN...: the calls that look like one of them stand in this order.
order() {
  local pattern line=0 found
  for pattern in "$@"; do
    found=$(grep -n -e "$pattern" "$CALLS" | cut -d: -f1 | awk -v after="$line" '$1 > after { print; exit }')
    [ -n "$found" ] || {
      echo "no '$pattern' after line $line of:"
      cat "$CALLS"
      return 1
    }
    line=$found
  done
}

monitor_is_gone() {
  local pid
  pid=$(awk '/^monitor .* begins$/ { print $2 }' "$CALLS")
  [ -n "$pid" ] || return 1
  ! kill -0 "$pid" 2>/dev/null
}

@test "the monitor runs from before the first load to after the last" {
  PERF_MONITOR=runs run "$ROOT/run-configurable.sh" --profile heavy
  [ "$status" -eq 0 ]
  grep -qE "^monitor.py --shell [0-9]+ --profile heavy $RUN/raw/monitor.jsonl$" "$CALLS"
  order '^session plan' '^monitor .* begins' '^session next' '^session done 5' '^monitor ends' '^session close'
  monitor_is_gone
  [[ "$output" != *warning* ]]
}

@test "a monitor that is switched off is no warning" {
  run "$ROOT/run-configurable.sh"
  [ "$status" -eq 0 ]
  [[ "$output" != *warning* ]]
}

@test "a monitor that does not start: one warning that says why, and the run goes on" {
  PERF_MONITOR=fails run "$ROOT/run-configurable.sh"
  [ "$status" -eq 0 ]
  [ "$(grep -c warning <<<"$output")" -eq 1 ]
  [[ "$output" == *'warning: what the run uses is not sampled (any more): error: it cannot'* ]]
  order '^session done 5' '^session close'
}

@test "a monitor that dies on the way: one warning, the same exit code" {
  echo 3 >"$CODES/collect_results.py"
  PERF_MONITOR=dies run "$ROOT/run-configurable.sh"
  [ "$status" -eq 3 ]
  [ "$(grep -c warning <<<"$output")" -eq 1 ]
  [[ "$output" == *'the monitor ended with exit code 2'* ]]
}

@test "a run that is stopped stops its monitor, with every signal" {
  local signal code pid waited=0
  env --default-signal=INT true 2>/dev/null || skip "env cannot set signals here"
  # The load takes until it is stopped.
  cat "$BATS_TEST_TMPDIR/head" - >"$BATS_TEST_TMPDIR/hey" <<'END'
echo loading >>"$CALLS"
exec sleep 60
END
  for signal in INT TERM HUP; do
    : >"$CALLS"
    # A shell's background processes ignore INT; env --default-signal gives it back.
    PERF_MONITOR=runs env --default-signal=INT "$ROOT/run-configurable.sh" >/dev/null 2>&1 3>&- &
    pid=$!
    until grep -q '^loading' "$CALLS"; do
      sleep 0.1
      [ $((waited++)) -lt 200 ]
    done
    kill -s "$signal" "$pid"
    code=0
    wait "$pid" || code=$?
    [ "$code" -eq "$([ "$signal" = INT ] && echo 130 || echo 143)" ]
    order '^loading' '^monitor ends' "^collect_results.py $RUN --interrupted $code"
    monitor_is_gone
  done
}

@test "without the toolkit's environment: make setup" {
  PERF_PYTHON=/nowhere/python run "$ROOT/run-configurable.sh"
  [ "$status" -eq 2 ]
  [[ "$output" == *"make setup"* ]]
}

@test "a file of arguments names no program, no place outside the run, and an address at its end; it is gone afterwards" {
  local arguments
  for arguments in $'sh\nnone\nhttp://x/' $'/bin/sh\nnone\nhttp://x/' $'hey\n../out\nhttp://x/' $'hey\n/tmp/x.csv\nhttp://x/' \
    $'hey\nraw/../../x.csv\nhttp://x/' $'hey\nraw/tools/a b.csv\nhttp://x/' $'hey\nnone\n-o' $'hey\nnone' 'hey'; do
    PERF_ARGUMENTS=$arguments run "$ROOT/run-configurable.sh"
    [ "$status" -eq 2 ]
    never '^hey'
    [ ! -e "$RUN/.load" ]
    [ -z "$(find "$BATS_TEST_TMPDIR" -name 'x.csv' -o -name out)" ]
  done
}

@test "the load gets an environment of the toolkit's choice: no secrets, nothing that changes how it runs" {
  # shellcheck disable=SC2016 # it is the stub's
  echo 'env >"$CODES/env"' >>"$BATS_TEST_TMPDIR/head"
  cat "$BATS_TEST_TMPDIR/head" >"$BATS_TEST_TMPDIR/hey"
  # shellcheck disable=SC2317 # hey would call it
  some_function() { :; }
  export -f some_function
  GATEWAY_PASSWORD=secret PERF_REQUESTS=7 GODEBUG=x LD_DEBUG='' PORT=1 http_proxy=http://x:1 SSL_CERT_FILE=/ca run "$ROOT/run-configurable.sh"
  [ "$status" -eq 0 ]
  grep -qx 'SSL_CERT_FILE=/ca' "$CODES/env"
  if grep -E '^(GATEWAY|PERF_|GODEBUG|PORT|http_proxy|LD_|BASH_FUNC|CALLS|PYTHON)' "$CODES/env"; then return 1; fi
}

@test "the toolkit's programs run without the caller's Python, and see the settings" {
  # shellcheck disable=SC2016 # it is the stub's
  # shellcheck disable=SC2016 # the variables are the stub's
  sed -i.bak 's/^\[ "$1" != -Es \].*/echo "python $1" >>"$CALLS"; env >"$CODES\/env"; shift/' "$PERF_PYTHON"
  PYTHONPATH=/broken PYTHONHOME=/broken OMP_NUM_THREADS=1 PERF_REQUESTS=7 GATEWAY_URL=http://x run "$ROOT/run-configurable.sh"
  [ "$status" -eq 0 ]
  grep -q '^python -Es' "$CALLS"
  never '^python [^-]'
  grep -qx 'PERF_REQUESTS=7' "$CODES/env"
  grep -qx 'GATEWAY_URL=http://x' "$CODES/env"
  if grep -E '^(PYTHON|OMP)' "$CODES/env"; then return 1; fi
}

@test "a load generator below a path with an equals sign is started all the same" {
  mkdir "$BATS_TEST_TMPDIR/a=b"
  mv "$BATS_TEST_TMPDIR/hey" "$BATS_TEST_TMPDIR/a=b/hey"
  # shellcheck disable=SC2016 # the variables are the stub's
  sed -i.bak 's|"$BATS_TEST_TMPDIR/hey" ;;|"$BATS_TEST_TMPDIR/a=b/hey" ;;|' "$PERF_PYTHON"
  run "$ROOT/run-configurable.sh"
  [ "$status" -eq 0 ]
  grep -qx 'hey 3: -n an argument http://x/' "$CALLS"
}

@test "a program that ends with --stdin reads its arguments from standard input" {
  cat "$BATS_TEST_TMPDIR/head" - >"$BATS_TEST_TMPDIR/events" <<'END'
echo "events $*: $(tr '\n' ' ')" >>"$CALLS"
END
  chmod +x "$BATS_TEST_TMPDIR/events"
  # shellcheck disable=SC2016 # the variables are the stub's
  sed -i.bak 's|\\0001\\0hey\\0001\\0%s\\0.*|\\0002\\0hey\\0001\\0%s\\0events\\0003\\0%s\\0-x\\0--stdin\\0'"'"' "$BATS_TEST_TMPDIR/hey" "$BATS_TEST_TMPDIR/events" ;;|' "$PERF_PYTHON"
  PERF_ARGUMENTS=$'events\nnone\n-n\nhttp://x/' run "$ROOT/run-configurable.sh"
  [ "$status" -eq 0 ]
  grep -qx 'events -x --stdin: -n http://x/ ' "$CALLS"
  never '^hey'
}
