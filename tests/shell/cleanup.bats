#!/usr/bin/env bats
# cleanup.sh: what is registered runs at every way out, last first, and the exit code says which way it was.

setup() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
  cat >"$BATS_TEST_TMPDIR/program" <<END
#!/usr/bin/env bash
set -euo pipefail
. "$ROOT/utils/lib/cleanup.sh"
first() { echo "first \$CLEANUP_CODE"; }
second() { echo second; false; }
cleanup::install
cleanup::push first
cleanup::push second
END
}

program() { # the rest of the program, on stdin; run in the background, its pid in $pid
  cat >>"$BATS_TEST_TMPDIR/program"
  bash "$BATS_TEST_TMPDIR/program" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
  pid=$!
}

said() { # TEXT: wait until the program has said it
  local tries
  for ((tries = 0; tries < 50; tries++)); do
    grep -q "$1" "$BATS_TEST_TMPDIR/out" 2>/dev/null && return 0
    sleep 0.1
  done
  return 1
}

ended() { # the program's exit code, in $code
  code=0
  wait "$pid" || code=$?
}

@test "an ordinary end: last registered first, a failing step does not stop the others" {
  program <<<'exit 3'
  ended
  [ "$code" -eq 3 ]
  [ "$(cat "$BATS_TEST_TMPDIR/out")" = $'second\nfirst 3' ]
}

@test "a failing command is a way out as well, and no regression: 2" {
  program <<<'false'
  ended
  [ "$code" -eq 2 ]
  grep -qx 'first 2' "$BATS_TEST_TMPDIR/out"
}

@test "1 stays 1 only where a regression is proven" {
  program <<<'proof() { true; }; CLEANUP_PROOF=proof; false'
  ended
  [ "$code" -eq 1 ]
  cat >"$BATS_TEST_TMPDIR/program" <<<". '$ROOT/utils/lib/cleanup.sh'; cleanup::install"
  program <<<'set -e; proof() { false; }; CLEANUP_PROOF=proof; false'
  ended
  [ "$code" -eq 2 ]
}

@test "what no program of the toolkit ends with is 2, a kill stays what it was" {
  local pair
  for pair in 3:3 4:4 5:2 126:2 127:2 254:2 130:130 137:137 143:143; do
    cat >"$BATS_TEST_TMPDIR/program" <<<". '$ROOT/utils/lib/cleanup.sh'; cleanup::install"
    program <<<"exit ${pair%:*}"
    ended
    [ "$code" -eq "${pair#*:}" ]
  done
}

@test "TERM while a child runs: the child is told at once, exit 143" {
  program <<<'cleanup::child bash -c "trap \"echo child told; exit 0\" TERM; echo ready; while :; do sleep 0.1; done"'
  said ready
  kill -TERM "$pid"
  ended
  [ "$code" -eq 143 ]
  grep -qx 'child told' "$BATS_TEST_TMPDIR/out"
  grep -qx 'first 143' "$BATS_TEST_TMPDIR/out"
}

@test "a signal between the start of a process and the note of its pid leaves nothing running" {
  program <<'END'
change=$(declare -f cleanup::child | sed 's/CLEANUP_CHILD=$!/sleep 0.5; kill -TERM $$; &/')
eval "$change"
cleanup::child bash -c 'echo "child $$"; exec sleep 20'
END
  ended
  [ "$code" -eq 143 ]
  child=$(sed -n 's/^child //p' "$BATS_TEST_TMPDIR/out")
  [ -n "$child" ]
  if kill -0 "$child" 2>/dev/null; then return 1; fi
  grep -qx 'first 143' "$BATS_TEST_TMPDIR/out"
}

@test "a process that no step knows of is stopped at the end" {
  program <<<'bash -c "echo child \$\$; exec sleep 20" & sleep 0.5; kill -TERM $$; kept=$!'
  ended
  [ "$code" -eq 143 ]
  child=$(sed -n 's/^child //p' "$BATS_TEST_TMPDIR/out")
  [ -n "$child" ]
  if kill -0 "$child" 2>/dev/null; then return 1; fi
}

@test "a signal before a child is started stops no other" {
  program <<'END'
bash -c 'trap "echo told" TERM; echo ready; sleep 1; sleep 1' &
sleep 0.5
change=$(declare -f cleanup::child | sed 's/CLEANUP_CHILD=unknown/&; kill -TERM $$/')
eval "$change"
step() { sleep 0.3; echo "step"; }
cleanup::push step
cleanup::child sleep 20
END
  ended
  [ "$code" -eq 143 ]
  # The other is stopped only after all steps, for they may know of it.
  [ "$(grep -nx step "$BATS_TEST_TMPDIR/out" | cut -d: -f1)" -lt "$(grep -nx told "$BATS_TEST_TMPDIR/out" | cut -d: -f1)" ]
}

@test "a program beside the shell leaves Ctrl-C and the end of a terminal to the shell, and ends on TERM" {
  printf '#!/usr/bin/env bash\nkill -INT $$\nkill -HUP $$\necho lives\nkill -TERM $$\necho deaf\n' >"$BATS_TEST_TMPDIR/python"
  chmod +x "$BATS_TEST_TMPDIR/python"
  program <<END
ROOT=$ROOT
. "$ROOT/utils/lib/environment.sh"
PERF_PYTHON=$BATS_TEST_TMPDIR/python
code=0
cleanup::child environment::child any.py || code=\$?
echo "child: \$code"
END
  ended
  [ "$code" -eq 0 ]
  grep -qx lives "$BATS_TEST_TMPDIR/out"
  grep -qx 'child: 143' "$BATS_TEST_TMPDIR/out"
}

@test "HUP is a terminal that went away: exit 143" {
  program <<<'echo ready; cleanup::child sleep 20'
  said ready
  kill -HUP "$pid"
  ended
  [ "$code" -eq 143 ]
}

@test "a child that ignores TERM is killed, and nothing of it is left" {
  program <<<'cleanup::child bash -c "trap \"\" TERM; echo ready \$\$; while :; do sleep 0.1; done"'
  said ready
  child=$(sed -n 's/^ready //p' "$BATS_TEST_TMPDIR/out")
  kill -TERM "$pid"
  ended
  [ "$code" -eq 143 ]
  if kill -0 "$child" 2>/dev/null; then return 1; fi
}

@test "a child's exit code comes through" {
  # shellcheck disable=SC2016  # it is the program's variable
  program <<<'code=0; cleanup::child bash -c "exit 7" || code=$?; echo "child: $code"'
  ended
  [ "$code" -eq 0 ]
  grep -qx 'child: 7' "$BATS_TEST_TMPDIR/out"
}

@test "a second signal does not cut the cleanup short" {
  program <<<'slow() { echo cleaning; sleep 1; echo cleaned; }; cleanup::push slow; echo ready; cleanup::child sleep 20'
  said ready
  kill -TERM "$pid"
  said cleaning
  kill -TERM "$pid"
  ended
  [ "$code" -eq 143 ]
  grep -qx cleaned "$BATS_TEST_TMPDIR/out"
  grep -qx 'first 143' "$BATS_TEST_TMPDIR/out"
}
