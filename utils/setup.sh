#!/usr/bin/env -S bash -p
# Install what the toolkit needs, only below the checkout: no root, nothing in the system or in your home.
#
# usage: utils/setup.sh [PART...]         (without a PART: runtime gateway)
#
#   runtime   python hey chartjs
#   dev       the same, and the tools that `make check` needs
#   all       dev gateway
#
#   uv        the installer: the one on PATH, else .tools/uv
#   python    the toolkit's environment .venv, from requirements.lock
#   hey       the load generator: the one on PATH, else .tools/bin/hey
#   chartjs   the chart library of the reports, .tools/chartjs
#   gateway   the gateway to measure, .tools/gateway/VERSION
#
# hey and gateway include the toolkit's environment, which reads config.yaml. Everything from a package index is checked
# against the hashes of a lock: requirements*.lock, utils/*.pin, utils/gateway-locks/. A release of the gateway without a
# lock is resolved once, to the packages of its publication day; that lock is kept in .tools/gateway-locks.
#
# Uses the network only for what is missing or out of date; after an interrupt, just run it again.
# Needs Python 3.11 or newer: on PATH, of pyenv, asdf, mise, uv, Homebrew, or below /usr/local or /opt. The gateway runs on
# the newest of them that its release allows. The machine's own settings of pip, uv, npm and apt apply.
#
# environment:
#   GATEWAY_VERSION             release of the gateway, or newest: the newest one with a committed lock that a Python of
#                               this machine can run (default: stack.gateway.version of config.yaml)
#   GATEWAY_SOURCE              a wheel or checkout of the gateway, built and run instead of a release
#                               (default: stack.gateway.source of config.yaml); none: use the release after all
#   GATEWAY_DEPENDENCIES_DATE   install it with the packages of that day (YYYY-MM-DD); default: those of its committed
#                               lock, else of the day of its release; of a checkout today's
#   PERF_HEY                    another hey than the one on PATH (default: performance.hey_binary of config.yaml)
#   SETUP_PATIENCE=300          how long to wait for another set-up that is running, in seconds
#   LOG_LEVEL=warn              only warnings and errors
#   NO_COLOR=1                  no colour
#
# exit: 0 everything requested is there (Chart.js may be missing, with a warning); 2 something is not, with the reason;
#       129, 130, 143 stopped by a closed terminal, Ctrl-C, TERM. Full logs: .tools/log/
set -euo pipefail +o posix
shopt -s inherit_errexit 2>/dev/null || true

SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also if called through a link
ROOT=$(CDPATH='' cd -- "$(dirname -- "$SELF")/.." && pwd -P) || exit 2
# shellcheck source=utils/lib/log.sh
. "$ROOT/utils/lib/log.sh" || exit 2
# shellcheck source=utils/lib/cleanup.sh
. "$ROOT/utils/lib/cleanup.sh" || exit 2
# shellcheck source=utils/lib/tools.sh
. "$ROOT/utils/lib/tools.sh" || exit 2
# shellcheck source=utils/lib/gateway.sh
. "$ROOT/utils/lib/gateway.sh" || exit 2

TOOLS=$ROOT/.tools
TMP=$TOOLS/tmp.$$
PATIENCE=${SETUP_PATIENCE:-300}

usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

# --- what is asked for -----------------------------------------------------------------------------------------------

asked=''      # parts, each with a blank before it
level=runtime # of the toolkit's environment: runtime or dev
retry_chartjs=false

read_arguments() {
  local argument
  [ $# -gt 0 ] || set -- runtime gateway
  for argument in "$@"; do
    case $argument in
      -h | --help)
        usage
        exit 0
        ;;
      runtime) asked+=' python hey chartjs' ;;
      dev | all)
        level=dev
        asked+=' python hey chartjs'
        [ "$argument" = dev ] || asked+=' gateway'
        ;;
      hey | gateway) asked+=" python $argument" ;; # python reads the settings
      uv | python | chartjs)
        asked+=" $argument"
        [ "$argument" != chartjs ] || retry_chartjs=true
        ;;
      *) log::die 2 "unknown part '$argument': uv, python, hey, chartjs, gateway, runtime, dev or all (see utils/setup.sh --help)" ;;
    esac
  done
}

is_asked() {
  case "$asked " in
    *" $1 "*) return 0 ;;
    *) return 1 ;;
  esac
}

check_date() {
  case ${GATEWAY_DEPENDENCIES_DATE:-} in
    '' | [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]) ;;
    *) log::die 2 "GATEWAY_DEPENDENCIES_DATE '$GATEWAY_DEPENDENCIES_DATE' is not a date: write it as YYYY-MM-DD" ;;
  esac
}

# read_settings: reads config.yaml and the environment. Sets `source` and `source_name` (a wheel or checkout), or `release`.
source='' source_name='' release=''
read_settings() {
  tools::read_settings || exit 2
  source=$(tools::setting source)
  if [ -n "$source" ]; then
    [ -e "$source" ] \
      || log::die 2 "GATEWAY_SOURCE (stack.gateway.source in config.yaml): there is no $source: name a wheel or a checkout of the gateway"
    source_name=$(tools::setting source-name)
  else
    release=$(gateway::release)
  fi
}

# gateway_state: prints ok, missing or old.
gateway_state() {
  if [ -n "$source" ]; then
    gateway::source_state
  else
    gateway::release_state "$release"
  fi
}

# is_there PART: succeeds if the part needs no work.
is_there() {
  case $1 in
    uv) tools::uv >/dev/null ;;
    python) [ "$(tools::python_state "$level")" = ok ] ;;
    hey) tools::hey >/dev/null ;;
    chartjs) [ "$(tools::chartjs_state)" = ok ] || chartjs_is_given_up ;;
    gateway) [ "$(gateway_state)" = ok ] ;;
  esac
}

# find_missing PART...: sets `missing` to the parts that are requested and need work.
missing=()
find_missing() {
  local part
  missing=()
  for part in "$@"; do
    ! is_asked "$part" || is_there "$part" || missing+=("$part")
  done
}

# --- one set-up at a time, and how it stops ----------------------------------------------------------------------------

# try_lock: locks the file on descriptor 9. macOS has perl but no flock; small Linux systems have flock but no perl.
try_lock() {
  if command -v flock >/dev/null 2>&1; then
    flock -n 9
  else
    perl -e 'open(LOCK, ">&=", 9) && flock(LOCK, 6) or exit 1' # 6: exclusive, without waiting
  fi
}

# begin: takes the lock, once, before the first write. The system releases it with the last process that has inherited the
# descriptor, so no process of a killed set-up still writes when the next one begins.
has_lock=false
begin() {
  local end=$((SECONDS + PATIENCE)) told=false owner
  ! $has_lock || return 0
  { mkdir -p "$TOOLS/log" && [ -w "$TOOLS" ]; } 2>/dev/null \
    || log::die 2 "cannot write to $TOOLS: make the checkout writable for $(id -un)"
  exec 9>>"$TOOLS/lock"
  until try_lock; do
    owner=$(cat "$TOOLS/lock")
    [ "$SECONDS" -lt "$end" ] \
      || log::die 2 "another set-up (pid ${owner:-unknown}) has held $TOOLS/lock for $PATIENCE s: wait for it, or stop it"
    $told || log::info "another set-up (pid ${owner:-unknown}) is running: waiting for it"
    told=true
    sleep 0.2
  done
  echo "$$" >"$TOOLS/lock"
  has_lock=true
  rm -rf "$TOOLS"/tmp.*
  mkdir "$TMP"
}

# clean_up: sends TERM to all processes of the worker's group, and KILL to those still running 3 s later.
clean_up() {
  local worker=${!-} tenth
  [ -n "$worker" ] || return 0
  kill -TERM -- "-$worker" 2>/dev/null
  for ((tenth = 0; tenth < 30; tenth++)); do
    kill -0 -- "-$worker" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL -- "-$worker" 2>/dev/null
  rm -rf "$TMP"
}

on_signal() {
  trap '' HUP INT TERM
  log::error "set-up interrupted by $1: run it again to go on"
  exit "$2"
}

# run LOG COMMAND...: runs the command with its output in the log.
run() {
  local log=$1
  shift
  printf '+ %s\n' "$*" >>"$log"
  "$@" >>"$log" 2>&1
}

# last_error LOG: prints the last line of the log that reports an error. apt reports failed downloads as warnings.
last_error() {
  local line
  line=$(sed -n '/^[EW]: Failed to fetch/p' "$1" | tail -n 1)
  [ -n "$line" ] || line=$(sed -e 's/^[[:space:]]*//' -e '/^$/d' -e '/^+ /d' -e '/^hint:/d' -e '/^W: /d' -e '/^\[notice\]/d' \
    -e '/^npm error A complete log/,$d' -e '/^npm error network/d' "$1" | tail -n 1)
  printf '%s\n' "${line:-no message}"
}

# fail LOG WHAT DO: ends a job with an error of one line.
fail() {
  log::die 2 "$2: $(last_error "$1"); $3 (log: $1)"
}

new_log() {
  : >"$TOOLS/log/$1.log"
  printf '%s\n' "$TOOLS/log/$1.log"
}

# write_stamp DIRECTORY TEXT: the last step of an installation.
write_stamp() {
  printf '%s\n' "$2" >"$1/$TOOLS_STAMP.new"
  mv -f "$1/$TOOLS_STAMP.new" "$1/$TOOLS_STAMP"
}

readonly ASK_NETWORK="check the network and the machine's settings of the package registry, then run it again"

# --- packages of Debian and Ubuntu, without root -----------------------------------------------------------------------

# apt_unpack LOG PACKAGE DIRECTORY: downloads a package and unpacks it there. Uses the system's package lists if there are
# any, else its own. It does not write to the system's lists or cache.
apt_unpack() {
  local log=$1 package=$2 directory=$3 work=$TMP/apt lists
  mkdir -p "$work/cache/archives/partial" "$work/lists/partial" "$work/$package"
  for lists in system own; do
    {
      printf 'Dir::Cache "%s";\n' "$work/cache"
      printf 'Acquire::Retries "1";\nAcquire::http::Timeout "20";\nAcquire::https::Timeout "20";\n'
      if [ "$lists" = own ]; then
        printf 'Dir::State::lists "%s";\nAcquire::Languages "none";\n' "$work/lists"
        # The system's hooks for updates would clean the system's cache.
        printf '#clear %s;\n' APT::Update::Pre-Invoke APT::Update::Post-Invoke APT::Update::Post-Invoke-Success
      fi
    } >"$work/apt.conf"
    if [ "$lists" = own ] && [ ! -e "$work/updated" ]; then
      run "$log" apt-get -c "$work/apt.conf" update || true # only the download of the package matters
      touch "$work/updated"
    fi
    (cd "$work/$package" && run "$log" apt-get -c "$work/apt.conf" download "$package") || continue
    mkdir -p "$directory"
    run "$log" dpkg-deb -x "$work/$package/"*.deb "$directory" || return
    return 0
  done
  return 1
}

# --- the parts ---------------------------------------------------------------------------------------------------------

install_uv() {
  local log python wheel pip=() target=$TOOLS/uv
  log=$(new_log uv)
  python=$(tools::python) \
    || log::die 2 "no Python $TOOLS_PYTHON_MINIMUM or newer on this machine: install one (Debian, Ubuntu: apt install python3; macOS: brew install python)"
  log::info "uv: installing $(tools::uv_pin) into .tools/uv"
  rm -rf "$target"
  if run "$log" "$python" -m venv "$target"; then
    pip=("$target/bin/python" -m pip install)
  else # Debian ships Python without what makes environments, and without pip
    rm -rf "$target"
    if run "$log" "$python" -m pip --version; then
      pip=("$python" -m pip install --target "$target")
    elif command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1; then
      apt_unpack "$log" python3-pip-whl "$TMP/pip" \
        || fail "$log" "pip could not be downloaded" "$ASK_NETWORK, or install uv, or python3-venv"
      for wheel in "$TMP/pip/usr/share/python-wheels/pip-"*.whl; do
        pip=("$python" "$wheel/pip" install --target "$target")
      done
    else
      log::die 2 "uv cannot be installed: $python has neither the venv module nor pip; install one of them, or uv itself, then run it again"
    fi
  fi
  run "$log" "${pip[@]}" --no-cache-dir --disable-pip-version-check --require-hashes -r "$ROOT/utils/uv.pin" \
    || fail "$log" "uv could not be installed" "$ASK_NETWORK, or install uv yourself"
  run "$log" "$target/bin/uv" --version || fail "$log" "the installed uv does not start" "install uv yourself"
  write_stamp "$target" "uv $(tools::uv_pin)"
}

# can_write PATH: succeeds if the path is writable, or could be created.
can_write() {
  local path=$1
  until [ -e "$path" ]; do
    path=${path%/*}
    [ -n "$path" ] || return 1
  done
  [ -d "$path" ] && [ -w "$path" ]
}

# use_uv: sets UV, installing it if necessary, and the environment for all calls of it.
use_uv() {
  is_there uv || install_uv
  UV=$(tools::uv) || log::die 2 "uv was installed and is not usable: see $TOOLS/log/uv.log"
  # Do not install into an environment that happens to be active in the caller's shell.
  unset VIRTUAL_ENV CONDA_PREFIX UV_SYSTEM_PYTHON UV_PROJECT_ENVIRONMENT PYTHONHOME PYTHONPATH
  export UV_NO_PROGRESS=1
  export UV_PYTHON_INSTALL_DIR=${UV_PYTHON_INSTALL_DIR:-$TOOLS/python} UV_TOOL_DIR=$TMP/uv-tools
  if [ -z "${UV_CACHE_DIR:-}" ] && ! can_write "${XDG_CACHE_HOME:-${HOME:-}/.cache}/uv"; then
    export UV_CACHE_DIR=$TOOLS/cache/uv
  fi
}

# Chooses the interpreter for uv: the machine's own if it is suitable, else one that uv finds or downloads.
python_for_uv() {
  tools::python || printf '>=%s\n' "$TOOLS_PYTHON_MINIMUM"
}

install_python() {
  local log venv=$ROOT/.venv lock=$ROOT/requirements.lock began=$SECONDS
  log=$(new_log python)
  if grep -qs "^dev at" "$venv/$TOOLS_STAMP"; then
    level=dev # an environment with the development tools keeps them
  fi
  [ "$level" = runtime ] || lock=$ROOT/requirements-dev.lock
  log::info "toolkit environment: installing ${lock##*/} into .venv"
  if [ "$(tools::python_state "$level")" = missing ]; then
    rm -rf "$venv"
    run "$log" "$UV" venv --no-project --python "$(python_for_uv)" "$venv" \
      || fail "$log" "the toolkit's environment could not be made in $venv" "install Python $TOOLS_PYTHON_MINIMUM or newer"
  fi
  rm -f "$venv/$TOOLS_STAMP"
  run "$log" "$UV" pip sync --python "$venv/bin/python" --require-hashes "$lock" \
    || fail "$log" "${lock##*/} could not be installed" "$ASK_NETWORK"
  write_stamp "$venv" "$(tools::python_stamp "$level")"
  log::ok "toolkit environment: ready after $((SECONDS - began)) s"
}

install_hey() {
  local log unpacked=$TMP/hey
  local advice="install hey and put it on PATH, or name it in performance.hey_binary of config.yaml (PERF_HEY)"
  log=$(new_log hey)
  if command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1; then
    log::info "hey: unpacking the system's package into .tools"
    apt_unpack "$log" hey "$unpacked" || fail "$log" "hey could not be downloaded" "$ASK_NETWORK, or $advice"
    tools::is_hey "$unpacked/usr/bin/hey" || fail "$log" "the downloaded hey does not start" "$advice"
    mkdir -p "$TOOLS/bin"
    mv -f "$unpacked/usr/bin/hey" "$TOOLS/bin/hey"
  elif command -v brew >/dev/null 2>&1; then
    log::info "hey: brew install hey"
    HOMEBREW_NO_AUTO_UPDATE=1 run "$log" brew install hey || fail "$log" "brew could not install hey" "$advice"
    tools::hey >/dev/null || fail "$log" "brew's hey does not start" "$advice"
  else
    log::die 2 "hey, the load generator, is not there, and neither is apt-get or brew: $advice"
  fi
  log::ok "hey: ready"
}

# chartjs_is_given_up: succeeds if the download failed within the last hour, and chartjs was not requested by name.
chartjs_is_given_up() {
  ! $retry_chartjs && [ -n "$(find "$TOOLS/chartjs.failed" -mmin -60 2>/dev/null)" ]
}

# give_up_chartjs LOG WHAT: ends the job without an error, because reports work without charts.
give_up_chartjs() {
  echo "$2: $(last_error "$1") (log: $1)" >"$TOOLS/chartjs.failed"
  exit 0
}

install_chartjs() {
  local log work=$TMP/chartjs version pinned npm archive digest
  log=$(new_log chartjs)
  { read -r version && read -r pinned; } <"$ROOT/utils/chartjs.pin"
  archive=$work/chart.js-$version.tgz
  log::info "chart.js: fetching $version"
  mkdir -p "$work"
  # By default npm writes its cache and notices to the home directory.
  export npm_config_cache=$work/npm npm_config_update_notifier=false npm_config_fetch_retries=1 npm_config_fetch_timeout=30000
  if ! npm=$(tools::npm); then
    npm=$work/node/bin/npm
    run "$log" "$UV" venv --no-project --python "$(python_for_uv)" "$work/node" \
      || give_up_chartjs "$log" "npm could not be installed"
    run "$log" "$UV" pip sync --python "$work/node/bin/python" --require-hashes "$ROOT/utils/nodejs.pin" \
      || give_up_chartjs "$log" "npm could not be installed"
  fi
  (cd "$work" && run "$log" "$npm" pack --ignore-scripts "chart.js@$version") && [ -f "$archive" ] \
    || give_up_chartjs "$log" "npm could not fetch it"
  digest=$(tools::digest 512 "$archive")
  if [ "sha512 $digest" != "$pinned" ]; then
    printf 'sha512 %s of %s\n%s is pinned\n' "$digest" "${archive##*/}" "$pinned" >>"$log"
    log::die 2 "chart.js $version is not the file that utils/chartjs.pin names (sha512 differs): not used; find out where npm got it from (log: $log)"
  fi
  run "$log" tar -xzf "$archive" -C "$work" package/dist/chart.umd.min.js package/LICENSE.md \
    || give_up_chartjs "$log" "${archive##*/} could not be unpacked"
  rm -rf "$TOOLS/chartjs" "$TOOLS/chartjs.failed"
  mkdir "$TOOLS/chartjs"
  mv "$work/package/dist/chart.umd.min.js" "$TOOLS/chartjs/chart.umd.js"
  mv "$work/package/LICENSE.md" "$TOOLS/chartjs/LICENSE.md"
  write_stamp "$TOOLS/chartjs" "$(cat "$ROOT/utils/chartjs.pin")"
  log::ok "chart.js: ready"
}

# use_python PYTHONS: sets `python` to the newest Python of this machine that is among PYTHONS ("3.12 3.13"), else to the
# version that uv must find or download.
use_python() {
  python=$(tools::pick_python "$(tools::pythons)" "$1") || python=${1##* }
}

# newest_release LOG: prints the newest existing release; nothing if that cannot be determined.
newest_release() {
  "$UV" pip compile --quiet --no-deps --no-header --python "$(python_for_uv)" --python-version "${GATEWAY_PYTHONS##* }" - \
    <<<"$GATEWAY_PACKAGE" 2>>"$1" | sed -n "s/^$GATEWAY_PACKAGE==//p"
}

# resolve LOG LOCK DAY REQUIREMENTS...: writes a lock with hashes for $python, of the packages of that day (empty: today).
resolve() {
  local log=$1 lock=$2 day=$3 limit=()
  shift 3
  [ -z "$day" ] || limit=(--exclude-newer "$day")
  mkdir -p "${lock%/*}"
  run "$log" "$UV" pip compile --quiet --no-header --no-annotate --no-emit-index-url --generate-hashes --python "$python" \
    ${limit[@]+"${limit[@]}"} --output-file "$lock.new" "$@" || return 1
  mv -f "$lock.new" "$lock"
}

# fill_environment LOG TARGET LOCK: recreates the environment with exactly the packages of the lock. On failure `problem`
# names the failed step.
fill_environment() {
  problem="no Python for it"
  rm -rf "$2"
  mkdir -p "${2%/*}"
  run "$1" "$UV" venv --no-project --python "$python" "$2" || return 1
  problem="its packages could not be installed"
  run "$1" "$UV" pip sync --python "$2/bin/python" --require-hashes "$3" || return 1
}

# install_source: builds the gateway from the user's wheel or checkout. A wheel gets the packages of its release's day, else
# of the day on which it was built; a checkout gets today's.
install_source() {
  local log day=${GATEWAY_DEPENDENCIES_DATE:-} python version requires found lock=$TOOLS/gateway-locks/$source_name.lock began=$SECONDS
  local target=$TOOLS/gateway/$source_name pythons problem wanted=$source/pyproject.toml
  local advice="mend it there, or set GATEWAY_SOURCE to another wheel or checkout"
  log=$(new_log "gateway-$source_name")
  log::info "gateway of $source: building into .tools/gateway/$source_name"
  [ ! -d "$source" ] || [ -f "$wanted" ] || log::die 2 "$source: is no checkout of the gateway, it has no pyproject.toml"
  requires=$(tools::setting source-requires)
  pythons=$(gateway::runs_on "${requires// /}")
  [ -n "$pythons" ] || log::die 2 "$source: requires Python $requires, and none of $GATEWAY_PYTHONS is that"
  case $source in
    *.whl) # NAME-VERSION-TAGS.whl
      wanted=$TMP/wheel.in
      printf '%s\n' "$source" >"$wanted"
      version=${source##*/}
      version=${version#*-}
      found=$(gateway::look_up "$log" "${version%%-*}" "$TMP/release" "$(python_for_uv)" "$UV") || found='|'
      day=${day:-${found#*|}}
      day=${day:-$(tools::setting source-day)}
      ;;
  esac
  use_python "$pythons"
  printf '%s\n' "${GATEWAY_DRIVERS[@]}" >"$TMP/drivers.in"
  rm -f "$lock"
  resolve "$log" "$lock" "$day" "$wanted" "$TMP/drivers.in" || fail "$log" "gateway of $source could not be built" "$advice"
  fill_environment "$log" "$target" "$lock" || fail "$log" "gateway of $source: $problem" "$advice"
  case $source in
    *.whl) ;;
    *)
      run "$log" "$UV" pip install --python "$target/bin/python" --no-deps "$source" \
        || fail "$log" "gateway of $source could not be built" "$advice"
      ;;
  esac
  compgen -G "$target/lib/python*/site-packages/mcp_contextforge_gateway-*.dist-info" >/dev/null \
    || log::die 2 "$source: is no gateway ($GATEWAY_PACKAGE); set GATEWAY_SOURCE to a wheel or checkout of it"
  # The time with seconds makes two builds of one checkout two gateways, whose databases are kept apart.
  write_stamp "$target" "built $(date -u +%Y-%m-%dT%H:%M:%SZ) of $source at $ROOT
sha256 $(tools::digest 256 "$lock")"
  log::ok "gateway of $source: ready after $((SECONDS - began)) s"
}

install_gateway() {
  if [ -n "$source" ]; then
    install_source
  else
    install_release
  fi
}

# look_up_release LOG: as gateway::look_up, for the wanted release; ends the job if the release is not available.
look_up_release() {
  local newest
  gateway::look_up "$1" "$release" "$TMP/release" "$(python_for_uv)" "$UV" && return 0
  grep -q "no version of $GATEWAY_PACKAGE" "$1" || fail "$1" "gateway $release could not be looked up" "$ASK_NETWORK"
  newest=$(newest_release "$1")
  log::die 2 "gateway $release does not exist${newest:+, the newest is $newest}: set GATEWAY_VERSION (stack.gateway.version in config.yaml) to a release of $GATEWAY_PACKAGE"
}

install_release() {
  local log lock python packages=committed asked=${GATEWAY_DEPENDENCIES_DATE:-} day problem pythons found began=$SECONDS
  local target=$TOOLS/gateway/$release
  log=$(new_log "gateway-$release")
  if lock=$(gateway::committed_lock "$release"); then
    log::info "gateway $release: installing into .tools/gateway/$release, with the packages of ${lock#"$ROOT/"}"
    pythons=$(gateway::lock_pythons "$lock")
    use_python "$pythons"
  else
    found=$(look_up_release "$log") || exit 2
    pythons=${found%|*} day=${found#*|}
    packages="of ${day:-today}"
    if [ -n "$asked" ]; then
      packages="asked $asked"
      [[ ! $asked < $day ]] \
        || log::die 2 "gateway $release is of $day, younger than $asked: set GATEWAY_DEPENDENCIES_DATE to a later day, or leave it out"
      day=$asked
    elif [ -z "$day" ]; then
      log::warn "gateway $release: the package index does not say when it was published, so it gets today's packages; GATEWAY_DEPENDENCIES_DATE sets another day"
    fi
    log::info "gateway $release: installing into .tools/gateway/$release, with the packages of ${day:-today}"
    use_python "$pythons"
    lock=$TOOLS/gateway-locks/$release.${packages// /-}.lock
    if [ ! -f "$lock" ] || [ -z "$day" ]; then
      gateway::requirements "$release" >"$TMP/gateway.in"
      resolve "$log" "$lock" "$day" "$TMP/gateway.in" \
        || fail "$log" "the packages of gateway $release could not be resolved" "$ASK_NETWORK"
    fi
  fi
  fill_environment "$log" "$target" "$lock" \
    || fail "$log" "gateway $release, which needs Python ${pythons// / or }: $problem" \
      "install such a Python, $ASK_NETWORK, or choose another GATEWAY_VERSION (stack.gateway.version in config.yaml)"
  write_stamp "$target" "$(gateway::stamp "$release" "$packages" "$lock")"
  log::ok "gateway $release: ready after $((SECONDS - began)) s"
}

# needs_uv PART
needs_uv() {
  case $1 in
    uv | python | gateway) return 0 ;;
    chartjs) ! tools::npm >/dev/null ;;
    *) return 1 ;;
  esac
}

# install_missing PART...: installs the requested and missing parts in parallel. Sets `result` to 2 if one fails.
result=0
install_missing() {
  local part jobs=() job
  find_missing "$@"
  [ ${#missing[@]} -gt 0 ] || return 0
  begin
  find_missing "$@" # another set-up may have installed them meanwhile
  for part in ${missing[@]+"${missing[@]}"}; do
    ! needs_uv "$part" || use_uv
  done
  for part in ${missing[@]+"${missing[@]}"}; do
    [ "$part" != uv ] || continue
    (install_"$part") &
    jobs+=("$!")
  done
  for job in ${jobs[@]+"${jobs[@]}"}; do
    wait "$job" || result=2
  done
}

# work: installs everything requested.
work() {
  install_missing uv python chartjs
  if is_asked hey || is_asked gateway; then
    is_there python || exit 2
    read_settings
    install_missing hey gateway
  fi
  if is_asked chartjs && [ -f "$TOOLS/chartjs.failed" ]; then
    log::warn "reports come without charts, Chart.js is missing: $(cat "$TOOLS/chartjs.failed"); to try again: utils/setup.sh chartjs"
  fi
  [ "$result" -ne 0 ] || log::ok "set-up is complete:$asked"
  exit "$result"
}

main() {
  cleanup::install
  read_arguments "$@"
  check_date
  cleanup::push clean_up
  trap 'on_signal HUP 129' HUP
  trap 'on_signal INT 130' INT
  trap 'on_signal TERM 143' TERM
  set -m # start it in its own process group
  work </dev/null &
  set +m
  wait "$!"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  main "$@"
fi
