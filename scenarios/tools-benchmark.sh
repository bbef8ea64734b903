#!/usr/bin/env -S bash -p
# List and call tools: GET /tools with limits, tools/list and tools/call over /rpc.
set -euo pipefail +o posix
SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also through a link
# shellcheck source=utils/lib/runner.sh
. "$(dirname -- "$SELF")/../utils/lib/runner.sh" || exit 2
runner::main scenario/tools "$@"
