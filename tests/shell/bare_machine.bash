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
    sleep touch sha256sum sha512sum shasum tr tar gzip df awk getconf make mktemp find sort uname wc flock perl ps; do
    if path=$(type -P "$name"); then
      found+=("$path")
    fi
  done
  mkdir "$BATS_FILE_TMPDIR/bin"
  ln -s "${found[@]}" "$BATS_FILE_TMPDIR/bin/"
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
  cp "$SOURCE/utils/uv.pin" "$SOURCE/utils/nodejs.pin" "$CHECKOUT/utils/"
  cp "$SOURCE/config.yaml" "$CHECKOUT/"
  # The machine's own Pythons outside PATH are not this one's.
  printf "TOOLS_SYSTEM_PYTHONS='%s'\n" "$PARTS/opt/*/bin" >>"$CHECKOUT/utils/lib/tools.sh"
  mkdir "$CHECKOUT/utils/gateway-locks"
  gateway_lock 1.1.0 3.12 3.13
  gateway_lock 1.0.7 3.11 3.12 3.13
  printf 'one==1.0\n' >"$CHECKOUT/requirements.lock"
  printf 'one==1.0\ntwo==2.0\n' >"$CHECKOUT/requirements-dev.lock"
  PATH=$STUBS:$BATS_FILE_TMPDIR/bin
  chartjs_package 'charts()'
  unset VIRTUAL_ENV XDG_CACHE_HOME XDG_DATA_HOME PYENV_ROOT ASDF_DATA_DIR MISE_DATA_DIR PROFILE PERF_CONFIG UV_CACHE_DIR UV_PYTHON_INSTALL_DIR PERF_HEY GATEWAY_VERSION GATEWAY_SOURCE GATEWAY_DEPENDENCIES_DATE \
    LOG_LEVEL SETUP_PATIENCE
  cd "$CHECKOUT" || return
}

# gateway_lock RELEASE PYTHON...: the committed lock of a release.
gateway_lock() {
  local release=$1
  shift
  printf '# Python: %s\nmcp-contextforge-gateway==%s\n' "$*" "$release" >"$CHECKOUT/utils/gateway-locks/$release.lock"
}

# chartjs_package TEXT: npm's tarball in small, and the pin that fits it.
chartjs_package() {
  local digest package=$PARTS/chart.js/package
  mkdir -p "$package/dist"
  echo "$1" >"$package/dist/chart.umd.min.js"
  echo 'a licence' >"$package/LICENSE.md"
  tar -czf "$PARTS/chart.js-4.0.0.tgz" -C "$PARTS/chart.js" package
  digest=$({ sha512sum || shasum -a 512; } <"$PARTS/chart.js-4.0.0.tgz" 2>/dev/null)
  printf '4.0.0\nsha512 %s\n' "${digest%% *}" >"$CHECKOUT/utils/chartjs.pin"
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

# has_python VERSION [NAME] [DIRECTORY]: a Python with the venv module and pip; NO_VENV=1 and NO_PIP=1 take them away,
# FAIL_PIP=1 is a network that is not there.
has_python() {
  mkdir -p "${3:-$STUBS}"
  stub "${2:-python3}" "${3:-}" <<END
case "\$*" in
  "-I -c "*) echo "$1" ;;
  "-m venv "*)
    mkdir -p "\$3/bin"
    [ -z "\${NO_VENV:-}" ] || { echo "ensurepip is not available" >&2; exit 1; }
    cp "\$0" "\$3/bin/python" ;;
  "-m pip --version") [ -z "\${NO_PIP:-}" ] ;;
  *"pip install --target "*" --require-hashes -r "*/utils/uv.pin)
    while [ "\$1" != --target ]; do shift; done
    mkdir -p "\$2/bin"
    cp "$PARTS/uv" "\$2/bin/uv" ;;
  "-m pip install "*" --require-hashes -r "*/utils/uv.pin)
    [ -z "\${FAIL_PIP:-}" ] || { echo "ERROR: No matching distribution found for uv" >&2; exit 1; }
    cp "$PARTS/uv" "\${0%/*}/uv" ;;
  *) wrong "\$@" ;;
esac
END
}

# has_uv VERSION [DIRECTORY]: a uv that makes environments of stub Pythons. FAIL_UV=WORDS lets calls with those words
# fail, SLOW_UV=WORDS lets them hang, with their pid in $PARTS/slow.
#
# The Pythons of environments read the settings of the checkout by the toolkit's own program, so that there is one reader.
has_uv() {
  cat >"$PARTS/python-of-environments" <<END
#!$BATS_FILE_TMPDIR/bin/bash
[ "\$1 \${2##*/}" = "-Es wanted.py" ] || exit 99
PERF_CONFIG=\${PERF_CONFIG:-\${2%/utils/wanted.py}/config.yaml} exec "$SOURCE/.venv/bin/python" "$SOURCE/utils/wanted.py"
END
  chmod +x "$PARTS/python-of-environments"
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
    cp "$PARTS/python-of-environments" "\$5/bin/python" ;;
  "pip sync --python "*" --require-hashes "*)
    [ -x "\$4" ] || wrong "\$@"
    cp "\$6" "\${4%/bin/python}/installed"
    case "\$6" in
      */nodejs.pin) # which brings npm
        printf '#!$BATS_FILE_TMPDIR/bin/bash\necho "npm of wheel \$*" >>"$CALLS"\n[ "\$1" = pack ] && cp "$PARTS/\$(sed s/@/-/ <<<"\$3").tgz" .\n' >"\${4%/python}/npm"
        chmod +x "\${4%/python}/npm" ;;
      */source-*) ! grep -q '\.whl$' "\$6" || mkdir -p "\${4%/bin/python}/lib/python3.11/site-packages/mcp_contextforge_gateway-1.0.9.dist-info" ;;
    esac ;;
  "pip compile --quiet --no-deps --format pylock.toml --python "*" --python-version 3.15 -")
    read -r wanted
    case "\$wanted" in
      mcp-contextforge-gateway==9.*)
        echo "  cause: Because there is no version of \$wanted and you require it, ..." >&2; exit 1 ;;
      mcp-contextforge-gateway==[01].*) ;;
      *) wrong "\$wanted" ;;
    esac
    [ -n "\${NO_DAY:-}" ] || echo 'sdist = { upload-time = 2025-11-02T01:02:03Z }, wheels = [{ upload-time = 2025-11-01T23:59:59Z }]' ;;
  "pip install --quiet --no-deps --target "*" --python-version 3.15 mcp-contextforge-gateway=="*)
    mkdir -p "\$6/mcp_contextforge_gateway-1.dist-info"
    echo "Requires-Python: \${REQUIRES:-<3.14,>=3.11}" >"\$6/mcp_contextforge_gateway-1.dist-info/METADATA" ;;
  "pip compile --quiet --no-deps --no-header --python "*" --python-version 3.15 -")
    echo 'mcp-contextforge-gateway==1.1.0' ;;
  "pip compile --quiet --no-header --no-annotate --no-emit-index-url --generate-hashes --python "*" --output-file "*)
    printf 'resolved %s\n' "\$*" >>"\$CALLS"
    while [ "\$1" != --output-file ]; do shift; done
    output=\$2
    shift 2
    cat "\$@" >"\$output" ;;
  "pip install --python "*" --no-deps "*/other) ;; # a package that is no gateway
  "pip install --python "*" --no-deps "*) # a checkout of it
    mkdir -p "\${4%/bin/python}/lib/python3.11/site-packages/mcp_contextforge_gateway-1.0.9.dist-info" ;;
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
  update) grep -q 'Dir::State::lists ".*/.tools/tmp[.]' "$2" || wrong "$@" ;;
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
