# shellcheck shell=bash
# cleanup.sh - what has to be undone when a program ends, however it ends. A library: functions only.
#
# Register first, then start:
#
#   cleanup::install                  once, before anything is started
#   cleanup::push stop_the_server     a function; the last one registered runs first
#
# A program ends with 1, a regression, only where CLEANUP_PROOF says that a comparison with this verdict stands written.
# Bash and Python end with 1 for whatever else breaks, and that becomes 2 here.
#
# INT (Ctrl-C) ends with 130; TERM, and a terminal or a reader that went away, with 143. Bash delays a trap until a
# program in the foreground has ended, so whatever may take longer than a moment is started by cleanup::child.

CLEANUP_STEPS=()
CLEANUP_PROOF='' # a function that succeeds when a regression stands written
CLEANUP_CHILD=''
CLEANUP_BEFORE='' # the process that was started before CLEANUP_CHILD
CLEANUP_CODE=0
CLEANUP_PATIENCE=90 # tenths of a second that a child of cleanup::child may take to end

# cleanup::install: from now on cleanup runs at every way out.
cleanup::install() {
  trap 'cleanup::run $?' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP PIPE
}

# cleanup::push FUNCTION: it is called without arguments; CLEANUP_CODE holds the exit code of the program.
cleanup::push() {
  CLEANUP_STEPS+=("$1")
}

# cleanup::run CODE: everything registered, last first; nothing interrupts it and no failure stops it.
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

# cleanup::stop_rest: what still runs. A signal may come between the start of a process and the line that keeps its pid,
# so no step knew of it.
cleanup::stop_rest() {
  local pid
  for pid in $(jobs -p); do
    cleanup::stop_pid "$pid" 20 TERM
  done
}

# cleanup::judge CODE: what CODE means for the caller of this program, in CLEANUP_CODE. What no program of the toolkit ends
# with (127: a command that is missing, 254: no process can be made) is 2; 137 and the like, of a kill, stay.
cleanup::judge() {
  CLEANUP_CODE=$1
  case $1 in
    0 | 2 | 3 | 4) ;;
    1) cleanup::is_proven || CLEANUP_CODE=2 ;;
    *) [ "$1" -gt 128 ] && [ "$1" -le 192 ] || CLEANUP_CODE=2 ;;
  esac
}

# cleanup::is_proven: does a comparison that calls this a regression stand written?
cleanup::is_proven() {
  [ -n "$CLEANUP_PROOF" ] && "$CLEANUP_PROOF"
}

# cleanup::child COMMAND...: run it and wait for it; a signal stops it and ends this program. Answers its exit code.
# COMMAND is a program, or a function that becomes one by exec: any other function would run in a shell of its own, and
# only that would be stopped.
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

# cleanup::stop_child: the command of cleanup::child cleans up behind itself when it is told to end.
cleanup::stop_child() {
  if [ "$CLEANUP_CHILD" = unknown ]; then
    # The signal came before its pid was kept, or before it was started.
    CLEANUP_CHILD=${!-}
    [ "$CLEANUP_CHILD" != "$CLEANUP_BEFORE" ] || CLEANUP_CHILD=''
  fi
  [ -n "$CLEANUP_CHILD" ] || return 0
  cleanup::stop_pid "$CLEANUP_CHILD" "$CLEANUP_PATIENCE" TERM
  CLEANUP_CHILD=''
}

# cleanup::stop_pid PID TENTHS SIGNAL...: send each signal and wait so many tenths of a second for the end; then KILL.
# PID is a child of this shell, so the number cannot have gone to another process before the shell has seen its end. Once
# it has, `kill -0` fails, and there is nothing to `wait` for: bash 5.2, when a trap cut short its wait for the same PID,
# may then wait for ever.
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
