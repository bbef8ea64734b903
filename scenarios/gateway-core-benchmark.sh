#!/usr/bin/env -S bash -p
# The gateway's own work: health, middleware, listings, SSE, and what it adds to a tool call.
set -euo pipefail +o posix
SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also through a link
# shellcheck source=utils/lib/runner.sh
. "$(dirname -- "$SELF")/../utils/lib/runner.sh" || exit 2
runner::main scenario/gateway-core "$@"
