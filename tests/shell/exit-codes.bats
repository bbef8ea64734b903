#!/usr/bin/env bats
# Whatever breaks in the caller's environment: no program of the shell side ends with 1, which means a regression, and
# none behaves differently because of a variable that is not the toolkit's.

bats_require_minimum_version 1.5.0

setup() {
  ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
  RUNNERS=("$ROOT"/run-*.sh "$ROOT"/scenarios/*.sh)
  SCRIPTS=("${RUNNERS[@]}" "$ROOT"/utils/*.sh)
  export PERF_PYTHON="$BATS_TEST_TMPDIR/python" TMPDIR="$BATS_TEST_TMPDIR"
  # Every program breaks as Python does when a package does not import.
  printf '#!/usr/bin/env bash\necho "$@" >>"%s/called"\necho "ImportError" >&2\nexit 1\n' "$BATS_TEST_TMPDIR" >"$PERF_PYTHON"
  chmod +x "$PERF_PYTHON"
}

# begin RUNNER: run it with the arguments that it needs.
begin() {
  case $1 in
    */run-advanced.sh) run "$1" --base 1.0.6 --head 1.0.7 ;;
    */run-profile.sh) run "$1" --case tools/list_limit_50 ;;
    */repeat-runs.sh) run "$1" baseline ;;
    *) run "$1" ;;
  esac
}

one_line() { # TEXT: that is all that was said, and it names this
  [ "$status" -eq 2 ]
  [ "${#lines[@]}" -eq 1 ]
  [[ "$output" == error:*"$1"* ]]
}

@test "a TMPDIR that is not there, is no directory, or takes nothing: one line, exit 2" {
  local runner place
  : >"$BATS_TEST_TMPDIR/file"
  for runner in "${RUNNERS[@]}" "$ROOT/utils/repeat-runs.sh"; do
    for place in /nonexistent "$BATS_TEST_TMPDIR/file" /proc; do
      TMPDIR=$place begin "$runner"
      one_line "TMPDIR=$place"
    done
  done
}

@test "a TMPDIR that is full: one line, exit 2" {
  # mktemp makes the directory, and nothing can be written there.
  mkdir -p "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/full/probe"
  printf '#!/bin/sh\necho "%s/full"\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/bin/mktemp"
  chmod +x "$BATS_TEST_TMPDIR/bin/mktemp"
  PATH=$BATS_TEST_TMPDIR/bin:$PATH begin "$ROOT/run-configurable.sh"
  one_line "TMPDIR=$BATS_TEST_TMPDIR"
}

@test "a lock that cannot be opened: exit 2, and its name" {
  PERF_LOCK=$BATS_TEST_TMPDIR/nowhere/lock begin "$ROOT/run-configurable.sh"
  [ "$status" -eq 2 ]
  [[ $output == *"$BATS_TEST_TMPDIR/nowhere/lock: cannot be opened, so no other run can be kept out"* ]]
}

@test "programs that end with 1 at once: exit 2, in every runner" {
  local runner
  for runner in "${RUNNERS[@]}" "$ROOT"/utils/{repeat-runs,check-services,setup-auth}.sh; do
    begin "$runner"
    [ "$status" -eq 2 ]
  done
}

@test "a command that is missing is 2" {
  mkdir "$BATS_TEST_TMPDIR/bin"
  local name
  for name in bash env readlink dirname sed cat rm id basename; do
    ln -s "$(command -v "$name")" "$BATS_TEST_TMPDIR/bin/$name"
  done
  PATH=$BATS_TEST_TMPDIR/bin begin "$ROOT/run-configurable.sh" # neither mktemp nor mkfifo
  [ "$status" -eq 2 ]
}

@test "too few open files: one line before anything is started, exit 2" {
  local command
  for command in run-configurable.sh 'run-advanced.sh --base 1 --head 2' run-all.sh 'run-profile.sh --case a/b'; do
    run bash -c "ulimit -n 40; exec '$ROOT'/$command"
    one_line 'ulimit -n'
  done
  [ ! -e "$BATS_TEST_TMPDIR/called" ]
}

@test "a soft limit of open files is raised as far as the hard one goes, and never lowered" {
  printf '#!/usr/bin/env bash\nulimit -n >>"%s/files"\nexit 2\n' "$BATS_TEST_TMPDIR" >"$PERF_PYTHON"
  (
    ulimit -S -n 256
    "$ROOT/run-configurable.sh"
  ) 2>/dev/null || true
  [ "$(head -n 1 "$BATS_TEST_TMPDIR/files")" -ge 1024 ]
  rm "$BATS_TEST_TMPDIR/files"
  (
    ulimit -S -n "$(ulimit -H -n)"
    "$ROOT/run-configurable.sh"
    ulimit -n >"$BATS_TEST_TMPDIR/own"
  ) 2>/dev/null || true
  [ "$(head -n 1 "$BATS_TEST_TMPDIR/files")" = "$(ulimit -H -n)" ]
}

@test "an exported CDPATH, POSIXLY_CORRECT, SHELLOPTS, BASH_ENV, GLOBIGNORE or function changes nothing" {
  local script plain relative
  echo 'echo from BASH_ENV; exit 1' >"$BATS_TEST_TMPDIR/env"
  # shellcheck disable=SC2317 # the scripts would call them
  cd() { echo "not this one" && return 1; }
  # shellcheck disable=SC2317
  dirname() { return 1; }
  PERF_PYTHON=/nowhere/python # --help needs none of the toolkit's
  for script in "${SCRIPTS[@]}"; do
    relative=./${script#"$ROOT"/}
    plain=$("$script" --help)
    run env -C "$ROOT" CDPATH=.:/tmp:"$ROOT" POSIXLY_CORRECT=1 SHELLOPTS=noglob:noclobber BASH_ENV="$BATS_TEST_TMPDIR/env" \
      GLOBIGNORE='*' PERF_PYTHON="$PERF_PYTHON" "$relative" --help
    [ "$status" -eq 0 ]
    [ "$output" = "$plain" ]
    export -f cd dirname
    run "$script" --help
    export -nf cd dirname
    [ "$status" -eq 0 ]
    [ "$output" = "$plain" ]
  done
}

@test "a script that is called through a link, also one of a link, is the toolkit's" {
  local script name
  PERF_PYTHON=/nowhere/python # --help needs none of the toolkit's
  mkdir -p "$BATS_TEST_TMPDIR/elsewhere/utils/lib"
  echo 'echo somebody else; exit 1' | tee "$BATS_TEST_TMPDIR/elsewhere/utils/lib/runner.sh" >"$BATS_TEST_TMPDIR/elsewhere/utils/lib/log.sh"
  for script in "${SCRIPTS[@]}"; do
    name=$BATS_TEST_TMPDIR/elsewhere/${script##*/}
    ln -s "$script" "$name.first"
    ln -s "${name##*/}.first" "$name"
    run "$name" --help
    [ "$status" -eq 0 ]
    [ "$output" = "$("$script" --help)" ]
  done
}

@test "a copy without its library is 2" {
  local script
  for script in "${SCRIPTS[@]}"; do
    cp "$script" "$BATS_TEST_TMPDIR/alone.sh"
    run "$BATS_TEST_TMPDIR/alone.sh"
    [ "$status" -eq 2 ]
  done
}
