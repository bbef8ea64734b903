#!/usr/bin/env -S bash -p
# Measure under several load profiles, one after the other, and write one report over all.
set -euo pipefail +o posix
SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also through a link
# shellcheck source=utils/lib/runner.sh
. "$(dirname -- "$SELF")/utils/lib/runner.sh" || exit 2
runner::main profile-sweep "$@"
