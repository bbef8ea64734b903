#!/usr/bin/env bats
# runner.sh: does what measure.py asks for, step by step, and undoes it however the run ends. The programs are stubs.

setup() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
  export PERF_PYTHON="$BATS_TEST_TMPDIR/python" CALLS="$BATS_TEST_TMPDIR/calls" TMPDIR="$BATS_TEST_TMPDIR/tmp"
  export RUN="$BATS_TEST_TMPDIR/a run" CODES="$BATS_TEST_TMPDIR/codes" STEPS="$BATS_TEST_TMPDIR/steps"
  mkdir -p "$RUN/raw/tools" "$CODES" "$TMPDIR"
  : >"$CALLS"
  # A step of measure.py in each line, its fields separated by a stroke.
  cat >"$STEPS" <<END
program|none|2|stack.py|ensure
load|1
program|out|2|collect_results.py|$RUN
end|0||passed
END
  {
    echo '#!/usr/bin/env bash'
    declare -p CALLS CODES RUN STEPS BATS_TEST_TMPDIR | sed 's/^declare -x/declare --/'
  } >"$BATS_TEST_TMPDIR/head" # what a stub knows although a load generator gets an environment of the toolkit's choice
  cat "$BATS_TEST_TMPDIR/head" - >"$PERF_PYTHON" <<'END'
[ "$1" != -Es ] || shift
name=$(basename "$1")
shift
printf '%s' "$name" >>"$CALLS"
printf ' %s' "$@" >>"$CALLS"
echo >>"$CALLS"
if [ "$name" = measure.py ]; then
  while [ "$1" != --tmp ]; do shift; done
  if [ -e "$CODES/owner" ]; then : >"$2/owner"; fi
  if [ -e "$CODES/variants" ]; then : >"$2/variants.json"; fi
  trap 'echo "session over" >>"$CALLS"; exit 143' TERM
  printf 'ok\0true\0006\0other\0001\0/bin/false\0stub\0001\0%s\0' "$BATS_TEST_TMPDIR/generator"
  exec 8<"$STEPS"
  while read -r word rest; do
    echo "session $word $rest" >>"$CALLS"
    IFS= read -r step <&8 || exit 7
    case $step in
      load*)
        printf '%s' "$RUN" >"$2/dir"
        mkdir -p "$RUN/.load"
        printf '%s\n' "${PERF_ARGUMENTS:-stub
raw/tools/out.1.csv
-n
an argument
http://x/}" >"$RUN/.load/1.args"
        ;;
      die*) exit "${step#die|}" ;;
    esac
    printf '%s|' "$step" | tr '|' '\0'
  done
  echo "session over" >>"$CALLS"
  exit 0
fi
if [ "$name" = monitor.py ] && [ -n "${PERF_MONITOR:-}" ]; then
  if [ "$PERF_MONITOR" = fails ]; then
    echo "error: it cannot" >&2
    exit 2
  fi
  echo header >"$1"
  echo "monitor $$ begins" >>"$CALLS"
  if [ "$PERF_MONITOR" = dies ]; then exit 2; fi
  # As the real one: INT is the shell's business, TERM ends it at once.
  trap '' INT
  trap 'kill $!; echo "monitor ends" >>"$CALLS"; exit 0' TERM
  sleep 60 &
  wait $!
fi
if [ "$name" = mark_interrupted.py ]; then echo 'what was measured is kept'; fi
if [ -e "$CODES/$name" ]; then exit "$(cat "$CODES/$name")"; fi
END
  cat "$BATS_TEST_TMPDIR/head" - >"$BATS_TEST_TMPDIR/generator" <<'END'
echo "generator $#: $*" >>"$CALLS"
echo row
exit 5
END
  chmod +x "$PERF_PYTHON" "$BATS_TEST_TMPDIR/generator"
}

never() { # PATTERN: no call looks like it
  if grep -E "$1" "$CALLS"; then return 1; fi
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

last_line() { printf '%s\n' "${lines[${#lines[@]} - 1]}"; }

monitor_is_gone() {
  local pid
  pid=$(awk '/^monitor .* begins$/ { print $2 }' "$CALLS")
  [ -n "$pid" ] || return 1
  ! kill -0 "$pid" 2>/dev/null
}

@test "the steps of a run, its exit code, the list of all runs, and the last line; nothing is left" {
  : >"$CODES/owner"
  run "$ROOT/run-configurable.sh" --profile heavy --scenarios=tools
  [ "$status" -eq 0 ]
  grep -qE '^measure.py run --program [^ ]*run-configurable.sh --shell [0-9]+ --tmp .* -- --profile heavy --scenarios=tools$' "$CALLS"
  order '^session next $' '^stack.py ensure' '^session next 0' '^generator 3: -n an argument http://x/$' '^session next 5' \
    '^collect_results.py' '^stack.py down --owner-file' '^results_index.py'
  [ "$(cat "$RUN/raw/tools/out.1.csv")" = row ]
  [[ $(last_line) == *": passed; results in $RUN (exit 0)" ]]
  [ -z "$(ls "$TMPDIR")" ]
  never '^mark_interrupted'
}

@test "1 comes out only where a comparison that says so stands written" {
  printf 'program|out|1|compare_results.py\nend|1|%s/comparison.json|regression\n' "$RUN" >"$STEPS"
  echo 1 >"$CODES/compare_results.py"
  run "$ROOT/run-configurable.sh"
  [ "$status" -eq 2 ]
  printf '{\n  "exit_code": 1\n}\n' >"$RUN/comparison.json"
  run "$ROOT/run-configurable.sh"
  [ "$status" -eq 1 ]
  order '^compare_results.py' '^session next 1$'
}

@test "a step that failed: its code, marked as far as it came, everything stopped" {
  printf 'load|1\nprogram|out|2|variants.py|restart\nfail|2\n' >"$STEPS"
  : >"$CODES/variants"
  echo 3 >"$CODES/variants.py"
  run "$ROOT/run-advanced.sh" --base 1.0.6 --head 1.0.7
  [ "$status" -eq 2 ]
  order '^variants.py restart' '^session next 3' "^mark_interrupted.py $RUN 2" '^variants.py down .*/variants.json'
}

@test "measure.py that ends without an answer: its code, never 0 or 1" {
  local code
  for code in 2 143; do
    echo "die|$code" >"$STEPS"
    run "$ROOT/run-configurable.sh"
    [ "$status" -eq "$code" ]
  done
  for code in 0 1 7; do
    echo "die|$code" >"$STEPS"
    run "$ROOT/run-configurable.sh"
    [ "$status" -eq 2 ]
  done
}

@test "each program says of what kind its run is" {
  local pair
  echo 'end|0||done' >"$STEPS"
  for pair in run-configurable.sh:run run-advanced.sh:paired run-profile.sh:cpu-profile run-all.sh:profile-sweep \
    utils/repeat-runs.sh:repeat scenarios/tools-benchmark.sh:scenario/tools scenarios/mixed-workload.sh:scenario/mixed; do
    : >"$CALLS"
    run "$ROOT/${pair%:*}"
    [ "$status" -eq 0 ]
    grep -q "^measure.py ${pair#*:} " "$CALLS"
  done
}

@test "--help is argparse's, of every program, and needs no set-up" {
  local script
  for script in "$ROOT"/run-*.sh "$ROOT"/scenarios/*.sh "$ROOT/utils/repeat-runs.sh"; do
    PERF_PYTHON=/nowhere/python run "$script" --results-dir x --help
    [ "$status" -eq 0 ]
    [[ $output == "usage: "*"${script##*/}"*"exit: 0"* ]]
  done
  [ ! -s "$CALLS" ]
}

@test "only programs of the toolkit are run, and only steps that are known" {
  local step
  for step in 'program|out|1|/bin/sh' 'program|out|1|../x.py' 'program|out|x' 'load|x' 'what' ''; do
    echo "$step" >"$STEPS"
    run "$ROOT/run-configurable.sh"
    [ "$status" -eq 2 ]
    [[ $output == error:* ]]
  done
}

@test "the monitor runs until it is told to stop" {
  printf 'monitor|3|%s|--shell|1\nload|1\nstop-monitor\nend|0||passed\n' "$RUN/monitor.jsonl" >"$STEPS"
  PERF_MONITOR=runs run "$ROOT/run-configurable.sh" --profile heavy
  [ "$status" -eq 0 ]
  grep -qx "monitor.py $RUN/monitor.jsonl --shell 1" "$CALLS"
  order '^monitor .* begins' '^generator' '^session next 5' '^monitor ends' '^session next 0'
  monitor_is_gone
  [[ "$output" != *warning* ]]
}

@test "a monitor that does not start, or dies: one warning that says why, and the run goes on" {
  printf 'monitor|1|%s\nload|1\nstop-monitor\nend|3||invalid\n' "$RUN/monitor.jsonl" >"$STEPS"
  PERF_MONITOR=fails run "$ROOT/run-configurable.sh"
  [ "$status" -eq 3 ]
  [ "$(grep -c warning <<<"$output")" -eq 1 ]
  [[ "$output" == *'warning: what the run uses is not sampled (any more): error: it cannot'* ]]
  PERF_MONITOR=dies run "$ROOT/run-configurable.sh"
  [ "$status" -eq 3 ]
  [ "$(grep -c warning <<<"$output")" -eq 1 ]
  [[ "$output" == *'the monitor ended with exit code 2'* ]]
  # One that is switched off ends with 0.
  run "$ROOT/run-configurable.sh"
  [[ "$output" != *warning* ]]
}

@test "a run that is stopped stops its load, its monitor and measure.py, with every signal" {
  local signal code pid waited=0
  env --default-signal=INT true 2>/dev/null || skip "env cannot set signals here"
  printf 'monitor|1|%s\nload|1\n' "$RUN/monitor.jsonl" >"$STEPS"
  # The load takes until it is stopped.
  cat "$BATS_TEST_TMPDIR/head" - >"$BATS_TEST_TMPDIR/generator" <<'END'
echo "loading $$" >>"$CALLS"
exec sleep 60
END
  for signal in INT TERM HUP; do
    : >"$CALLS"
    rm -f "$RUN/monitor.jsonl" # the runner waits until the monitor has written it
    # A shell's background processes ignore INT; env --default-signal gives it back.
    PERF_MONITOR=runs env --default-signal=INT "$ROOT/run-configurable.sh" >"$BATS_TEST_TMPDIR/said" 2>&1 3>&- &
    pid=$!
    until grep -q '^loading' "$CALLS"; do
      sleep 0.1
      [ $((waited++)) -lt 200 ] || {
        cat "$CALLS" "$BATS_TEST_TMPDIR/said"
        return 1
      }
    done
    kill -s "$signal" "$pid"
    code=0
    wait "$pid" || code=$?
    [ "$code" -eq "$([ "$signal" = INT ] && echo 130 || echo 143)" ]
    order '^loading' '^monitor ends' '^session over' "^mark_interrupted.py $RUN $code"
    grep -q "what was measured is kept; results in $RUN (exit $code)" "$BATS_TEST_TMPDIR/said"
    monitor_is_gone
    if kill -0 "$(sed -n 's/^loading //p' "$CALLS")" 2>/dev/null; then return 1; fi
    [ -z "$(ls "$TMPDIR")" ]
  done
}

@test "without the toolkit's environment: make setup" {
  PERF_PYTHON=/nowhere/python run "$ROOT/run-configurable.sh"
  [ "$status" -eq 2 ]
  [[ "$output" == *"make setup"* ]]
}

@test "a file of arguments names a known engine, no place outside the run, and an address at its end; it is gone afterwards" {
  local arguments
  for arguments in $'sh\nnone\nhttp://x/' $'/bin/sh\nnone\nhttp://x/' $'stub\n../out\nhttp://x/' $'stub\n/tmp/x.csv\nhttp://x/' \
    $'stub\nraw/../../x.csv\nhttp://x/' $'stub\nraw/tools/a b.csv\nhttp://x/' $'stub\nnone\n-o' $'stub\nnone' 'stub'; do
    PERF_ARGUMENTS=$arguments run "$ROOT/run-configurable.sh"
    [ "$status" -eq 2 ]
    never '^generator'
    [ ! -e "$RUN/.load" ]
    [ -z "$(find "$BATS_TEST_TMPDIR" -name 'x.csv' -o -name out)" ]
  done
}

@test "the load gets an environment of the toolkit's choice: no secrets, nothing that changes how it runs" {
  # shellcheck disable=SC2016 # it is the stub's
  echo 'env >"$CODES/env"' >>"$BATS_TEST_TMPDIR/head"
  cat "$BATS_TEST_TMPDIR/head" >"$BATS_TEST_TMPDIR/generator"
  # shellcheck disable=SC2317 # a load generator would call it
  some_function() { :; }
  export -f some_function
  GATEWAY_PASSWORD=secret PERF_REQUESTS=7 GODEBUG=x LD_DEBUG='' PORT=1 http_proxy=http://x:1 SSL_CERT_FILE=/ca \
    run "$ROOT/run-configurable.sh" --base-env GODEBUG
  [ "$status" -eq 0 ]
  grep -qx 'SSL_CERT_FILE=/ca' "$CODES/env"
  if grep -E '^(GATEWAY|GIVEN|PERF_|GODEBUG|PORT|http_proxy|LD_|BASH_FUNC|CALLS|PYTHON)' "$CODES/env"; then return 1; fi
}

@test "the toolkit's programs run without the caller's Python, and see the settings and what the command line names" {
  # shellcheck disable=SC2016 # the variables are the stub's
  sed -i.bak 's/^\[ "$1" != -Es \].*/echo "python $1" >>"$CALLS"; env >>"$CODES\/env"; shift/' "$PERF_PYTHON"
  PYTHONPATH=/broken PYTHONHOME=/broken OMP_NUM_THREADS=1 PERF_REQUESTS=7 GATEWAY_URL=http://x SECRET=1 OTHER=2 \
    run "$ROOT/run-configurable.sh" --head-env SECRET
  [ "$status" -eq 0 ]
  grep -q '^python -Es' "$CALLS"
  never '^python [^-]'
  grep -qx 'PERF_REQUESTS=7' "$CODES/env"
  grep -qx 'GATEWAY_URL=http://x' "$CODES/env"
  [ "$(grep -cx 'GIVEN_SECRET=1' "$CODES/env")" -eq 1 ] # measure.py's alone
  if grep -E '^(PYTHON|OMP|SECRET|OTHER)' "$CODES/env"; then return 1; fi
}

@test "a load generator below a path with an equals sign is started all the same" {
  mkdir "$BATS_TEST_TMPDIR/a=b"
  mv "$BATS_TEST_TMPDIR/generator" "$BATS_TEST_TMPDIR/a=b/generator"
  sed -i.bak 's|BATS_TEST_TMPDIR/generator"$|BATS_TEST_TMPDIR/a=b/generator"|' "$PERF_PYTHON"
  run "$ROOT/run-configurable.sh"
  [ "$status" -eq 0 ]
  grep -qx 'generator 3: -n an argument http://x/' "$CALLS"
}
