# shellcheck shell=bash
# cleanup.sh - cleanup when a program ends, in any way. A library: functions only.
#
# Register first, then start:
#
#   cleanup::install                  once, before anything is started
#   cleanup::push stop_the_server     registers a function; the last one registered runs first
#
# A program exits with 1, a regression, only if CLEANUP_PROOF confirms that a comparison with this verdict was written.
# Bash and Python exit with 1 for any other failure too, and that becomes 2 here.
#
# INT (Ctrl-C) exits with 130; TERM, and a closed terminal or reader, with 143. Bash delays a trap until the program in the
# foreground has ended, so anything that may take longer than a moment must be started with cleanup::child.

CLEANUP_STEPS=()
CLEANUP_PROOF='' # a function that succeeds if a written comparison proves a regression
CLEANUP_CHILD=''
CLEANUP_BEFORE='' # the process that was started before CLEANUP_CHILD
CLEANUP_CODE=0
CLEANUP_PATIENCE=90 # how long a child of cleanup::child may take to end, in tenths of a second

# cleanup::install: makes cleanup run on every exit.
cleanup::install() {
  trap 'cleanup::run $?' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP PIPE
}

# cleanup::push FUNCTION: registers a function without arguments; CLEANUP_CODE holds the exit code of the program.
cleanup::push() {
  CLEANUP_STEPS+=("$1")
}

# cleanup::run CODE: runs everything registered, last first; cannot be interrupted, and continues after failures.
cleanup::run() {
  local index
  trap '' INT TERM HUP PIPE
  trap - EXIT
  set +e
  cleanup::judge "$1"
  cleanup::stop_child
  for ((index = ${#CLEANUP_STEPS[@]} - 1; index >= 0; index--)); do
    "${CLEANUP_STEPS[index]}"
  done
  cleanup::stop_rest
  exit "$CLEANUP_CODE"
}

# cleanup::stop_rest: stops remaining children. A signal may arrive between the start of a process and the line that stores
# its pid, so no registered function knows that process.
cleanup::stop_rest() {
  local pid
  for pid in $(jobs -p); do
    cleanup::stop_pid "$pid" 20 TERM
  done
}

# cleanup::judge CODE: sets CLEANUP_CODE to the code for the caller of this program. Codes that no program of the toolkit
# uses (127: missing command, 254: no process can be created) become 2; codes of a kill, like 137, are kept.
cleanup::judge() {
  CLEANUP_CODE=$1
  case $1 in
    0 | 2 | 3 | 4) ;;
    1) cleanup::is_proven || CLEANUP_CODE=2 ;;
    *) [ "$1" -gt 128 ] && [ "$1" -le 192 ] || CLEANUP_CODE=2 ;;
  esac
}

# cleanup::is_proven: succeeds if a written comparison proves a regression.
cleanup::is_proven() {
  [ -n "$CLEANUP_PROOF" ] && "$CLEANUP_PROOF"
}

# cleanup::child COMMAND...: runs a command and waits for it; a signal stops it and ends this program. Returns its exit code.
# COMMAND must be a program, or a function that ends in exec. Any other function would run in a subshell, and only that
# would be stopped.
cleanup::child() {
  local code=0
  CLEANUP_BEFORE=${!-}
  CLEANUP_CHILD=unknown
  "$@" &
  CLEANUP_CHILD=$!
  wait "$CLEANUP_CHILD" || code=$?
  CLEANUP_CHILD=''
  return "$code"
}

# cleanup::stop_child: stops the command of cleanup::child, which does its own cleanup on TERM.
cleanup::stop_child() {
  if [ "$CLEANUP_CHILD" = unknown ]; then
    # The signal arrived before its pid was stored, or before it was started.
    CLEANUP_CHILD=${!-}
    [ "$CLEANUP_CHILD" != "$CLEANUP_BEFORE" ] || CLEANUP_CHILD=''
  fi
  [ -n "$CLEANUP_CHILD" ] || return 0
  cleanup::stop_pid "$CLEANUP_CHILD" "$CLEANUP_PATIENCE" TERM
  CLEANUP_CHILD=''
}

# cleanup::stop_pid PID TENTHS SIGNAL...: sends each signal and waits so many tenths of a second for the end; then KILL.
# PID is a child of this shell, so the number cannot be reused before the shell has reaped it. After that `kill -0` fails,
# and there is nothing to `wait` for: bash 5.2 may then wait forever, if a trap interrupted its earlier wait for the same
# PID.
cleanup::stop_pid() {
  local pid=$1 tenths=$2 signal waited
  shift 2
  for signal in "$@"; do
    kill -s "$signal" "$pid" 2>/dev/null || return 0
    for ((waited = 0; waited < tenths; waited++)); do
      kill -0 "$pid" 2>/dev/null || return 0
      sleep 0.1
    done
  done
  ! kill -s KILL "$pid" 2>/dev/null || wait "$pid" 2>/dev/null
  return 0
}
