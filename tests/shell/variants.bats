#!/usr/bin/env bats
# variants.sh: the command line of run-advanced.sh, and which program is started in which order. The programs are stubs.

setup() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
  export PERF_PYTHON="$BATS_TEST_TMPDIR/python" CALLS="$BATS_TEST_TMPDIR/calls" TMPDIR="$BATS_TEST_TMPDIR"
  export RUN="$BATS_TEST_TMPDIR/a run" CODES="$BATS_TEST_TMPDIR/codes"
  mkdir -p "$RUN/base/raw" "$RUN/head/raw" "$CODES"
  : >"$CALLS"
  : >"$RUN/base/plan.json"
  : >"$RUN/head/plan.json"
  # Answers the session like utils/measure.py: one step, a new start of the gateways, one more step, the end.
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
  steps=0
  while [ $# -gt 0 ]; do
    case $1 in
      --variants-file) : >"$2" ;;
      --dir-file) dir_file=$2 ;;
    esac
    shift
  done
  while read -r word rest; do
    echo "session $word $rest" >>"$CALLS"
    case $word in
      open) printf 'ok\0true\0%s\0' "$BATS_TEST_TMPDIR/hey" ;;
      installs) printf 'ok\0000\000' ;;
      plan)
        printf '%s' "$RUN" >"$dir_file"
        printf 'ok\0%s\0' "$RUN"
        ;;
      next)
        case $((steps++)) in
          1) printf 'restart\0' ;;
          3) printf 'end\0' ;;
          *)
            mkdir -p "$RUN/.load" "$RUN/base/raw/tools"
            printf '%s\n' hey base/raw/tools/out.1.csv http://x/ >"$RUN/.load/1.args"
            printf 'run\0001\0'
            ;;
        esac
        ;;
      *) printf 'ok\0' ;;
    esac
  done
fi
[ "$name" != ended.py ] || echo 'the documents say how it ended'
[ "$name" != compare_results.py ] || printf '{\n  "exit_code": %s\n}\n' "$(cat "$CODES/$name" 2>/dev/null || echo 0)" >"$RUN/comparison.json"
if [ "$name" = variants.py ] && [ "$(grep -c '^variants.py restart' "$CALLS")" = "${PERF_FAIL_RESTART:-}" ]; then exit 2; fi
if [ -e "$CODES/$name" ]; then exit "$(cat "$CODES/$name")"; fi
END
  cat "$BATS_TEST_TMPDIR/head" - >"$BATS_TEST_TMPDIR/hey" <<<'echo row'
  chmod +x "$PERF_PYTHON" "$BATS_TEST_TMPDIR/hey"
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

@test "two gateways: servers, gateways, blocks with new starts, both collected, compared, reported, stopped" {
  run "$ROOT/run-advanced.sh" --base 1.0.6 --head ./checkout --head-env "A=b c" --blocks 6 --cases 'tools/*'
  [ "$status" -eq 0 ]
  grep -q -e '--blocks 6 .*--cases tools/\* --variant base=1.0.6 --variant head=./checkout --name paired --variant-env-file ' "$CALLS"
  order '^session open' '^session installs' '^variants.py servers' '^variants.py restart' '^session plan' '^session done 0' \
    '^variants.py restart' '^session restarted' '^session done 0' '^session close' '^collect_results.py .*base/' \
    '^collect_results.py .*head/' "^compare_results.py $RUN/head --against $RUN/base --output-dir $RUN" \
    "^report_generator.py $RUN/head --comparison $RUN/comparison.json" '^variants.py down'
  [[ $output == *'(exit 0)' ]]
}

@test "one monitor for all gateways, from the first block to the last" {
  run "$ROOT/run-advanced.sh" --base 1.0.6 --head 1.0.7 --requests 50
  [ "$status" -eq 0 ]
  [ "$(grep -c '^monitor.py' "$CALLS")" -eq 1 ]
  grep -qE "^monitor.py --shell [0-9]+ --variants-file .*/variants.json --requests 50 $RUN/monitor.jsonl$" "$CALLS"
  order '^session plan' '^monitor.py' '^session next' '^session close'
}

@test "a regression is the exit code, and everything is stopped" {
  echo 1 >"$CODES/compare_results.py"
  run "$ROOT/run-advanced.sh" --base 1.0.6 --head 1.0.7
  [ "$status" -eq 1 ]
  order '^compare_results.py' '^variants.py down'
  [[ $output == *': the documents say how it ended; results in'*'(exit 1)' ]]
}

@test "an invalid variant is exit 3 although nothing got slower" {
  echo 3 >"$CODES/collect_results.py"
  run "$ROOT/run-advanced.sh" --base 1.0.6 --head 1.0.7
  [ "$status" -eq 3 ]
}

@test "undecided is exit 4 only where it is asked for" {
  echo 4 >"$CODES/compare_results.py"
  run "$ROOT/run-advanced.sh" --base 1.0.6 --head 1.0.7 --fail-on-inconclusive
  [ "$status" -eq 4 ]
  grep -q '^compare_results.py .*--fail-on-inconclusive' "$CALLS"
}

@test "gateways that do not start again before a later block: what was measured is marked, everything is stopped" {
  PERF_FAIL_RESTART=2 run "$ROOT/run-advanced.sh" --base 1.0.6 --head 1.0.7
  [ "$status" -eq 2 ]
  order '^session done 0' '^variants.py restart .*--again' "^collect_results.py $RUN --interrupted 2" '^variants.py down'
  run grep '^compare_results.py' "$CALLS"
  [ "$status" -eq 1 ]
}

@test "gateways that do not start: its code, and everything is stopped" {
  echo 2 >"$CODES/variants.py"
  run "$ROOT/run-advanced.sh" --base 1.0.6 --head 1.0.7
  [ "$status" -eq 2 ]
  order '^variants.py servers' '^variants.py down'
  run grep '^session plan' "$CALLS"
  [ "$status" -eq 1 ]
}

@test "releases are variants in their order, a path is named by its end" {
  run "$ROOT/run-advanced.sh" --releases "1.0.5, dist/mcp_gateway-1.0.6-py3-none-any.whl ../my gateway" --requests 50
  [ "$status" -eq 0 ]
  grep -q -e '--variant 1.0.5=1.0.5 --variant 1.0.6=dist/mcp_gateway-1.0.6-py3-none-any.whl --variant my=../my ' "$CALLS"
  grep -q -e ' --variant gateway=gateway --name history' "$CALLS"
  [[ $output == *': the documents say how it ended; results in'* ]]
  grep -q "^history_report.py $RUN" "$CALLS"
}

@test "a release's broken case is a result of a history, and no end with 3; where it is none, history_report.py says so" {
  echo 3 >"$CODES/collect_results.py"
  run "$ROOT/run-advanced.sh" --releases "1.0.5 1.0.6"
  [ "$status" -eq 0 ]
  grep -q "^history_report.py $RUN" "$CALLS"
  echo 3 >"$CODES/history_report.py"
  run "$ROOT/run-advanced.sh" --releases "1.0.5 1.0.6"
  [ "$status" -eq 3 ]
}

@test "settings: of the usual gateway, or of another" {
  run "$ROOT/run-advanced.sh" --tune --requests 50
  [ "$status" -eq 0 ]
  grep -q -e '--tune  --name tune' "$CALLS"
  grep -q "^tune_report.py $RUN" "$CALLS"
  run "$ROOT/run-advanced.sh" --tune 1.0.6 --env-file "$RUN/env"
  grep -q "^tune_report.py $RUN --env-file $RUN/env" "$CALLS"
  grep -q -e '--tune 1.0.6 --name tune' "$CALLS"
}

@test "what was typed is noted, but for secrets" {
  LANGFUSE_OTEL_AUTH=hidden5 run "$ROOT/run-advanced.sh" --base 1.0.6 --head 1.0.7 --head-env JWT_SECRET_KEY=hidden1 \
    --head-env=A=hidden2 --base-env DATABASE_URL=postgresql://u:hidden3@h/d --base-env "OTEL_EXPORTER_OTLP_HEADERS=a=hidden4" \
    --head-env LANGFUSE_OTEL_AUTH
  [ "$status" -eq 0 ]
  grep -q -e '--command run-advanced.sh --base 1.0.6 .*JWT_SECRET_KEY=.*not.*shown.* --head-env=A=' "$CALLS"
  # Neither in the command that is stored, nor in the arguments of any program.
  run grep -c hidden "$CALLS"
  [ "$output" -eq 0 ]
}

@test "mistakes on the command line: one line, exit 2, nothing started" {
  local line
  while read -r line; do
    # shellcheck disable=SC2086 # words of a command line
    run "$ROOT/run-advanced.sh" ${line%%|*}
    [ "$status" -eq 2 ]
    [[ $output == *"${line##*|}"* ]]
    [ "$(wc -l <<<"$output")" -eq 1 ]
  done <<'END'
--head 1.0.7 |--base is missing
--base 1.0.7 |--head is missing
--releases 1.0.7 |--releases: give at least two
--base |--base: needs a value
--tune --base 1.0.6 |--tune goes with neither
--releases 1.0.6,1.0.7 --head 1.0.6 |--releases goes with neither
--tune --base-env A=1 |belong to --base and --head
--base 1.0.6 --head 1.0.7 --env-file x |--env-file belongs to --tune
--base 1.0.6 --head 1.0.7 --head-env NOT_SET_ANYWHERE |--head-env NOT_SET_ANYWHERE: there is no such environment variable
--wrong 1 |--wrong: there is no such option
|give --base and --head, --releases or --tune
END
  [ ! -s "$CALLS" ]
}

@test "its help" {
  run "$ROOT/run-advanced.sh" --help
  [ "$status" -eq 0 ]
  [[ $output == *'--base SPEC --head SPEC'*'exit: 0'* ]]
}
