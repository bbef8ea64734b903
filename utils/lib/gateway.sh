# shellcheck shell=bash
# gateway.sh - the wanted release of the gateway, its packages and Python, and whether it is installed.
# A library, read by setup.sh, doctor.sh and lock.sh after log.sh and tools.sh.
#
#   utils/gateway-locks/RELEASE.lock       the packages of a release that this toolkit was tested with, with hashes
#   .tools/gateway/RELEASE/                an environment for each release
#   .tools/gateway/source-DIGEST/          an environment for each wheel or checkout of the user
#   .tools/gateway-locks/NAME.lock         the packages of gateways without a committed lock, resolved by the first set-up

GATEWAY_PACKAGE=mcp-contextforge-gateway
# redis 7.2.0 cannot connect to a Unix socket: AttributeError in its very first command.
GATEWAY_DRIVERS=('psycopg[binary]' 'redis!=7.2.0')
GATEWAY_LOCKS=$ROOT/utils/gateway-locks
# The Pythons that a release may be able to run on; the release's package says which ones it supports.
GATEWAY_PYTHONS='3.11 3.12 3.13 3.14 3.15'

# gateway::requirements VERSION: prints the requirements to resolve together.
gateway::requirements() {
  printf '%s\n' "$GATEWAY_PACKAGE==$1" "${GATEWAY_DRIVERS[@]}"
}

# gateway::committed_lock VERSION: prints the path of the committed lock, unless the user wants packages of another day.
gateway::committed_lock() {
  [ -z "${GATEWAY_DEPENDENCIES_DATE:-}" ] && [ -f "$GATEWAY_LOCKS/$1.lock" ] || return 1
  printf '%s\n' "$GATEWAY_LOCKS/$1.lock"
}

# gateway::lock_pythons LOCK: prints the Pythons that a committed lock is for, like "3.12 3.13".
gateway::lock_pythons() {
  sed -n 's/^# Python: //p' "$1"
}

# gateway::release: prints the wanted release. "newest" becomes the newest release with a committed lock that is installed,
# or that a Python of this machine can run. Without any such Python it is the newest release, because uv may be able to
# download a Python for it. Needs tools::read_settings.
gateway::release() {
  local version releases release pythons=''
  version=$(tools::setting version)
  if [ "$version" = newest ]; then
    releases=$(tools::setting releases)
    version=${releases%% *}
    for release in $releases; do
      if [ "$(gateway::release_state "$release")" != ok ]; then
        pythons=${pythons:-$(tools::pythons)}
        tools::pick_python "$pythons" "$(gateway::lock_pythons "$GATEWAY_LOCKS/$release.lock")" >/dev/null || continue
      fi
      version=$release
      break
    done
  fi
  printf '%s\n' "$version"
}

# gateway::stamp VERSION PACKAGES LOCK: the stamp of a release's environment. PACKAGES says why it has these packages:
# "committed" (its committed lock), "of DAY" (the day of the release) or "asked DAY" (GATEWAY_DEPENDENCIES_DATE).
gateway::stamp() {
  printf '%s==%s at %s\npackages %s\nsha256 %s\n' "$GATEWAY_PACKAGE" "$1" "$ROOT" "$2" "$(tools::digest 256 "$3")"
}

# gateway::release_state VERSION: prints ok, missing, or old (installed with other packages than wanted now).
gateway::release_state() {
  local directory=$ROOT/.tools/gateway/$1 stamp wanted="packages of " lock
  stamp=$directory/$TOOLS_STAMP
  if [ ! -x "$directory/bin/python" ] || [ ! -f "$stamp" ]; then
    echo missing
  elif lock=$(gateway::committed_lock "$1"); then
    tools::stamped "$directory" "$(gateway::stamp "$1" committed "$lock")" && echo ok || echo old
  else
    [ -z "${GATEWAY_DEPENDENCIES_DATE:-}" ] || wanted="packages asked $GATEWAY_DEPENDENCIES_DATE"
    if grep -qxF "$GATEWAY_PACKAGE==$1 at $ROOT" "$stamp" && grep -q "^$wanted" "$stamp"; then
      echo ok
    else
      echo old
    fi
  fi
}

# gateway::source_state: prints ok, missing, or old (a file of the wheel or checkout is newer than the build).
gateway::source_state() {
  local source directory
  source=$(tools::setting source)
  directory=$ROOT/.tools/gateway/$(tools::setting source-name)
  if [ ! -x "$directory/bin/python" ] || ! grep -qF " of $source at $ROOT" "$directory/$TOOLS_STAMP" 2>/dev/null; then
    echo missing
  elif [ -n "$(find "$source" \( -name .git -o -name '.venv*' -o -name node_modules -o -name __pycache__ -o -name build \
    -o -name '*.egg-info' \) -prune -o -type f -newer "$directory/$TOOLS_STAMP" -print 2>/dev/null | head -n 1)" ]; then
    echo old
  else
    echo ok
  fi
}

# gateway::runs_on SPECIFIERS: prints the Pythons that a package's Requires-Python allows: "3.12 3.13" for "<3.14,>=3.12".
gateway::runs_on() {
  local minor specifier bound fits found=''
  for minor in $GATEWAY_PYTHONS; do
    fits=true
    for specifier in ${1//,/ }; do
      bound=${specifier##*[!0-9.]}
      case $specifier in
        '>='* | '~='*) tools::at_least "$bound" "$minor.99" || fits=false ;;
        '<='*) tools::at_least "$minor" "$bound" || fits=false ;;
        '<'*) ! tools::at_least "$bound" "$minor" || fits=false ;;
      esac
    done
    ! $fits || found="${found:+$found }$minor"
  done
  printf '%s\n' "$found"
}

# gateway::look_up LOG VERSION DIRECTORY PYTHON UV...: queries the package index about a release. Prints the Pythons that it
# runs on, then "|", then its publication day (empty if the index does not say): "3.12 3.13|2026-10-20". Fails if there is no
# such release, or no index; the log says which. DIRECTORY: where the release is unpacked, to read it. PYTHON: any
# interpreter, for uv.
gateway::look_up() {
  local log=$1 wanted=$GATEWAY_PACKAGE==$2 directory=$3 python=$4 answer day required runs_on newest=${GATEWAY_PYTHONS##* }
  shift 4
  printf '+ look up %s\n' "$wanted" >>"$log"
  # uv checks only the lower bound of Requires-Python, so a Python that is new enough for every release finds it.
  answer=$("$@" pip compile --quiet --no-deps --format pylock.toml --python "$python" --python-version "$newest" - \
    <<<"$wanted" 2>>"$log") || return 1
  day=$(sed -n 's/.*upload-time = \([0-9-]\{10\}\).*/\1/p' <<<"$answer" | sort | head -n 1)
  "$@" pip install --quiet --no-deps --target "$directory" --python "$python" --python-version "$newest" "$wanted" \
    >>"$log" 2>&1 || return 1
  required=$(sed -n 's/^Requires-Python: //p' "$directory/"mcp_contextforge_gateway-*.dist-info/METADATA | head -n 1)
  runs_on=$(gateway::runs_on "${required// /}")
  if [ -z "$runs_on" ]; then
    printf 'error: it requires Python %s, and none of %s is that\n' "$required" "$GATEWAY_PYTHONS" >>"$log"
    return 1
  fi
  printf '%s|%s\n' "$runs_on" "$day"
}
