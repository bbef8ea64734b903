# shellcheck shell=bash
# shellcheck disable=SC2034 # LOAD_*: load.sh reads them
# profile.sh - sample the gateway while one case runs, and write where its time went. A library: functions only; needs
# load.sh, whose session and load processes it uses. The sampler itself is started and stopped by the session.

PROFILE_CASE=''
PROFILE_ARGS=() # further arguments of utils/measure.py

# profile::flags PROGRAM ARGUMENT...: read the command line.
profile::flags() {
  local program=$1 flag
  shift
  while [ $# -gt 0 ]; do
    flag=$1
    case $flag in
      -h | --help)
        load::usage "$program"
        exit 0
        ;;
      --python-only)
        PROFILE_ARGS+=("$flag")
        shift
        continue
        ;;
    esac
    load::value "$@"
    case $flag in
      --case | --case=*) PROFILE_CASE=$LOAD_FIELD ;;
      --rate | --rate=* | --pairs | --pairs=* | --profile | --profile=* | --requests | --requests=* | --concurrency | \
        --concurrency=* | --timeout | --timeout=* | --results-dir | --results-dir=*)
        LOAD_FLAGS+=("${flag%%=*}" "$LOAD_FIELD")
        ;;
      *) log::die 2 "$flag: there is no such option; see $(basename "$program") --help" ;;
    esac
    case $flag in *=*) shift ;; *) shift 2 ;; esac
  done
  [ -n "$PROFILE_CASE" ] || log::die 2 "--case is missing: which case is to be sampled, like tools/list_limit_50"
}

# profile::main PROGRAM ARGUMENT...: a whole profile, from the command line to the exit code.
profile::main() {
  local code=0
  cleanup::install
  profile::flags "$@"
  LOAD_COMMAND=$(profile::command "$@")
  # What was sampled has to be read back, which may take the session some seconds.
  LOAD_PATIENCE=200
  load::prepare load::release_target profile::mark_interrupted
  LOAD_SESSION_ARGS=(--sample "$PROFILE_CASE" ${PROFILE_ARGS[@]+"${PROFILE_ARGS[@]}"})
  load::open_session
  load::ensure_target
  load::measure
  profile::judge || code=$?
  exit "$code"
}

# profile::command PROGRAM ARGUMENT...: what was typed, for profile.json.
profile::command() {
  printf '%s' "$(basename "$1")"
  shift
  printf ' %q' "$@"
}

# profile::judge: raw/ to profile.json and profile.html; answers the exit code of the run.
profile::judge() {
  local code=0
  load::python profile_report.py "$LOAD_DIR" || code=$?
  case $code in
    0) LOAD_REASON='sampled' ;;
    3) LOAD_REASON='invalid: nothing is said about where the time went' ;;
    *) return "$code" ;;
  esac
  LOAD_FINISHED=true
  return "$code"
}

# profile::mark_interrupted: whatever ends it early, what was sampled so far is written down and says so.
profile::mark_interrupted() {
  load::is_unfinished || return 0
  if [ ! -e "$LOAD_DIR/plan.json" ]; then
    rm -rf "$LOAD_DIR" # it was made a moment ago, and nothing is in it
    return 0
  fi
  case $CLEANUP_CODE in
    130 | 143) LOAD_REASON='interrupted; what was sampled is kept and marked' ;;
  esac
  load::python profile_report.py "$LOAD_DIR" --interrupted "$CLEANUP_CODE" >/dev/null
}
