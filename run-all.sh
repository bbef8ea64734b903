#!/usr/bin/env -S bash -p
# Measure under several load profiles, one after the other, each held against its baseline; then one report over all.
#
# usage: ./run-all.sh [option...]
#        ./run-all.sh --resume [DIR]     go on with one that was interrupted (default: the newest that is not complete)
#
#   --profiles NAME,NAME             load profiles, in this order (default: light,medium,heavy)
#   --scenarios all|NAME,NAME        scenarios of config.yaml (default: all)
#   --requests N  --concurrency N  --iterations N  --timeout SECONDS    instead of every profile's values
#   --url URL                        the gateway (default: service.base_url of config.yaml)
#   --results-dir DIR                where the runs are written (default: results)
#   --no-report                      no HTML report, neither of a profile nor over all
#
# It says how long it will take before it starts, and asks nothing. Each profile is a run of its own, as by
# ./run-configurable.sh; one that fails does not stop those after it, an interrupt (Ctrl-C) does. What is done stands in
# results/all_<date>/all.json, so that --resume goes on with the first profile that is not done; a profile that was cut
# short is measured again as a whole, and what was measured of it is kept.
#
# exit: the worst of the profiles': 1 regression; 2 usage, configuration, or a profile that could not be measured;
#       3 measurement invalid; 0 passed. A regression is proven whatever another profile shows, so it stands before 2.
#       130, 143 interrupted
set -euo pipefail +o posix
shopt -s inherit_errexit 2>/dev/null || true

SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also through a link
# shellcheck source=utils/lib/load.sh
. "$(dirname -- "$SELF")/utils/lib/load.sh" || exit 2

ALL_PROFILES=''
ALL_RESUME=false
ALL_FROM='' # the directory of --resume, if it was given
ALL_DIR=''  # results/all_<date>, once there is one
ALL_ENDED=false
ALL_REASON='see the error above'
ALL_FIELDS=()

# all::flags ARGUMENT...: read the command line; what every run gets goes to LOAD_FLAGS.
all::flags() {
  local flag rest=()
  while [ $# -gt 0 ]; do
    flag=$1
    case $flag in
      --profiles | --profiles=*)
        load::value "$@"
        ALL_PROFILES=$LOAD_FIELD
        case $flag in *=*) ;; *) shift ;; esac
        ;;
      --resume)
        ALL_RESUME=true
        case ${2:---} in
          --*) ;;
          *)
            ALL_FROM=$2
            shift
            ;;
        esac
        ;;
      --resume=*)
        load::value "$@"
        ALL_RESUME=true
        ALL_FROM=$LOAD_FIELD
        ;;
      --profile | --profile=* | --baseline | --baseline=*)
        log::die 2 "${flag%%=*}: belongs to one run: ./run-configurable.sh; here it is --profiles"
        ;;
      *) rest+=("$flag") ;;
    esac
    shift
  done
  load::flags "${BASH_SOURCE[0]}" ${rest[@]+"${rest[@]}"}
}

# all::begin: check all settings, say how long it will take, and have a directory with the state of the whole.
all::begin() {
  local words
  # For all of the runs, and the time between them.
  load::open_lock
  if [ "$ALL_RESUME" = true ]; then
    words=(resume ${ALL_FROM:+"$ALL_FROM"} ${ALL_PROFILES:+--profiles "$ALL_PROFILES"})
  else
    words=(begin "${ALL_PROFILES:-light,medium,heavy}")
  fi
  [ "$(load::python show_settings.py reporting.generate)" = True ] || LOAD_REPORT=false
  ALL_DIR=$(load::python profile_sweep.py "${words[@]}" --owner $$ ${LOAD_FLAGS[@]+"${LOAD_FLAGS[@]}"})
}

# all::next: the next profile and its flags, in ALL_FIELDS; none when all are done.
all::next() {
  local field
  ALL_FIELDS=()
  load::python profile_sweep.py next "$ALL_DIR" >"$LOAD_TMP/next" || exit $?
  while IFS= read -r -d '' field; do
    ALL_FIELDS+=("$field")
  done <"$LOAD_TMP/next"
}

# all::measure: every profile that is not done, as a run of its own.
all::measure() {
  local code quiet=()
  [ "$LOAD_REPORT" = true ] || quiet=(--no-report)
  while all::next && [ ${#ALL_FIELDS[@]} -gt 0 ]; do
    code=0
    # The browser opens once, for the report over all.
    LOAD_LOCKED=true LOAD_DIR_FILE=$ALL_DIR/running PERF_OPEN_BROWSER=false cleanup::child "$LOAD_ROOT/run-configurable.sh" \
      "${ALL_FIELDS[@]:1}" ${quiet[@]+"${quiet[@]}"} || code=$?
    # Ctrl-C reaches both, and the run may be the first to end.
    case $code in 130 | 143) exit "$code" ;; esac
    all::done "$code"
    [ "$code" -eq 0 ] || log::warn "profile ${ALL_FIELDS[0]} ended with exit $code"
  done
}

# all::done CODE: the profile's run ended with that; nothing interrupts this, or it would have to be measured again.
all::done() (
  trap '' INT TERM HUP PIPE
  load::python profile_sweep.py "done" "$ALL_DIR" "$1"
)

# all::end: the summary, and the report over all; answers the exit code of the whole.
all::end() {
  local code=0 summary
  summary=$(load::python profile_sweep.py end "$ALL_DIR") || code=$?
  printf '%s\n' "$summary"
  ALL_REASON=${summary%%$'\n'*}
  ALL_REASON=${ALL_REASON#*: }
  [ -z "$summary" ] || ALL_ENDED=true
  all::report
  return "$code"
}

# all::is_regression: does a comparison of one of its runs stand written, and call it a regression?
all::is_regression() {
  local file run
  [ "$ALL_ENDED" = true ] || return 1
  for file in "${ALL_DIR%/*}"/*/comparison.json; do
    run=${file%/*}
    if grep -qF "\"run\": \"${run##*/}\"" "$ALL_DIR/all.json" && load::says_regression "$file"; then
      return 0
    fi
  done
  return 1
}

# all::report: the page over all profiles, of what there is.
all::report() {
  [ "$LOAD_REPORT" = true ] || return 0
  load::python profile_sweep_report.py "$ALL_DIR" || log::warn 'the report over all profiles could not be written'
}

# all::mark_stopped: whatever ends it early, its state is whole and says so.
all::mark_stopped() {
  [ -n "$ALL_DIR" ] && [ "$ALL_ENDED" = false ] || return 0
  ALL_REASON="$(load::python profile_sweep.py stop "$ALL_DIR" "$CLEANUP_CODE"); ./run-all.sh --resume goes on"
  PERF_OPEN_BROWSER=false all::report
}

# all::index: the list of all runs has this one, too.
all::index() {
  [ -z "$ALL_DIR" ] || load::index "${ALL_DIR%/*}"
}

# all::last_line: as that of a run.
all::last_line() {
  [ -n "$ALL_DIR" ] || return 0
  log::info "$(basename "$ALL_DIR"): $ALL_REASON; results in $ALL_DIR (exit $CLEANUP_CODE)"
}

main() {
  local code=0
  cleanup::install
  all::flags "$@"
  load::check_machine
  CLEANUP_PROOF=all::is_regression
  # A run stops its load, collects what there is, and stops its stack.
  CLEANUP_PATIENCE=1200
  cleanup::push all::last_line
  cleanup::push load::remove_tmp
  cleanup::push all::index
  cleanup::push all::mark_stopped
  load::make_tmp
  all::begin
  all::measure
  all::end || code=$?
  exit "$code"
}

[ "${BASH_SOURCE[0]}" != "$0" ] || main "$@"
