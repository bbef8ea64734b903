#!/usr/bin/env -S bash -p
# Measure one gateway several times under one profile, to know how much its runs differ.
#
# usage: utils/repeat-runs.sh baseline|noise [N] [option of run-configurable.sh...]     (N: 5)
#
#   baseline   every run becomes part of the profile's baseline; with 5 or more a comparison with it can tell a change
#              from noise
#   noise      the runs are only held against each other, and what they differ by is recorded for this machine
#              (baselines/noise_<profile>.json): comparisons with few runs in the baseline rely on it
#
# It stops at the first run that can't be trusted. The profile is PROFILE (light), or that of --profile.
#
# exit: 0 done; otherwise that of the run that failed, 130 and 143 interrupted
set -euo pipefail +o posix
shopt -s inherit_errexit 2>/dev/null || true

SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also through a link
# shellcheck source=utils/lib/load.sh
. "$(dirname -- "$SELF")/lib/load.sh" || exit 2

main() {
  local kind=${1:-} count=5 number code=0 results dirs=()
  cleanup::install
  case $kind in
    -h | --help)
      load::usage "${BASH_SOURCE[0]}"
      exit 0
      ;;
    baseline | noise) shift ;;
    *) log::die 2 "give baseline or noise (see utils/repeat-runs.sh --help)" ;;
  esac
  if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
    count=$1
    shift
  fi
  case $count in
    '' | *[!0-9]* | 0*) log::die 2 "RUNS=$count: must be a number of runs, like 5" ;;
  esac
  [ "$kind" = baseline ] || [ "$count" -ge 3 ] || log::die 2 "RUNS=$count: the noise between runs needs at least 3"
  # A run stops its load, collects what there is, and stops its stack.
  CLEANUP_PATIENCE=300
  load::check_machine
  cleanup::push load::remove_tmp
  load::make_tmp
  load::flags "${BASH_SOURCE[0]}" "$@"
  results=$(load::python show_settings.py ${LOAD_FLAGS[@]+"${LOAD_FLAGS[@]}"} reporting.output_dir)
  case $results in
    /*) ;;
    *) results=$LOAD_ROOT/$results ;;
  esac
  for ((number = 1; number <= count; number++)); do
    log::info "run $number of $count"
    code=0
    # Not by results/latest: not every file system has links.
    LOAD_DIR_FILE=$LOAD_TMP/dir cleanup::child "$LOAD_ROOT/run-configurable.sh" "$@" --no-report \
      --baseline "$([ "$kind" = baseline ] && echo save || echo skip)" || code=$?
    [ "$code" -eq 0 ] || log::die "$code" "run $number of $count failed: the ${#dirs[@]} before it are kept in $results"
    dirs+=("$(cat "$LOAD_TMP/dir")")
  done
  load::index "$results"
  [ "$kind" = baseline ] || load::python noise.py record "${dirs[@]}"
}

[ "${BASH_SOURCE[0]}" != "$0" ] || main "$@"
