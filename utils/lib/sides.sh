# shellcheck shell=bash
# shellcheck disable=SC2034 # LOAD_*: load.sh reads them
# sides.sh - measure several gateways side by side: install them, start them anew before every block, measure, judge. A
# library: functions only; needs load.sh, whose session and load processes it uses.

SIDES_ARGS=() # --side and --side-env, for utils/measure.py
SIDES_KIND='' # paired, history or tune
SIDES_JUDGE=()

# sides::flags PROGRAM ARGUMENT...: read the command line.
sides::flags() {
  local program=$1 flag base='' head='' spec words=()
  shift
  while [ $# -gt 0 ]; do
    flag=$1
    case $flag in
      -h | --help)
        load::usage "$program"
        exit 0
        ;;
      --no-report)
        LOAD_REPORT=false
        shift
        continue
        ;;
      --fail-on-inconclusive)
        SIDES_JUDGE+=("$flag")
        shift
        continue
        ;;
      --tune)
        # Its SPEC may be left out: the release of config.yaml.
        SIDES_KIND=tune
        case ${2:---} in
          --*) ;;
          *)
            base=$2
            shift
            ;;
        esac
        shift
        continue
        ;;
    esac
    load::value "$@"
    case $flag in
      --base | --base=*) base=$LOAD_FIELD SIDES_KIND=${SIDES_KIND:-paired} ;;
      --head | --head=*) head=$LOAD_FIELD SIDES_KIND=${SIDES_KIND:-paired} ;;
      --base-env | --base-env=*) SIDES_ARGS+=(--side-env "base:$LOAD_FIELD") ;;
      --head-env | --head-env=*) SIDES_ARGS+=(--side-env "head:$LOAD_FIELD") ;;
      --cases | --cases=*) SIDES_ARGS+=(--cases "$LOAD_FIELD") ;;
      --releases | --releases=*)
        SIDES_KIND=history
        read -r -a words <<<"${LOAD_FIELD//,/ }"
        ;;
      --blocks | --blocks=* | --profile | --profile=* | --scenarios | --scenarios=* | --requests | --requests=* | \
        --concurrency | --concurrency=* | --timeout | --timeout=* | --results-dir | --results-dir=*)
        LOAD_FLAGS+=("${flag%%=*}" "$LOAD_FIELD")
        ;;
      *) log::die 2 "$flag: there is no such option; see $(basename "$program") --help" ;;
    esac
    case $flag in *=*) shift ;; *) shift 2 ;; esac
  done
  case $SIDES_KIND in
    paired)
      [ -n "$base" ] || log::die 2 "--base is missing: the gateway that the head is held against (see --help)"
      [ -n "$head" ] || log::die 2 "--head is missing: the gateway that is held against the base (see --help)"
      SIDES_ARGS+=(--side "base=$base" --side "head=$head")
      ;;
    history)
      [ ${#words[@]} -ge 2 ] || log::die 2 "--releases: give at least two, like \"1.0.5 1.0.6 1.0.7\""
      for spec in "${words[@]}"; do
        SIDES_ARGS+=(--side "$(sides::label "$spec")=$spec")
      done
      ;;
    tune) SIDES_ARGS+=(--tune "$base") ;;
    *) log::die 2 "give --base and --head, --releases or --tune (see $(basename "$program") --help)" ;;
  esac
  SIDES_ARGS+=(--name "$SIDES_KIND")
}

# sides::command PROGRAM ARGUMENT...: what was typed, for run.json; the value of a secret setting is left out.
sides::command() {
  local word
  printf '%s' "$(basename "$1")"
  shift
  for word in "$@"; do
    case $word in
      *SECRET*=* | *PASSWORD*=* | *KEY*=* | *TOKEN*=*) word="${word%%=*}=(not shown)" ;;
    esac
    printf ' %q' "$word"
  done
}

# sides::label SPEC: a release is its own label; of a path or an address its last part.
sides::label() {
  local label=${1%/}
  label=${label##*/}
  printf '%s\n' "${label//[!A-Za-z0-9._-]/-}"
}

# sides::main PROGRAM ARGUMENT...: a whole comparison, from the command line to the exit code.
sides::main() {
  local code=0
  sides::flags "$@"
  LOAD_COMMAND=$(sides::command "$@")
  [ -x "$PERF_PYTHON" ] || log::die 2 "$PERF_PYTHON: the toolkit's environment is not there; run make setup"
  cleanup::install
  # The last one registered runs first: load, session, results, gateways.
  cleanup::push load::last_line
  cleanup::push load::remove_tmp
  cleanup::push sides::stop
  cleanup::push sides::mark_interrupted
  cleanup::push load::close_session
  cleanup::push load::stop_load
  LOAD_TMP=$(mktemp -d)
  LOAD_SESSION_ARGS=(--sides-file "$LOAD_TMP/sides.json" "${SIDES_ARGS[@]}")
  load::open_session
  sides::install
  sides::start servers
  sides::start restart
  sides::measure
  sides::judge || code=$?
  exit "$code"
}

# sides::install: every release, wheel and checkout into an environment of its own.
sides::install() {
  local count number release source
  load::ask installs
  load::read && count=$LOAD_FIELD
  for ((number = 0; number < count; number++)); do
    load::read && release=$LOAD_FIELD
    load::read && source=$LOAD_FIELD
    GATEWAY_VERSION=$release GATEWAY_SOURCE=$source LOG_LEVEL=${LOG_LEVEL:-warn} \
      cleanup::child "$LOAD_ROOT/utils/setup.sh" gateway || exit $?
  done
}

# sides::start servers|restart
sides::start() {
  cleanup::child "$PERF_PYTHON" "$LOAD_ROOT/utils/sides.py" "$1" "$LOAD_TMP/sides.json" \
    ${LOAD_FLAGS[@]+"${LOAD_FLAGS[@]}"} >&2 || exit $?
}

# sides::stop: everything that was started, also what was only half started.
sides::stop() {
  [ -n "$LOAD_TMP" ] && [ -e "$LOAD_TMP/sides.json" ] || return 0
  load::python sides.py down "$LOAD_TMP/sides.json"
}

# sides::measure: all blocks, one after the other.
sides::measure() {
  load::ask plan
  load::read
  LOAD_DIR=$LOAD_FIELD
  LOAD_ERRORS=$LOAD_DIR/load.err
  while load::ask next && [ "$LOAD_FIELD" != end ]; do
    case $LOAD_FIELD in
      run) load::run_step ;;
      restart)
        sides::start restart
        load::ask restarted
        ;;
    esac
  done
  load::ask close
  exec 3>&-
  wait "$LOAD_SESSION" || true
  LOAD_SESSION=''
}

# sides::judge: every side's raw/ to its run.json, then what changed between them; answers the exit code.
sides::judge() {
  local code=0 verdict=0 side
  for side in "$LOAD_DIR"/*/; do
    verdict=0
    load::python collect_results.py "$side" >/dev/null || verdict=$?
    [ "$verdict" -le "$code" ] || code=$verdict
  done
  [ "$code" -eq 0 ] || [ "$code" -eq 3 ] || return "$code"
  sides::point_latest
  verdict=0
  case $SIDES_KIND in
    paired)
      load::python compare_results.py "$LOAD_DIR/head" --against "$LOAD_DIR/base" --output-dir "$LOAD_DIR" \
        ${SIDES_JUDGE[@]+"${SIDES_JUDGE[@]}"} || verdict=$?
      ;;
    *) load::python "${SIDES_KIND}_report.py" "$LOAD_DIR" || verdict=$? ;;
  esac
  [ "$verdict" -ne 0 ] || verdict=$code
  case $verdict in
    0) LOAD_REASON='no regression' ;;
    1) LOAD_REASON='regression' ;;
    3) LOAD_REASON='at least one case is invalid or missing' ;;
    4) LOAD_REASON='undecided' ;;
    *) LOAD_REASON='the comparison failed' ;;
  esac
  LOAD_FINISHED=true
  if [ "$SIDES_KIND" = paired ] && [ "$LOAD_REPORT" = true ] && [ -e "$LOAD_DIR/comparison.json" ]; then
    load::python report_generator.py "$LOAD_DIR/head" --comparison "$LOAD_DIR/comparison.json" \
      --output "$LOAD_DIR/report.html" || log::warn 'the report could not be written'
  fi
  return "$verdict"
}

# sides::point_latest: results/latest is this comparison from now on.
sides::point_latest() {
  ln -sfn "${LOAD_DIR##*/}" "${LOAD_DIR%/*}/latest" || log::warn "$LOAD_DIR: latest could not be made to point to it"
}

# sides::mark_interrupted: whatever ends it early, each side's run.json is whole and says so.
sides::mark_interrupted() {
  local side
  [ "$LOAD_FINISHED" = false ] || return 0
  if [ -z "$LOAD_DIR" ] && [ -n "$LOAD_TMP" ] && [ -s "$LOAD_TMP/dir" ]; then
    LOAD_DIR=$(cat "$LOAD_TMP/dir")
  fi
  [ -n "$LOAD_DIR" ] || return 0
  case $CLEANUP_CODE in
    130 | 143) LOAD_REASON='interrupted; what was measured is kept and marked' ;;
  esac
  for side in "$LOAD_DIR"/*/; do
    if [ -e "$side/plan.json" ]; then
      load::python collect_results.py "$side" --interrupted "$CLEANUP_CODE" >/dev/null
    else
      rm -rf "$side"
    fi
  done
  rmdir "$LOAD_DIR" 2>/dev/null || true # it was made a moment ago, and nothing is in it
}
