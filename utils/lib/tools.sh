# shellcheck shell=bash
# tools.sh - what the toolkit installs below the checkout, and whether it is there. A library: pins and functions.
#
# Read by setup.sh (which installs), doctor.sh (which only looks) and lock.sh. Needs ROOT, the checkout's absolute path.
# Nothing here writes, asks the network, or takes noticeable time.
#
#   .tools/uv/bin/uv           uv, where there is none on PATH
#   .tools/bin/hey             hey, where there is none on PATH
#   .tools/bats/bin/bats       bats, where there is none on PATH (only for `make check`)
#   .tools/chartjs/            chart.umd.js and its licence
#   .tools/axe/                axe.min.js and its licence (only for `make check`)
#   .tools/gateway/VERSION/    an environment for each gateway release
#   .venv/                     the toolkit's own environment
#
# A thing counts as installed only when its stamp says so. The stamp is written last, so what an interrupted set-up left
# behind has none.

# uv: the release that is installed here, and the oldest one on PATH that will do (what setup.sh asks of it was tried
# with both).
TOOLS_UV_PIN=0.13.9
TOOLS_UV_MINIMUM=0.5.0
TOOLS_PYTHON_MINIMUM=3.11
TOOLS_GATEWAY_PACKAGE=mcp-contextforge-gateway
TOOLS_GATEWAY_DRIVERS=('psycopg[binary]' redis)
TOOLS_STAMP=.setup-stamp

# tools::at_least MINIMUM VERSION: compares dotted numbers; what follows a number (3.14.0a2, 1.0.7.post1) is ignored.
tools::at_least() {
  local minimum=$1. version=$2. wanted had
  while [ -n "$minimum" ]; do
    wanted=${minimum%%.*} had=${version%%.*}
    minimum=${minimum#*.} version=${version#*.}
    had=${had%%[!0-9]*}
    [ "${had:-0}" -gt "$wanted" ] && return 0
    [ "${had:-0}" -lt "$wanted" ] && return 1
  done
  return 0
}

# tools::digest BITS [FILE...]: SHA-2 of the files (or of stdin) as one text, in hexadecimal.
tools::digest() {
  local bits=$1 output
  shift
  if command -v "sha${bits}sum" >/dev/null 2>&1; then
    output=$(cat -- "$@" | "sha${bits}sum") || return
  else
    output=$(cat -- "$@" | shasum -a "$bits") || return
  fi
  printf '%s\n' "${output%% *}"
}

# tools::stamped DIRECTORY TEXT: does the directory carry a stamp with this text?
tools::stamped() {
  [ -f "$1/$TOOLS_STAMP" ] && [ "$(cat "$1/$TOOLS_STAMP")" = "$2" ]
}

# tools::python_version PROGRAM: prints 3.12.1 for "Python 3.12.1"; fails for what is no Python or does not start.
tools::python_version() {
  local output
  output=$("$1" --version 2>/dev/null) || return 1
  case $output in
    Python\ [0-9]*) printf '%s\n' "${output#Python }" ;;
    *) return 1 ;;
  esac
}

# tools::python: prints the path of a Python that is new enough.
tools::python() {
  local name path version
  for name in python3 python3.13 python3.12 python3.11 python3.14 python; do
    path=$(command -v "$name") || continue
    version=$(tools::python_version "$path") || continue
    tools::at_least "$TOOLS_PYTHON_MINIMUM" "$version" || continue
    printf '%s\n' "$path"
    return 0
  done
  return 1
}

# tools::uv_version PROGRAM: prints 0.13.9 for "uv 0.13.9 (x86_64-unknown-linux-gnu)".
tools::uv_version() {
  local output
  output=$("$1" --version 2>/dev/null) || return 1
  case $output in
    uv\ [0-9]*) output=${output#uv } ;;
    *) return 1 ;;
  esac
  printf '%s\n' "${output%% *}"
}

# tools::uv: prints the path of a usable uv: the one on PATH when it is new enough, else the one installed here.
tools::uv() {
  local path version
  if path=$(command -v uv) && version=$(tools::uv_version "$path") && tools::at_least "$TOOLS_UV_MINIMUM" "$version"; then
    printf '%s\n' "$path"
  elif tools::stamped "$ROOT/.tools/uv" "uv $TOOLS_UV_PIN" && [ -x "$ROOT/.tools/uv/bin/uv" ]; then
    printf '%s\n' "$ROOT/.tools/uv/bin/uv"
  else
    return 1
  fi
}

# tools::bats: prints the path of bats: the one on PATH, else the one installed here.
tools::bats() {
  command -v bats && return 0
  [ -x "$ROOT/.tools/bats/bin/bats" ] || return 1
  printf '%s\n' "$ROOT/.tools/bats/bin/bats"
}

# tools::is_hey PROGRAM: is it the load generator, new enough, and does it start? (It has no --version; its usage exits
# 1. Before a run utils/benchkit/load/hey_program.py looks closer.)
tools::is_hey() {
  local output
  output=$("$1" 2>&1 </dev/null) || true
  case $output in
    *'hey [options...] <url>'*-disable-redirects*) return 0 ;;
    *) return 1 ;;
  esac
}

# tools::hey: prints the path of hey: what PERF_HEY or performance.hey_binary of config.yaml names, else the one on PATH,
# else the one installed here.
tools::hey() {
  local name path
  name=${PERF_HEY:-$(tools::config_value performance.hey_binary)}
  for name in ${name:+"$name"} hey "$ROOT/.tools/bin/hey"; do
    if path=$(command -v "$name") && tools::is_hey "$path"; then
      printf '%s\n' "$path"
      return 0
    fi
  done
  return 1
}

# tools::npm: prints the path of an npm that starts.
tools::npm() {
  local path
  path=$(command -v npm) && "$path" --version >/dev/null 2>&1 || return 1
  printf '%s\n' "$path"
}

# tools::python_stamp runtime|dev: the stamp of the toolkit's environment. An environment cannot be moved, so the
# checkout's place belongs to it. The development environment has everything of the other one.
tools::python_stamp() {
  printf '%s at %s\n' "$1" "$ROOT"
  tools::digest 256 "$ROOT/requirements.lock"
  [ "$1" = runtime ] || tools::digest 256 "$ROOT/requirements-dev.lock"
}

# tools::python_state runtime|dev: prints ok, missing (nothing there, or half of it), or old (from other locks, or
# without the development tools).
tools::python_state() {
  local venv=$ROOT/.venv
  if [ ! -x "$venv/bin/python" ] || [ ! -f "$venv/$TOOLS_STAMP" ] || ! grep -qxF -e "runtime at $ROOT" -e "dev at $ROOT" "$venv/$TOOLS_STAMP"; then
    echo missing
  elif tools::stamped "$venv" "$(tools::python_stamp dev)"; then
    echo ok
  elif [ "$1" = runtime ] && tools::stamped "$venv" "$(tools::python_stamp runtime)"; then
    echo ok
  else
    echo old
  fi
}

# tools::pinned_state FILE PIN: prints ok, missing, or old (another release than utils/PIN names), of what was installed
# into the file's directory.
tools::pinned_state() {
  local stamp=${1%/*}/$TOOLS_STAMP
  if [ ! -s "$1" ] || [ ! -f "$stamp" ]; then
    echo missing
  elif cmp -s "$stamp" "$ROOT/utils/$2"; then
    echo ok
  else
    echo old
  fi
}

tools::chartjs_state() {
  tools::pinned_state "$ROOT/.tools/chartjs/chart.umd.js" chartjs.pin
}

tools::axe_state() {
  tools::pinned_state "$ROOT/.tools/axe/axe.min.js" axe.pin
}

# tools::config_value KEY: prints the value of a key of config.yaml, like stack.gateway.version; nothing when it is not
# there. Read line by line, since set-up runs before anything is there that reads YAML.
tools::config_value() {
  awk -v wanted="$1" '
    match($0, /^ *[a-z_]+:/) {
      depth = 0
      while (substr($0, 2 * depth + 1, 2) == "  ") depth++
      name[depth] = substr($0, 2 * depth + 1, RLENGTH - 2 * depth - 1)
      path = name[0]
      for (i = 1; i <= depth; i++) path = path "." name[i]
      if (path == wanted) {
        value = substr($0, RLENGTH + 1)
        sub(/^ */, "", value)
        quote = substr(value, 1, 1)
        if (quote == "\"" || quote == "\047") { value = substr(value, 2); sub(quote ".*", "", value) }
        else sub(/ *(#.*)?$/, "", value)
        print value
        exit
      }
    }
  ' "${PERF_CONFIG:-$ROOT/config.yaml}"
}

# tools::gateway_version: prints the gateway release that is wanted: GATEWAY_VERSION, else stack.gateway.version of
# config.yaml.
tools::gateway_version() {
  if [ -n "${GATEWAY_VERSION:-}" ]; then
    printf '%s\n' "$GATEWAY_VERSION"
  else
    tools::config_value stack.gateway.version
  fi
}

# tools::gateway_source: prints the wheel or checkout of the gateway that is run instead of a release, as an absolute
# path without links: GATEWAY_SOURCE, else stack.gateway.source of config.yaml; nothing when a release is run (none).
tools::gateway_source() {
  local source=${GATEWAY_SOURCE:-$(tools::config_value stack.gateway.source)} directory
  # shellcheck disable=SC2088 # a tilde of config.yaml, which no shell has seen
  case $source in
    '' | none) return 0 ;;
    '~/'*) source=$HOME/${source#'~/'} ;;
    /*) ;;
    *) source=$ROOT/$source ;;
  esac
  if [ -d "$source" ]; then
    (cd "$source" && pwd -P)
  else
    directory=$(cd "$(dirname "$source")" 2>/dev/null && pwd -P) || directory=$(dirname "$source")
    printf '%s\n' "${directory%/}/$(basename "$source")"
  fi
}

# tools::gateway_name: prints the name of the wanted gateway's environment below .tools/gateway: the release, or for a
# build of one's own what utils/benchkit/stack/topology.py calls it as well.
tools::gateway_name() {
  local source digest
  source=$(tools::gateway_source)
  if [ -z "$source" ]; then
    tools::gateway_version
  else
    digest=$(printf '%s' "$source" | tools::digest 256)
    printf 'source-%s\n' "${digest:0:12}"
  fi
}

# tools::source_state: prints ok, missing, or old (a file of the source is newer than what was built of it).
tools::source_state() {
  local source directory
  source=$(tools::gateway_source)
  directory=$ROOT/.tools/gateway/$(tools::gateway_name)
  if [ ! -x "$directory/bin/python" ] || ! grep -qF " of $source at $ROOT" "$directory/$TOOLS_STAMP" 2>/dev/null; then
    echo missing
  elif [ -n "$(find "$source" \( -name .git -o -name '.venv*' -o -name node_modules -o -name __pycache__ -o -name build \
    -o -name '*.egg-info' \) -prune -o -type f -newer "$directory/$TOOLS_STAMP" -print 2>/dev/null | head -n 1)" ]; then
    echo old
  else
    echo ok
  fi
}

# tools::gateway_date: prints the day whose packages the release is installed with; empty: today's. A release keeps the
# dependencies of its time (gateway-dependencies.pin): most old ones do not start with today's, and two runs of one
# release are comparable only with the same.
tools::gateway_date() {
  local wanted release date
  if [ -n "${GATEWAY_DEPENDENCIES_DATE:-}" ]; then
    printf '%s\n' "$GATEWAY_DEPENDENCIES_DATE"
    return
  fi
  wanted=$(tools::gateway_source)
  case $wanted in
    '') wanted=$(tools::gateway_version) ;;
    *.whl) # NAME-VERSION-TAGS.whl
      wanted=${wanted##*/}
      wanted=${wanted#*-}
      wanted=${wanted%%-*}
      ;;
    *) return 0 ;;
  esac
  while read -r release date; do
    if [ "$release" = "$wanted" ]; then
      printf '%s\n' "$date"
      return
    fi
  done <"$ROOT/utils/gateway-dependencies.pin"
}

# tools::gateway_stamp VERSION DATE: the stamp of a gateway's environment.
tools::gateway_stamp() {
  printf '%s==%s %s of %s at %s\n' "$TOOLS_GATEWAY_PACKAGE" "$1" "${TOOLS_GATEWAY_DRIVERS[*]}" "${2:-today}" "$ROOT"
}

# tools::gateway_state VERSION DATE: prints ok, missing, or old (dependencies of another date, an older build).
tools::gateway_state() {
  local directory=$ROOT/.tools/gateway/$1
  if [ -n "$(tools::gateway_source)" ]; then
    tools::source_state
    return
  fi
  if [ ! -x "$directory/bin/python" ] || [ ! -f "$directory/$TOOLS_STAMP" ]; then
    echo missing
  elif tools::stamped "$directory" "$(tools::gateway_stamp "$1" "$2")"; then
    echo ok
  else
    echo old
  fi
}
