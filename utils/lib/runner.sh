# shellcheck shell=bash
# runner.sh - start, wait for and stop every process of a run. The only place that starts load. A library: functions
# only; run-*.sh, scenarios/*.sh and utils/repeat-runs.sh call runner::main.
#
# utils/measure.py reads the command line and decides. It runs beside this shell for the whole run. This shell asks it
# `next`, with the exit codes of what the last step started; the answer comes in fields that end with a NUL:
#
#   load N                        start N load processes, whose arguments stand in .load/1.args … of the run's directory
#   program OUTPUT N WORD...      run a program of utils/; OUTPUT is out, err or none
#   setup RELEASE SOURCE          install a gateway; one of both is empty
#   nested FILE N WORD...         run ./run-configurable.sh; FILE takes its run's directory
#   monitor N WORD...             start utils/monitor.py
#   stop-monitor
#   end CODE COMPARISON REASON    the run is over; COMPARISON is the file that proves a regression
#   fail CODE                     it cannot go on; the reason was printed
#
# The arguments of a load process hold what a gateway answered, so they do not come this way: a file for each process
# holds them (utils/benchkit/load/arguments_file.py). It names an engine. The program of each engine was told by
# measure.py before any gateway was asked.

RUNNER_ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck source=utils/lib/log.sh
. "$RUNNER_ROOT/utils/lib/log.sh"
# shellcheck source=utils/lib/cleanup.sh
. "$RUNNER_ROOT/utils/lib/cleanup.sh"
# shellcheck source=utils/lib/environment.sh
. "$RUNNER_ROOT/utils/lib/environment.sh"

# The interpreter of the toolkit's environment.
: "${PERF_PYTHON:=$RUNNER_ROOT/.venv/bin/python}"
# Set by the runner that starts this one (nested): a file that takes the run's directory once there is one.
: "${RUNNER_DIR_FILE:=}"
# true: the runner that starts this one holds the machine's lock, on descriptor 5.
: "${RUNNER_LOCKED:=false}"

RUNNER_TMP=''
RUNNER_DIR='' # directory of the run, once there is one
RUNNER_REPORT=false
RUNNER_ENGINES=()   # for each engine: its name, the number of its words, the words of its program
RUNNER_LOAD_PIDS=() # load processes that run now
RUNNER_SESSION=''   # pid of utils/measure.py
RUNNER_MONITOR=''   # pid of utils/monitor.py
RUNNER_ENDED=false  # measure.py said how the run ended
RUNNER_REASON='see the error above'
RUNNER_COMPARISON='' # comparison.json, where it proves a regression
RUNNER_FIELD=''      # what runner::read read
RUNNER_WORDS=()      # what runner::read_words read
RUNNER_OPEN_FILES=64
RUNNER_PATIENCE=40 # tenths of a second that measure.py may take to end when a run is cut short

# What a load process may write to, below the run's directory; each of several gateways has a directory of its own.
RUNNER_OUTPUT='^([A-Za-z0-9_][A-Za-z0-9._-]*/)?raw/[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9._-]*[.]csv$'

# runner::main KIND ARGUMENT...: a whole run, from the command line to the exit code. KIND and the options of each kind:
# utils/benchkit/run/options.py.
runner::main() {
  shopt -s inherit_errexit 2>/dev/null || true
  runner::help "$@"
  cleanup::install
  runner::check_machine
  CLEANUP_PROOF=runner::is_proven
  # The last one registered runs first.
  cleanup::push runner::last_line
  cleanup::push runner::remove_tmp
  cleanup::push runner::index
  cleanup::push runner::release_target
  cleanup::push runner::mark_interrupted
  cleanup::push runner::remove_arguments
  cleanup::push runner::close_session
  cleanup::push runner::stop_load
  cleanup::push runner::stop_monitor
  runner::make_tmp
  runner::open_session "$@"
  runner::follow
}

# runner::help KIND ARGUMENT...: --help needs no set-up, only some Python.
runner::help() {
  local word python=$PERF_PYTHON
  for word in "${@:2}"; do
    case $word in
      -h | --help)
        [ -x "$python" ] || python=python3
        environment::load "$python" -I "$RUNNER_ROOT/utils/benchkit/run/options.py" "$1" "$0"
        ;;
    esac
  done
}

# runner::check_machine: what every run needs before its first process.
runner::check_machine() {
  local files
  [ -x "$PERF_PYTHON" ] || log::die 2 "$PERF_PYTHON: the toolkit's environment is not there; run make setup"
  case $PERF_PYTHON in /*) ;; *) PERF_PYTHON=$PWD/$PERF_PYTHON ;; esac # a load process starts in the run's directory
  files=$(ulimit -n)
  [ "$files" != unlimited ] && [ "$files" -lt 4096 ] || return 0
  # The soft limit is a habit (256 on macOS); what the hard one allows costs nobody anything.
  ulimit -S -n 4096 2>/dev/null || ulimit -S -n "$(ulimit -H -n)" 2>/dev/null || true
  # What the load itself needs depends on its concurrency, and is checked when that is known.
  [ "$(ulimit -n)" -ge "$RUNNER_OPEN_FILES" ] \
    || log::die 2 "no more than $(ulimit -n) files may be open here, and a run needs $RUNNER_OPEN_FILES: ulimit -n 4096"
}

# runner::make_tmp: a directory for pipes and the like; gone afterwards.
runner::make_tmp() {
  if ! RUNNER_TMP=$(mktemp -d "${TMPDIR:-/tmp}/perf_test.$$.XXXXXX" 2>/dev/null) \
    || ! echo probe 2>/dev/null >"$RUNNER_TMP/probe"; then
    log::die 2 "TMPDIR=${TMPDIR:-/tmp}: nothing can be written there; make room, or set TMPDIR to another directory"
  fi
}

# runner::python PROGRAM ARGUMENT...: one of utils/*.py that ends by itself in a moment.
runner::python() {
  (environment::python "$@")
}

# --- the session with utils/measure.py -------------------------------------------------------------------------------

# runner::open_session KIND ARGUMENT...: start it. It checks command line and settings, and takes the lock that keeps two
# runs from measuring each other.
runner::open_session() {
  local kind=$1
  shift
  mkfifo "$RUNNER_TMP/ask" "$RUNNER_TMP/answer" 2>/dev/null \
    || log::die 2 "TMPDIR=${TMPDIR:-/tmp}: no pipes can be made there; set TMPDIR to another directory"
  runner::open_lock
  # What was sampled has to be read back, which takes some seconds.
  [ "$kind" != cpu-profile ] || RUNNER_PATIENCE=200
  runner::session "$kind" "$@" <"$RUNNER_TMP/ask" >"$RUNNER_TMP/answer" &
  RUNNER_SESSION=$!
  exec 3>"$RUNNER_TMP/ask" 4<"$RUNNER_TMP/answer"
  runner::read || runner::session_died # ok
  runner::read
  RUNNER_REPORT=$RUNNER_FIELD
  runner::read_words # how many engines there are is not needed: each names the number of its words
  RUNNER_ENGINES=(${RUNNER_WORDS[@]+"${RUNNER_WORDS[@]}"})
}

# runner::session KIND ARGUMENT...: become utils/measure.py; does not return. A variable that is named on the command line
# (--base-env SECRET) goes on as GIVEN_SECRET.
runner::session() {
  local kind=$1 name
  shift
  for name in "$@"; do
    name=${name##*=}
    if [[ $name =~ ^[A-Z][A-Z0-9_]*$ && -n ${!name+set} ]]; then export "GIVEN_$name=${!name}"; fi
  done
  environment::child measure.py "$kind" --program "$0" --shell $$ --tmp "$RUNNER_TMP" \
    ${RUNNER_DIR_FILE:+--dir-file "$RUNNER_DIR_FILE"} -- "$@"
}

# runner::open_lock: descriptor 5 is the machine's lock (see utils/benchkit/lock.py). It is this shell's and its load's, so
# it is held until the shell has cleaned up and the last load has ended.
runner::open_lock() {
  [ "$RUNNER_LOCKED" = false ] || return 0
  exec 5<"${PERF_LOCK:-/}" || log::die 2 "${PERF_LOCK:-/}: cannot be opened, so no other run can be kept out"
}

# runner::next CODE...: say how the last step ended and ask for the next one, whose name comes in RUNNER_FIELD.
runner::next() {
  # Writing to one that is gone would end this shell by a signal, and the reason would be lost.
  kill -0 "$RUNNER_SESSION" 2>/dev/null || runner::session_died
  printf 'next %s\n' "$*" >&3
  runner::read || runner::session_died
}

# runner::read: the next field of the answer, in RUNNER_FIELD.
runner::read() {
  RUNNER_FIELD=''
  IFS= read -r -d '' RUNNER_FIELD <&4
}

# runner::read_words: a number and so many fields, in RUNNER_WORDS.
runner::read_words() {
  local number
  runner::read
  case $RUNNER_FIELD in '' | *[!0-9]*) log::die 2 "measure.py answered '$RUNNER_FIELD', which is no number" ;; esac
  number=$RUNNER_FIELD
  RUNNER_WORDS=()
  for (( ; number > 0; number--)); do
    runner::read
    RUNNER_WORDS+=("$RUNNER_FIELD")
  done
}

# runner::session_died: it ended without an answer: its own exit code tells why.
runner::session_died() {
  local code=0
  wait "$RUNNER_SESSION" || code=$?
  RUNNER_SESSION=''
  [ "$code" -ne 0 ] || code=2
  exit "$code"
}

# runner::close_session: let it put the target back as it was, and end.
runner::close_session() {
  [ -n "$RUNNER_SESSION" ] || return 0
  exec 3>&-
  cleanup::stop_pid "$RUNNER_SESSION" "$RUNNER_PATIENCE" TERM
  RUNNER_SESSION=''
}

# --- the steps -------------------------------------------------------------------------------------------------------

# runner::follow: all steps, one after the other; exits with the run's code.
runner::follow() {
  local codes=()
  while runner::next ${codes[@]+"${codes[@]}"}; do
    codes=(0)
    case $RUNNER_FIELD in
      load)
        runner::load
        codes=(${RUNNER_WORDS[@]+"${RUNNER_WORDS[@]}"})
        ;;
      program) runner::program || codes=($?) ;;
      setup) runner::setup || codes=($?) ;;
      nested) runner::nested || codes=($?) ;;
      monitor)
        runner::read_words
        runner::start_monitor "${RUNNER_WORDS[@]}"
        ;;
      stop-monitor) runner::stop_monitor ;;
      end) runner::end ;;
      fail)
        runner::read
        exit "$RUNNER_FIELD"
        ;;
      *) log::die 2 "measure.py answered '$RUNNER_FIELD', which is no step" ;;
    esac
  done
}

# runner::program: run a program of utils/; answers its exit code.
runner::program() {
  local output
  runner::read && output=$RUNNER_FIELD
  runner::read_words
  [[ ${RUNNER_WORDS[0]} =~ ^[a-z_]+[.]py$ ]] || log::die 2 "'${RUNNER_WORDS[0]}' is no program of the toolkit"
  case $output in
    out) cleanup::child environment::child "${RUNNER_WORDS[@]}" ;;
    err) cleanup::child environment::child "${RUNNER_WORDS[@]}" >&2 ;;
    *) cleanup::child environment::child "${RUNNER_WORDS[@]}" >/dev/null ;;
  esac
}

# runner::setup: install a release, a wheel or a checkout into an environment of its own; answers its exit code.
runner::setup() {
  local release
  runner::read && release=$RUNNER_FIELD
  runner::read
  GATEWAY_VERSION=$release GATEWAY_SOURCE=${RUNNER_FIELD:-none} LOG_LEVEL=${LOG_LEVEL:-warn} \
    cleanup::child "$RUNNER_ROOT/utils/setup.sh" gateway
}

# runner::nested: a run of its own, below the lock of this one; answers its exit code.
runner::nested() {
  local code=0 file
  runner::read && file=$RUNNER_FIELD
  runner::read_words
  # A run stops its load, collects what there is, and stops its stack.
  CLEANUP_PATIENCE=1200
  RUNNER_LOCKED=true RUNNER_DIR_FILE=$file PERF_OPEN_BROWSER=false \
    cleanup::child "$RUNNER_ROOT/run-configurable.sh" "${RUNNER_WORDS[@]}" || code=$?
  # Ctrl-C reaches both, and the run may be the first to end.
  case $code in 130 | 143) exit "$code" ;; esac
  return "$code"
}

# runner::end: measure.py's last word; exits with the code of the run.
runner::end() {
  local code
  runner::read && code=$RUNNER_FIELD
  runner::read && RUNNER_COMPARISON=$RUNNER_FIELD
  runner::read && RUNNER_REASON=$RUNNER_FIELD
  RUNNER_ENDED=true
  exec 3>&-
  wait "$RUNNER_SESSION" || true
  RUNNER_SESSION=''
  exit "$code"
}

# runner::is_proven: does a comparison that calls this run a regression stand written?
runner::is_proven() {
  [ -n "$RUNNER_COMPARISON" ] && grep -qE '^  "exit_code": 1,?$' "$RUNNER_COMPARISON" 2>/dev/null
}

# --- load ------------------------------------------------------------------------------------------------------------

# runner::load: start the processes of a step and wait for all of them; their exit codes, in RUNNER_WORDS.
runner::load() {
  local number processes pid code
  runner::read && processes=$RUNNER_FIELD
  case $processes in '' | *[!0-9]*) log::die 2 "'$processes' load processes: not a number" ;; esac
  runner::find_dir
  for ((number = 1; number <= processes; number++)); do
    runner::start_load "$RUNNER_DIR/.load/$number.args"
  done
  RUNNER_WORDS=()
  for pid in ${RUNNER_LOAD_PIDS[@]+"${RUNNER_LOAD_PIDS[@]}"}; do
    code=0
    wait "$pid" || code=$?
    RUNNER_WORDS+=("$code")
  done
  RUNNER_LOAD_PIDS=()
}

# runner::start_load FILE: one load process, as FILE says: its engine, what takes its output, and its arguments, line by
# line. FILE is gone before the process starts, for the token is among the arguments.
runner::start_load() {
  local file=$1 engine='' output='' word argv=()
  { exec 7<"$file"; } 2>/dev/null || log::die 2 "$file: the arguments of a load process cannot be read"
  rm -f "$file"
  { IFS= read -r engine && IFS= read -r output; } <&7 || log::die 2 "$file: is not whole"
  if [ "$output" = none ]; then
    output=/dev/null
  elif [[ $output =~ $RUNNER_OUTPUT && $output != *..* ]]; then
    output=$RUNNER_DIR/$output
  else
    log::die 2 "$file: its second line is no place for a case's rows"
  fi
  runner::find_engine "$engine" || log::die 2 "$file: there is no such load generator"
  argv=("${RUNNER_WORDS[@]}")
  # An engine of the toolkit's own reads the arguments itself, from standard input.
  if [ "${argv[${#argv[@]} - 1]}" != --stdin ]; then
    while IFS= read -r word; do
      argv+=("$word")
    done <&7
    case ${argv[${#argv[@]} - 1]} in
      http://* | https://*) ;;
      *) log::die 2 "$file: the last line is no address" ;;
    esac
  fi
  # Arguments name the run's files relative to its directory. The machine's lock (5) is held as long as the load lasts.
  (cd "$RUNNER_DIR" && environment::load "${argv[@]}") \
    <&7 >"$output" 2>>"$RUNNER_DIR/load.err" 3>&- 4<&- 7<&- &
  RUNNER_LOAD_PIDS+=("$!")
  exec 7<&-
}

# runner::find_engine NAME: the words of its program, in RUNNER_WORDS.
runner::find_engine() {
  local at=0
  while [ "$at" -lt "${#RUNNER_ENGINES[@]}" ]; do
    RUNNER_WORDS=("${RUNNER_ENGINES[@]:at+2:RUNNER_ENGINES[at + 1]}")
    [ "${RUNNER_ENGINES[at]}" != "$1" ] || return 0
    at=$((at + 2 + RUNNER_ENGINES[at + 1]))
  done
  return 1
}

# runner::find_dir: the run's directory, in RUNNER_DIR; it stays empty where there is none yet.
runner::find_dir() {
  if [ -z "$RUNNER_DIR" ] && [ -n "$RUNNER_TMP" ] && [ -s "$RUNNER_TMP/dir" ]; then
    RUNNER_DIR=$(cat "$RUNNER_TMP/dir")
  fi
}

# runner::remove_arguments: those of a process that was not started any more.
runner::remove_arguments() {
  runner::find_dir
  [ -z "$RUNNER_DIR" ] || rm -rf "$RUNNER_DIR/.load"
}

# runner::stop_load: INT lets a load generator write what it has; a case that was cut short has no document beside its
# rows, so it does not count.
runner::stop_load() {
  local pid
  for pid in ${RUNNER_LOAD_PIDS[@]+"${RUNNER_LOAD_PIDS[@]}"}; do
    kill -s INT "$pid" 2>/dev/null
  done
  for pid in ${RUNNER_LOAD_PIDS[@]+"${RUNNER_LOAD_PIDS[@]}"}; do
    cleanup::stop_pid "$pid" 10 INT TERM
  done
  RUNNER_LOAD_PIDS=()
}

# --- the monitor -----------------------------------------------------------------------------------------------------

# runner::start_monitor FILE ARGUMENT...: sample into FILE what is used from here on. One that does not start, or ends
# early, costs a warning and never the run.
runner::start_monitor() {
  local file=$1 waited
  environment::child monitor.py "$@" </dev/null >/dev/null 2>"$RUNNER_TMP/monitor.err" 3>&- 4<&- 5>&- &
  RUNNER_MONITOR=$!
  # Its start takes a good part of a second of one core, which is not to fall into the first measurement.
  for ((waited = 0; waited < 50; waited++)); do
    [ ! -s "$file" ] || return 0
    if ! kill -0 "$RUNNER_MONITOR" 2>/dev/null; then
      runner::monitor_ended
      return 0
    fi
    sleep 0.1
  done
}

# runner::stop_monitor: everything that it saw is in its file already.
runner::stop_monitor() {
  [ -n "$RUNNER_MONITOR" ] || return 0
  if kill -0 "$RUNNER_MONITOR" 2>/dev/null; then
    cleanup::stop_pid "$RUNNER_MONITOR" 5 TERM || true # not only called while this program ends, when failures count
    RUNNER_MONITOR=''
  else
    runner::monitor_ended
  fi
}

# runner::monitor_ended: by itself; with 0 it was told by the settings that there is nothing to do.
runner::monitor_ended() {
  local code=0 reason
  wait "$RUNNER_MONITOR" || code=$?
  RUNNER_MONITOR=''
  [ "$code" -ne 0 ] || return 0
  reason=$(tail -n 1 "$RUNNER_TMP/monitor.err" 2>/dev/null) || true
  log::warn "what the run uses is not sampled (any more): ${reason:-the monitor ended with exit code $code}"
}

# --- the end ---------------------------------------------------------------------------------------------------------

# runner::mark_interrupted: whatever ended the run early, its documents are whole and say so.
runner::mark_interrupted() {
  local reason
  [ "$RUNNER_ENDED" = false ] || return 0
  runner::find_dir
  [ -n "$RUNNER_DIR" ] || return 0
  reason=$(runner::python mark_interrupted.py "$RUNNER_DIR" "$CLEANUP_CODE") || true
  case $CLEANUP_CODE in
    130 | 143) RUNNER_REASON=${reason:-$RUNNER_REASON} ;;
  esac
}

# runner::release_target: stop what this run started.
runner::release_target() {
  [ -n "$RUNNER_TMP" ] || return 0
  [ ! -e "$RUNNER_TMP/owner" ] || runner::python stack.py down --owner-file "$RUNNER_TMP/owner"
  [ ! -e "$RUNNER_TMP/variants.json" ] || runner::python variants.py down "$RUNNER_TMP/variants.json"
}

# runner::index: results/index.html lists this run, too, however it ended; the page over all profiles shows what there is.
runner::index() {
  [ -n "$RUNNER_DIR" ] && [ "$RUNNER_REPORT" = true ] || return 0
  if [ "$RUNNER_ENDED" = false ] && [ -e "$RUNNER_DIR/all.json" ]; then
    PERF_OPEN_BROWSER=false runner::python profile_sweep_report.py "$RUNNER_DIR" >/dev/null \
      || log::warn 'the report over all profiles could not be written'
  fi
  runner::python results_index.py --results-dir "${RUNNER_DIR%/*}" >/dev/null \
    || log::warn 'the list of all runs could not be written'
}

# runner::last_line: make hides the code of a run behind its own 2, so it stands in the last line.
runner::last_line() {
  [ -n "$RUNNER_DIR" ] && [ -d "$RUNNER_DIR" ] || return 0
  log::info "$(basename "$RUNNER_DIR"): $RUNNER_REASON; results in $RUNNER_DIR (exit $CLEANUP_CODE)"
}

runner::remove_tmp() {
  [ -z "$RUNNER_TMP" ] || rm -rf "$RUNNER_TMP"
}
