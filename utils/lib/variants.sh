# shellcheck shell=bash
# shellcheck disable=SC2034 # LOAD_*: load.sh reads them
# variants.sh - measure several gateways side by side: install them, start them anew before every block, measure, judge. A
# library: functions only; needs load.sh, whose session and load processes it uses.

VARIANTS_ARGS=()     # --variant, for utils/measure.py
VARIANTS_SETTINGS=() # LABEL:KEY=VALUE, settings of the gateways
VARIANTS_KIND=''     # paired, history or tune
VARIANTS_TUNED=''    # the gateway of --tune; empty: the usual one
VARIANTS_ENV_FILE='' # takes the tuned settings with their effects
VARIANTS_JUDGE=()

# variants::flags PROGRAM ARGUMENT...: read the command line.
variants::flags() {
  local program=$1 flag base='' head='' releases='' words=()
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
        VARIANTS_JUDGE+=("$flag")
        shift
        continue
        ;;
      --tune)
        # Its SPEC may be left out: the release of config.yaml.
        VARIANTS_KIND=tune
        case ${2:---} in
          --*) ;;
          *)
            VARIANTS_TUNED=$2
            shift
            ;;
        esac
        shift
        continue
        ;;
    esac
    load::value "$@"
    case $flag in
      --base | --base=*) base=$LOAD_FIELD ;;
      --head | --head=*) head=$LOAD_FIELD ;;
      --base-env | --base-env=*) variants::setting base "$LOAD_FIELD" ;;
      --head-env | --head-env=*) variants::setting head "$LOAD_FIELD" ;;
      --cases | --cases=*) VARIANTS_ARGS+=(--cases "$LOAD_FIELD") ;;
      --env-file | --env-file=*) VARIANTS_ENV_FILE=$LOAD_FIELD ;;
      --releases | --releases=*) releases=$LOAD_FIELD ;;
      --blocks | --blocks=* | --rounds | --rounds=* | --profile | --profile=* | --scenarios | --scenarios=* | \
        --requests | --requests=* | --concurrency | --concurrency=* | --timeout | --timeout=* | --results-dir | \
        --results-dir=*)
        LOAD_FLAGS+=("${flag%%=*}" "$LOAD_FIELD")
        ;;
      *) log::die 2 "$flag: there is no such option; see $(basename "$program") --help" ;;
    esac
    case $flag in *=*) shift ;; *) shift 2 ;; esac
  done
  [ -z "$releases" ] || variants::no_other --releases "$VARIANTS_KIND" "$base$head"
  [ "$VARIANTS_KIND" != tune ] || variants::no_other --tune '' "$base$head"
  [ -z "$releases" ] || VARIANTS_KIND=history
  VARIANTS_KIND=${VARIANTS_KIND:-paired}
  case $VARIANTS_KIND in
    paired)
      [ -n "$base$head" ] || log::die 2 "give --base and --head, --releases or --tune (see $(basename "$program") --help)"
      [ -n "$base" ] || log::die 2 "--base is missing: the gateway that the head is held against (see --help)"
      [ -n "$head" ] || log::die 2 "--head is missing: the gateway that is held against the base (see --help)"
      VARIANTS_ARGS+=(--variant "base=$base" --variant "head=$head")
      ;;
    *)
      [ ${#VARIANTS_SETTINGS[@]} -eq 0 ] || log::die 2 "--base-env and --head-env belong to --base and --head"
      [ ${#VARIANTS_JUDGE[@]} -eq 0 ] || log::die 2 "--fail-on-inconclusive belongs to --base and --head"
      ;;
  esac
  [ "$VARIANTS_KIND" = tune ] || [ -z "$VARIANTS_ENV_FILE" ] || log::die 2 "--env-file belongs to --tune"
  case $VARIANTS_KIND in
    history)
      read -r -a words <<<"${releases//,/ }"
      [ ${#words[@]} -ge 2 ] || log::die 2 "--releases: give at least two, like \"1.0.5 1.0.6 1.0.7\""
      for flag in "${words[@]}"; do
        VARIANTS_ARGS+=(--variant "$(variants::label "$flag")=$flag")
      done
      ;;
    tune) VARIANTS_ARGS+=(--tune "$VARIANTS_TUNED") ;;
  esac
  VARIANTS_ARGS+=(--name "$VARIANTS_KIND")
}

# variants::setting LABEL KEY=VALUE|KEY: a setting of a gateway. Of a KEY alone the environment has the value, so that a
# secret need not stand in an argument list.
variants::setting() {
  local pair=$2
  if [[ $pair =~ ^[A-Z][A-Z0-9_]*$ ]]; then
    [ -n "${!pair+set}" ] || log::die 2 "--$1-env $pair: there is no such environment variable; set it, or give $pair=VALUE"
    pair=$pair=${!pair}
  fi
  VARIANTS_SETTINGS+=("$1:$pair")
}

# variants::no_other FLAG OTHER GIVEN: one question at a time.
variants::no_other() {
  [ -z "$2$3" ] || log::die 2 "$1 goes with neither --base, --head nor another of --releases and --tune"
}

# variants::command PROGRAM ARGUMENT...: what was typed, for run.json, without the values of settings, which may be secret;
# the report shows those that are known to be harmless.
variants::command() {
  local word flag=''
  printf '%s' "$(basename "$1")"
  shift
  for word in "$@"; do
    case $flag$word in
      --base-env=* | --head-env=*) word="${word%%=*}=$(variants::without_value "${word#*=}")" ;;
      --base-env?* | --head-env?*) word=$(variants::without_value "$word") ;;
    esac
    printf ' %q' "$word"
    case $word in --base-env | --head-env) flag=$word ;; *) flag='' ;; esac
  done
}

# variants::without_value KEY=VALUE|KEY
variants::without_value() {
  local key=${1%%=*}
  [[ $key =~ ^[A-Z][A-Z0-9_]*$ ]] || key='(not shown)'
  case $1 in *=*) key="$key=(not shown)" ;; esac
  printf '%s' "$key"
}

# variants::label SPEC: a release is its own label; of a wheel it is the release, of a path or an address the last part.
variants::label() {
  local label=${1%/}
  [ "$label" != . ] || label=$PWD
  label=${label##*/}
  case $label in
    *.whl) # NAME-VERSION-TAGS.whl
      label=${label#*-}
      label=${label%%-*}
      ;;
  esac
  label=${label//[!A-Za-z0-9._-]/-}
  printf '%s\n' "${label:0:40}"
}

# variants::main PROGRAM ARGUMENT...: a whole comparison, from the command line to the exit code.
variants::main() {
  local code=0
  cleanup::install
  variants::flags "$@"
  LOAD_COMMAND=$(variants::command "$@")
  load::prepare variants::stop load::mark_interrupted
  # By a file, which only this user can read, as LOAD_TMP is.
  if [ ${#VARIANTS_SETTINGS[@]} -gt 0 ]; then
    printf '%s\0' "${VARIANTS_SETTINGS[@]}" >"$LOAD_TMP/settings"
    VARIANTS_ARGS+=(--variant-env-file "$LOAD_TMP/settings")
  fi
  LOAD_SESSION_ARGS=(--variants-file "$LOAD_TMP/variants.json" "${VARIANTS_ARGS[@]}")
  load::open_session
  variants::install
  variants::start servers
  variants::start restart
  variants::measure
  variants::judge || code=$?
  exit "$code"
}

# variants::install: every release, wheel and checkout into an environment of its own.
variants::install() {
  local count number release source
  load::ask installs
  load::read && count=$LOAD_FIELD
  case $count in '' | *[!0-9]*) log::die 2 "'$count' gateways to install: not a number" ;; esac
  for ((number = 0; number < count; number++)); do
    load::read && release=$LOAD_FIELD
    load::read && source=$LOAD_FIELD
    GATEWAY_VERSION=$release GATEWAY_SOURCE=${source:-none} LOG_LEVEL=${LOG_LEVEL:-warn} \
      cleanup::child "$LOAD_ROOT/utils/setup.sh" gateway || exit $?
  done
}

# variants::start servers|restart [--again]
variants::start() {
  cleanup::child environment::child variants.py "$1" "$LOAD_TMP/variants.json" --owner $$ ${2+"$2"} \
    ${LOAD_FLAGS[@]+"${LOAD_FLAGS[@]}"} >&2 || exit $?
}

# variants::stop: everything that was started, also what was only half started.
variants::stop() {
  [ -n "$LOAD_TMP" ] && [ -e "$LOAD_TMP/variants.json" ] || return 0
  load::python variants.py down "$LOAD_TMP/variants.json"
}

# variants::measure: all blocks, one after the other.
variants::measure() {
  load::ask plan
  load::read
  LOAD_DIR=$LOAD_FIELD
  LOAD_ERRORS=$LOAD_DIR/load.err
  load::start_monitor "$LOAD_DIR/monitor.jsonl" --variants-file "$LOAD_TMP/variants.json"
  while load::ask next && [ "$LOAD_FIELD" != end ]; do
    case $LOAD_FIELD in
      run) load::run_step ;;
      restart)
        variants::start restart --again
        load::ask restarted
        ;;
    esac
  done
  load::stop_monitor
  load::end_session
}

# variants::judge: every variant's raw/ to its run.json, then what changed between them; answers the exit code.
variants::judge() {
  local code=0 verdict=0 variant
  for variant in "$LOAD_DIR"/*/; do
    verdict=0
    load::python collect_results.py "$variant" >/dev/null || verdict=$?
    [ "$verdict" -le "$code" ] || code=$verdict
  done
  [ "$code" -eq 0 ] || [ "$code" -eq 3 ] || return "$code"
  variants::point_latest
  verdict=0
  case $VARIANTS_KIND in
    paired)
      load::python compare_results.py "$LOAD_DIR/head" --against "$LOAD_DIR/base" --output-dir "$LOAD_DIR" \
        ${VARIANTS_JUDGE[@]+"${VARIANTS_JUDGE[@]}"} || verdict=$?
      ;;
    history)
      code=0 # a case that is broken in some of the releases is a result; the program says 3 where it is none
      load::python history_report.py "$LOAD_DIR" || verdict=$?
      ;;
    tune)
      load::python tune_report.py "$LOAD_DIR" ${VARIANTS_ENV_FILE:+--env-file "$VARIANTS_ENV_FILE"} || verdict=$?
      ;;
  esac
  [ "$verdict" -ne 1 ] || cleanup::is_proven || verdict=2
  [ "$verdict" -ne 0 ] || verdict=$code
  [ "$verdict" -ne 2 ] || [ -e "$LOAD_DIR/comparison.json" ] || LOAD_FAILED=true
  LOAD_FINISHED=true
  load::reason
  if [ "$VARIANTS_KIND" = paired ] && [ "$LOAD_REPORT" = true ] && [ -e "$LOAD_DIR/comparison.json" ]; then
    load::python report_generator.py "$LOAD_DIR/head" --comparison "$LOAD_DIR/comparison.json" \
      --output "$LOAD_DIR/report.html" || log::warn 'the report could not be written'
  fi
  return "$verdict"
}

# variants::point_latest: results/latest is this comparison from now on.
variants::point_latest() {
  load::python collect_results.py --latest "$LOAD_DIR" || log::warn "$LOAD_DIR: latest could not be made to point to it"
}
