# shellcheck shell=bash
# load.sh - run scenarios: what is started, waited for and stopped, and which exit code comes out. The only place that
# starts load. A library: functions only; run-configurable.sh and scenarios/*.sh call load::main.
#
# The measuring side is utils/measure.py, which runs beside this shell for the whole run: it says which load comes next
# and looks at the target before and after it. Both talk over two pipes: this shell sends a line (plan, next, done …),
# the answer comes in fields that end with a NUL. The arguments of a load process hold what a gateway answered, so they
# do not come this way: a file for each process holds them (utils/benchkit/load/arguments_file.py). Which programs
# may be started is told with the answer to `open`, before any gateway was asked.

LOAD_ROOT=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)
# shellcheck source=utils/lib/log.sh
. "$LOAD_ROOT/utils/lib/log.sh"
# shellcheck source=utils/lib/cleanup.sh
. "$LOAD_ROOT/utils/lib/cleanup.sh"
# shellcheck source=utils/lib/environment.sh
. "$LOAD_ROOT/utils/lib/environment.sh"

# The interpreter of the toolkit's environment.
: "${PERF_PYTHON:=$LOAD_ROOT/.venv/bin/python}"
# A file that takes the run's directory once there is one, for whoever started this; empty: one of the run's own.
: "${LOAD_DIR_FILE:=}"
# true: descriptor 5 is the machine's lock already.
: "${LOAD_LOCKED:=false}"

LOAD_FLAGS=()         # flags that every program takes: --profile, --scenarios, --requests …
LOAD_SESSION_ARGS=()  # further arguments of utils/measure.py
LOAD_COMMAND=''       # what was typed, where it is more than LOAD_FLAGS
LOAD_BASELINE=compare # save, compare or skip
LOAD_REPORT=true
LOAD_DIR='' # directory of the run, once there is one
LOAD_TMP=''
LOAD_ENGINES=() # NAME WORDS WORD... of each engine that may make load, as they were before any gateway was asked
LOAD_PROGRAM=() # the words of one of them
# Below the run's directory; with several gateways each has a directory of its own.
LOAD_OUTPUT='^([A-Za-z0-9_][A-Za-z0-9._-]*/)?raw/[a-z0-9][a-z0-9_-]*/[a-z0-9][a-z0-9._-]*[.]csv$'
LOAD_ERRORS=''      # file that takes what load processes complain of
LOAD_PIDS=()        # load processes that run now
LOAD_SESSION=''     # pid of utils/measure.py
LOAD_MONITOR=''     # pid of utils/monitor.py
LOAD_FINISHED=false # run.json holds its last word
LOAD_REASON='see the error above'
LOAD_FIELD=''
LOAD_OPEN_FILES=64
LOAD_PATIENCE=40 # tenths of a second that the session may take to end when a run is cut short

# load::usage FILE: the header comment of a program is its help.
load::usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "$1"
}

# load::flags PROGRAM ARGUMENT...: read the command line into LOAD_*.
load::flags() {
  local program=$1 flag
  shift
  while [ $# -gt 0 ]; do
    flag=$1
    case $flag in
      -h | --help)
        load::usage "$program"
        exit 0
        ;;
      --no-report) LOAD_REPORT=false ;;
      --baseline | --baseline=*)
        load::value "$@"
        LOAD_BASELINE=$LOAD_FIELD
        case $LOAD_BASELINE in
          save | compare | skip) ;;
          *) log::die 2 "--baseline $LOAD_BASELINE: must be save, compare or skip" ;;
        esac
        [ "$flag" != --baseline ] || shift
        ;;
      --profile | --profile=* | --scenarios | --scenarios=* | --requests | --requests=* | --concurrency | \
        --concurrency=* | --iterations | --iterations=* | --timeout | --timeout=* | --url | --url=* | \
        --results-dir | --results-dir=*)
        load::value "$@"
        LOAD_FLAGS+=("${flag%%=*}" "$LOAD_FIELD")
        case $flag in *=*) ;; *) shift ;; esac
        ;;
      *) log::die 2 "$flag: there is no such option; see $(basename "$program") --help" ;;
    esac
    shift
  done
}

# load::value FLAG [VALUE...]: the value of --flag=value or --flag value, in LOAD_FIELD.
load::value() {
  case $1 in
    *=*) LOAD_FIELD=${1#*=} ;;
    *)
      [ $# -ge 2 ] || log::die 2 "$1: needs a value"
      LOAD_FIELD=$2
      ;;
  esac
  [ -n "$LOAD_FIELD" ] || log::die 2 "${1%%=*}: needs a value"
}

# load::python PROGRAM ARGUMENT...: one of utils/*.py, in the toolkit's environment; for what ends by itself in a moment.
load::python() {
  (environment::python "$@")
}

# load::main PROGRAM ARGUMENT...: a whole run, from the command line to the exit code.
load::main() {
  local code=0
  cleanup::install
  load::flags "$@"
  load::prepare load::release_target load::mark_interrupted
  load::open_session
  load::ensure_target
  load::measure
  load::judge || code=$?
  exit "$code"
}

# load::prepare RELEASE MARK: before anything is started, see to it that all is undone however the run ends: the function
# RELEASE lets go of what is measured, MARK marks what was measured so far.
load::prepare() {
  load::check_machine
  CLEANUP_PROOF=load::is_regression
  # The last one registered runs first: monitor, load, session, results, what is measured, the list of all runs.
  cleanup::push load::last_line
  cleanup::push load::remove_tmp
  cleanup::push load::index
  cleanup::push "$1"
  cleanup::push "$2"
  cleanup::push load::remove_arguments
  cleanup::push load::close_session
  cleanup::push load::stop_load
  cleanup::push load::stop_monitor
  load::make_tmp
  LOAD_DIR_FILE=${LOAD_DIR_FILE:-$LOAD_TMP/dir}
}

# load::check_machine: what every run needs before its first process.
load::check_machine() {
  local files
  [ -x "$PERF_PYTHON" ] || log::die 2 "$PERF_PYTHON: the toolkit's environment is not there; run make setup"
  case $PERF_PYTHON in /*) ;; *) PERF_PYTHON=$PWD/$PERF_PYTHON ;; esac # a load process starts in the run's directory
  files=$(ulimit -n)
  [ "$files" != unlimited ] && [ "$files" -lt 4096 ] || return 0
  # The soft limit is a habit (256 on macOS); what the hard one allows costs nobody anything.
  ulimit -S -n 4096 2>/dev/null || ulimit -S -n "$(ulimit -H -n)" 2>/dev/null || true
  # What the load itself needs depends on its concurrency, and is checked when that is known.
  [ "$(ulimit -n)" -ge "$LOAD_OPEN_FILES" ] \
    || log::die 2 "no more than $(ulimit -n) files may be open here, and a run needs $LOAD_OPEN_FILES: ulimit -n 4096"
}

# load::make_tmp: a directory for pipes and the like, in LOAD_TMP; gone afterwards.
load::make_tmp() {
  if ! LOAD_TMP=$(mktemp -d "${TMPDIR:-/tmp}/perf_test.$$.XXXXXX" 2>/dev/null) || ! echo probe 2>/dev/null >"$LOAD_TMP/probe"; then
    log::die 2 "TMPDIR=${TMPDIR:-/tmp}: nothing can be written there; make room, or set TMPDIR to another directory"
  fi
}

# --- the session with utils/measure.py -------------------------------------------------------------------------------

# load::open_session: start it, with LOAD_SESSION_ARGS. It checks the settings, and takes the lock that keeps two runs
# from measuring each other.
load::open_session() {
  mkfifo "$LOAD_TMP/ask" "$LOAD_TMP/answer" 2>/dev/null \
    || log::die 2 "TMPDIR=${TMPDIR:-/tmp}: no pipes can be made there; set TMPDIR to another directory"
  load::open_lock
  environment::child measure.py --owner $$ --dir-file "$LOAD_DIR_FILE" --command "$(load::command)" \
    ${LOAD_FLAGS[@]+"${LOAD_FLAGS[@]}"} \
    ${LOAD_SESSION_ARGS[@]+"${LOAD_SESSION_ARGS[@]}"} <"$LOAD_TMP/ask" >"$LOAD_TMP/answer" &
  LOAD_SESSION=$!
  exec 3>"$LOAD_TMP/ask" 4<"$LOAD_TMP/answer"
  load::ask open
  load::read
  [ "$LOAD_FIELD" = true ] || LOAD_REPORT=false
  load::read_engines
}

# load::read_engines: the engines of the answer to `open`, into LOAD_ENGINES.
load::read_engines() {
  local engines words
  load::read_number 'engines'
  engines=$LOAD_FIELD
  LOAD_ENGINES=()
  while [ $((engines--)) -gt 0 ]; do
    load::read
    LOAD_ENGINES+=("$LOAD_FIELD")
    load::read_number 'words of a program'
    words=$LOAD_FIELD
    LOAD_ENGINES+=("$words")
    load::read
    case $LOAD_FIELD in
      /*) ;;
      *) log::die 2 "'$LOAD_FIELD': the load generator's path does not begin at /; run make setup" ;;
    esac
    [ -x "$LOAD_FIELD" ] || log::die 2 "$LOAD_FIELD: the load generator cannot be started; run make setup"
    LOAD_ENGINES+=("$LOAD_FIELD")
    while [ $((--words)) -gt 0 ]; do
      load::read
      LOAD_ENGINES+=("$LOAD_FIELD")
    done
  done
}

# load::find_program ENGINE: the words of its program, in LOAD_PROGRAM.
load::find_program() {
  local at=0 words
  while [ "$at" -lt ${#LOAD_ENGINES[@]} ]; do
    words=${LOAD_ENGINES[at + 1]}
    if [ "${LOAD_ENGINES[at]}" = "$1" ]; then
      LOAD_PROGRAM=("${LOAD_ENGINES[@]:at+2:words}")
      return 0
    fi
    at=$((at + 2 + words))
  done
  return 1
}

# load::open_lock: file descriptor 5 is the machine's lock (see utils/benchkit/lock.py), unless run-all.sh handed it
# down. It is this shell's and its load's, so it is held until the shell has cleaned up and the last load has ended.
load::open_lock() {
  [ "$LOAD_LOCKED" = false ] || return 0
  exec 5<"${PERF_LOCK:-/}" || log::die 2 "${PERF_LOCK:-/}: cannot be opened, so no other run can be kept out"
}

# load::command: what was typed, for run.json.
load::command() {
  if [ -n "$LOAD_COMMAND" ]; then
    printf '%s' "$LOAD_COMMAND"
    return
  fi
  printf '%s' "$(basename "$0")"
  [ ${#LOAD_FLAGS[@]} -eq 0 ] || printf ' %q' "${LOAD_FLAGS[@]}"
}

# load::ask WORD...: send a line; exits with the session's code when it answers with a failure or not at all.
load::ask() {
  local verdict=''
  # Writing to one that is gone would end this shell by a signal, and the reason would be lost.
  kill -0 "$LOAD_SESSION" 2>/dev/null || load::session_died
  printf '%s\n' "$*" >&3
  load::read || load::session_died
  verdict=$LOAD_FIELD
  if [ "$verdict" = fail ]; then
    load::read || load::session_died
    exit "$LOAD_FIELD"
  fi
  LOAD_FIELD=$verdict
}

# load::read: the next field of the answer, in LOAD_FIELD.
load::read() {
  LOAD_FIELD=''
  IFS= read -r -d '' LOAD_FIELD <&4
}

# load::read_number WHAT: the next field, which has to be a number.
load::read_number() {
  load::read
  case $LOAD_FIELD in '' | *[!0-9]*) log::die 2 "'$LOAD_FIELD' $1: not a number" ;; esac
}

# load::session_died: it ended without an answer: its own exit code tells why.
load::session_died() {
  local code=0
  wait "$LOAD_SESSION" || code=$?
  LOAD_SESSION=''
  [ "$code" -ne 0 ] || code=2
  exit "$code"
}

# load::end_session: all is measured; it reads what is left to be read, and ends.
load::end_session() {
  load::ask close
  exec 3>&-
  wait "$LOAD_SESSION" || true
  LOAD_SESSION=''
}

# load::close_session: let it put the target back as it was, and end.
load::close_session() {
  [ -n "$LOAD_SESSION" ] || return 0
  exec 3>&-
  cleanup::stop_pid "$LOAD_SESSION" "$LOAD_PATIENCE" TERM
  LOAD_SESSION=''
}

# --- the target ------------------------------------------------------------------------------------------------------

# load::ensure_target: use the gateway that answers, or start the local stack.
load::ensure_target() {
  cleanup::child environment::child stack.py ensure --owner $$ --owner-file "$LOAD_TMP/owner" \
    ${LOAD_FLAGS[@]+"${LOAD_FLAGS[@]}"} >/dev/null || exit $?
}

# load::release_target: stop the stack if this run started it.
load::release_target() {
  [ -n "$LOAD_TMP" ] && [ -e "$LOAD_TMP/owner" ] || return 0
  load::python stack.py down --owner-file "$LOAD_TMP/owner"
}

# --- load ------------------------------------------------------------------------------------------------------------

# load::measure: all steps of the plan, one after the other.
load::measure() {
  load::ask plan
  load::read
  LOAD_DIR=$LOAD_FIELD
  LOAD_ERRORS=$LOAD_DIR/raw/load.err
  load::start_monitor "$LOAD_DIR/raw/monitor.jsonl"
  while load::ask next && [ "$LOAD_FIELD" = run ]; do
    load::run_step
  done
  load::stop_monitor
  load::end_session
}

# load::run_step: start the processes that the session names, wait for all of them, and report their exit codes.
load::run_step() {
  local number processes pid code codes=()
  load::read_number 'load processes'
  processes=$LOAD_FIELD
  for ((number = 1; number <= processes; number++)); do
    load::start "$LOAD_DIR/.load/$number.args"
  done
  for pid in ${LOAD_PIDS[@]+"${LOAD_PIDS[@]}"}; do
    code=0
    wait "$pid" || code=$?
    codes+=("$code")
  done
  LOAD_PIDS=()
  load::ask "done ${codes[*]-}"
}

# load::start FILE: one load process, as FILE says: its engine, what takes its output, and its arguments, line by line.
# FILE names no program: an engine is a word, and its program was told by `open`. FILE is gone before the process starts,
# for the token is among the arguments.
load::start() {
  local file=$1 engine='' output='' word argv=()
  { exec 7<"$file"; } 2>/dev/null || log::die 2 "$file: the arguments of a load process cannot be read"
  rm -f "$file"
  { IFS= read -r engine && IFS= read -r output; } <&7 || log::die 2 "$file: is not whole"
  if [ "$output" = none ]; then
    output=/dev/null
  elif [[ $output =~ $LOAD_OUTPUT && $output != *..* ]]; then
    output=$LOAD_DIR/$output
  else
    log::die 2 "$file: its second line is no place for a case's rows"
  fi
  load::find_program "$engine" || log::die 2 "$file: there is no such load generator"
  argv=("${LOAD_PROGRAM[@]}")
  # A program that ends with --stdin reads the arguments itself.
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
  (cd "$LOAD_DIR" && environment::load "${argv[@]}") \
    <&7 >"$output" 2>>"$LOAD_ERRORS" 3>&- 4<&- 7<&- &
  LOAD_PIDS+=("$!")
  exec 7<&-
}

# load::remove_arguments: those of a process that was not started any more.
load::remove_arguments() {
  load::find_dir
  [ -z "$LOAD_DIR" ] || rm -rf "$LOAD_DIR/.load"
}

# load::stop_load: a load generator ends on INT; a case that was cut short has no document beside its rows, so it does not count.
load::stop_load() {
  local pid
  for pid in ${LOAD_PIDS[@]+"${LOAD_PIDS[@]}"}; do
    kill -s INT "$pid" 2>/dev/null
  done
  for pid in ${LOAD_PIDS[@]+"${LOAD_PIDS[@]}"}; do
    cleanup::stop_pid "$pid" 10 INT TERM
  done
  LOAD_PIDS=()
}

# --- the monitor -----------------------------------------------------------------------------------------------------

# load::start_monitor FILE [ARGUMENT...]: sample into FILE what is used from here on. One that does not start, or ends
# early, costs a warning and never the run.
load::start_monitor() {
  local file=$1 waited
  shift
  environment::child monitor.py --shell $$ "$@" ${LOAD_FLAGS[@]+"${LOAD_FLAGS[@]}"} "$file" \
    </dev/null >/dev/null 2>"$LOAD_TMP/monitor.err" 3>&- 4<&- 5>&- &
  LOAD_MONITOR=$!
  # Its start takes a good part of a second of one core, which is not to fall into the first measurement.
  for ((waited = 0; waited < 50; waited++)); do
    [ ! -s "$file" ] || return 0
    if ! kill -0 "$LOAD_MONITOR" 2>/dev/null; then
      load::monitor_ended
      return 0
    fi
    sleep 0.1
  done
}

# load::stop_monitor: everything that it saw is in its file already.
load::stop_monitor() {
  [ -n "$LOAD_MONITOR" ] || return 0
  if kill -0 "$LOAD_MONITOR" 2>/dev/null; then
    cleanup::stop_pid "$LOAD_MONITOR" 5 TERM || true # not only called while this program ends, when failures count
    LOAD_MONITOR=''
  else
    load::monitor_ended
  fi
}

# load::monitor_ended: by itself; with 0 it was told by the settings that there is nothing to do.
load::monitor_ended() {
  local code=0 reason
  wait "$LOAD_MONITOR" || code=$?
  LOAD_MONITOR=''
  [ "$code" -ne 0 ] || return 0
  reason=$(tail -n 1 "$LOAD_TMP/monitor.err" 2>/dev/null) || true
  log::warn "what the run uses is not sampled (any more): ${reason:-the monitor ended with exit code $code}"
}

# --- results ---------------------------------------------------------------------------------------------------------

# load::judge: raw/ to run.json, baseline, report; answers the exit code of the run.
load::judge() {
  local code=0
  load::python collect_results.py "$LOAD_DIR" || code=$?
  [ "$code" -eq 0 ] || [ "$code" -eq 3 ] || return "$code"
  LOAD_REASON='measured'
  [ "$code" -eq 0 ] || LOAD_REASON='at least one case is invalid'
  case $LOAD_BASELINE in
    save) load::save_baseline "$code" || code=$? ;;
    compare) load::compare "$code" || code=$? ;;
  esac
  load::finish "$code"
  if [ "$LOAD_REPORT" = true ]; then
    load::python report_generator.py "$LOAD_DIR" || log::warn 'the report could not be written'
  fi
  return "$code"
}

# load::save_baseline CODE: the run becomes part of its profile's baseline, if all of it can be trusted.
load::save_baseline() {
  local code=$1
  if [ "$code" -ne 0 ]; then
    log::warn 'not saved as baseline: at least one case is invalid'
    return "$code"
  fi
  load::python baseline_manager.py save "$LOAD_DIR" >&2 || return $?
  LOAD_REASON='saved as baseline'
}

# load::compare CODE: hold the run against the baseline; the first run becomes it, and one without regression joins it.
load::compare() {
  local code=$1 verdict=0
  load::python compare_results.py "$LOAD_DIR" --join || verdict=$?
  [ "$verdict" -ne 1 ] || cleanup::is_proven || verdict=2
  load::reason "$verdict" 'passed'
  if [ "$verdict" -eq 0 ] && [ ! -e "$LOAD_DIR/comparison.json" ]; then
    LOAD_REASON='passed: saved as the initial baseline'
  fi
  [ "$verdict" -ne 0 ] || verdict=$code
  return "$verdict"
}

# load::is_regression: does the comparison of this run stand written, and call it a regression?
load::is_regression() {
  [ -n "$LOAD_DIR" ] && load::says_regression "$LOAD_DIR/comparison.json"
}

# load::says_regression FILE: is it a comparison whose exit code is 1?
load::says_regression() {
  grep -qE '^  "exit_code": 1,?$' "$1" 2>/dev/null
}

# load::reason CODE PASSED: what the code of a comparison says, in LOAD_REASON; PASSED stands for 0.
load::reason() {
  case $1 in
    0) LOAD_REASON=$2 ;;
    1) LOAD_REASON='regression' ;;
    3) LOAD_REASON='at least one case is invalid or missing' ;;
    4) LOAD_REASON='undecided' ;;
    *) LOAD_REASON='the comparison failed' ;;
  esac
}

# load::finish CODE: the code of the whole run goes into run.json.
load::finish() {
  load::python collect_results.py --finish "$LOAD_DIR" --exit-code "$1" --reason "$LOAD_REASON" || return 0
  LOAD_FINISHED=true
}

# load::mark_interrupted: whatever ends a run early, its run.json is whole and says so.
load::mark_interrupted() {
  load::is_unfinished || return 0
  load::mark_run "$LOAD_DIR"
}

# load::is_unfinished: is there a directory of results without its last word? Then LOAD_DIR is that.
load::is_unfinished() {
  [ "$LOAD_FINISHED" = false ] || return 1
  load::find_dir
  [ -n "$LOAD_DIR" ]
}

# load::find_dir: the session may have made the run's directory and not have told it yet.
load::find_dir() {
  if [ -z "$LOAD_DIR" ] && [ -n "$LOAD_TMP" ] && [ -s "$LOAD_DIR_FILE" ]; then
    LOAD_DIR=$(cat "$LOAD_DIR_FILE")
  fi
}

# load::mark_run DIR: its run.json is whole and says that it was cut short; nothing stays of a run without a plan.
load::mark_run() {
  case $CLEANUP_CODE in
    130 | 143) LOAD_REASON='interrupted; what was measured is kept and marked' ;;
  esac
  load::python collect_results.py "$1" --interrupted "$CLEANUP_CODE" >/dev/null
}

# load::index [RESULTS]: results/index.html lists this run, too, however it ended.
load::index() {
  local results=${1:-${LOAD_DIR%/*}}
  [ -n "$results" ] && [ "$LOAD_REPORT" = true ] || return 0
  load::python results_index.py --results-dir "$results" >/dev/null || log::warn 'the list of all runs could not be written'
}

# load::last_line: make hides the code of a run behind its own 2, so it stands in the last line.
load::last_line() {
  [ -n "$LOAD_DIR" ] && [ -d "$LOAD_DIR" ] || return 0
  log::info "$(basename "$LOAD_DIR"): $LOAD_REASON; results in $LOAD_DIR (exit $CLEANUP_CODE)"
}

load::remove_tmp() {
  [ -z "$LOAD_TMP" ] || rm -rf "$LOAD_TMP"
}
