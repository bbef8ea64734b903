#!/usr/bin/env bats
# profile.sh: the command line of run-profile.sh, and which program is started with which arguments. The programs are stubs.

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
  while [ $# -gt 0 ]; do
    [ "$1" != --dir-file ] || dir_file=$2
    shift
  done
  while read -r word rest; do
    echo "session $word $rest" >>"$CALLS"
    case $word in
      open) printf 'ok\0true\0001\0hey\0001\0%s\0' "$BATS_TEST_TMPDIR/hey" ;;
      plan)
        printf '%s' "$RUN" >"$dir_file"
        if [ -e "$CODES/plan" ]; then printf 'fail\0%s\0' "$(cat "$CODES/plan")"; else printf 'ok\0%s\0' "$RUN"; fi
        ;;
      next)
        if [ $((steps--)) -gt 0 ]; then
          mkdir -p "$RUN/.load" "$RUN/raw/tools"
          printf '%s\n' hey raw/tools/out.1.csv http://x/ >"$RUN/.load/1.args"
          printf 'run\0001\0'
        else
          printf 'end\0'
        fi
        ;;
      *) printf 'ok\0' ;;
    esac
  done
fi
if [ -e "$CODES/$name" ]; then exit "$(cat "$CODES/$name")"; fi
END
  cat "$BATS_TEST_TMPDIR/head" - >"$BATS_TEST_TMPDIR/hey" <<'END'
[ ! -e "$CODES/slow" ] || {
  echo $$ >"$CODES/slow"
  exec sleep 60
}
echo row
END
  chmod +x "$PERF_PYTHON" "$BATS_TEST_TMPDIR/hey"
}

never() { # PATTERN: no call looks like it
  if grep -E "$1" "$CALLS"; then return 1; fi
}

@test "a whole profile: session, target, load, report, and the last line" {
  run "$ROOT/run-profile.sh" --case tools/list_limit_50 --rate 50 --requests=60 --python-only
  [ "$status" -eq 0 ]
  grep -q '^measure.py .*--rate 50 --requests 60 --sample tools/list_limit_50 --python-only$' "$CALLS"
  grep -q '^stack.py ensure .*--rate 50 --requests 60$' "$CALLS"
  grep -qx 'session done 0' "$CALLS"
  grep -qx "profile_report.py $RUN" "$CALLS"
  [[ "${lines[${#lines[@]} - 1]}" == *"sampled; results in $RUN (exit 0)" ]]
}

@test "no baseline, no comparison, no run.json" {
  run "$ROOT/run-profile.sh" --case tools/list_limit_50
  [ "$status" -eq 0 ]
  never '^(baseline_manager|compare_results|collect_results|report_generator)'
}

@test "work that did not happen: exit 3, in the last line too" {
  echo 3 >"$CODES/profile_report.py"
  run "$ROOT/run-profile.sh" --case tools/list_limit_50
  [ "$status" -eq 3 ]
  [[ "${lines[${#lines[@]} - 1]}" == *"invalid"*"(exit 3)" ]]
}

@test "a gateway that cannot be sampled: its exit code, and what there is is marked" {
  echo 2 >"$CODES/plan"
  run "$ROOT/run-profile.sh" --case tools/list_limit_50
  [ "$status" -eq 2 ]
  never '^session next'
  grep -qx "profile_report.py $RUN --interrupted 2" "$CALLS"
}

@test "TERM: the load is stopped, what was sampled is marked, exit 143" {
  : >"$CODES/slow"
  "$ROOT/run-profile.sh" --case tools/list_limit_50 2>"$BATS_TEST_TMPDIR/err" &
  pid=$!
  until [ -s "$CODES/slow" ]; do sleep 0.05; done
  kill -TERM "$pid"
  code=0
  wait "$pid" || code=$?
  [ "$code" -eq 143 ]
  run kill -0 "$(cat "$CODES/slow")"
  [ "$status" -ne 0 ]
  grep -qx "profile_report.py $RUN --interrupted 143" "$CALLS"
  grep -q 'what was sampled is kept and marked.*(exit 143)' "$BATS_TEST_TMPDIR/err"
}

@test "mistakes on the command line are one line, and start nothing" {
  run "$ROOT/run-profile.sh"
  [ "$status" -eq 2 ]
  [[ "$output" == *"--case is missing"* ]]
  run "$ROOT/run-profile.sh" --case
  [ "$status" -eq 2 ]
  run "$ROOT/run-profile.sh" --case tools/list_limit_50 --baseline save
  [ "$status" -eq 2 ]
  [[ "$output" == *"--baseline: there is no such option"* ]]
  [ ! -s "$CALLS" ]
}

@test "--help is the header" {
  run "$ROOT/run-profile.sh" --help
  [ "$status" -eq 0 ]
  [[ "$output" == *"usage: "*"exit: 0"* ]]
  [[ "$output" != *"set -e"* ]]
}
