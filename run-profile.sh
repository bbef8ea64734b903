#!/usr/bin/env -S bash -p
# Say where the gateway's time goes: sample it with py-spy while one case runs, and write a page with a flame graph, the
# shares of middleware, database, serialization …, and what was on the stack when the slowest requests waited.
#
# usage: ./run-profile.sh --case SCENARIO/NAME [option...]
#
#   --case SCENARIO/NAME             the case, like tools/list_limit_50
#   --rate N                         samples a second (profiling.rate of config.yaml: 25)
#   --pairs N                        rounds with the sampler, and as many without it (profiling.pairs: 2)
#   --python-only                    without the frames of compiled code: costs less, and garbage collection is not seen
#   --profile NAME                   load profile (default: light)
#   --requests N                     per round (profiling.requests: 500)
#   --concurrency N  --timeout SECONDS    instead of the profile's values
#   --results-dir DIR                where it is written (default: results)
#
# The gateway has to be the local stack's; it is started where none runs, and stopped afterwards. Half of the rounds run
# under the sampler, which slows the gateway down, so a profiled run joins no baseline and is held against none.
#
# exit: 0 written; 2 usage, configuration, a service that is not there, or a gateway that cannot be sampled; 3 measurement
#       invalid: the case's work did not happen; 130, 143 interrupted: what was sampled is kept and marked
set -euo pipefail +o posix
shopt -s inherit_errexit 2>/dev/null || true

SELF=$(readlink -f -- "${BASH_SOURCE[0]}" 2>/dev/null) || SELF=${BASH_SOURCE[0]} # also through a link
# shellcheck source=utils/lib/load.sh
. "$(dirname -- "$SELF")/utils/lib/load.sh" || exit 2
# shellcheck source=utils/lib/profile.sh
. "$LOAD_ROOT/utils/lib/profile.sh" || exit 2

main() {
  profile::main "${BASH_SOURCE[0]}" "$@"
}

[ "${BASH_SOURCE[0]}" != "$0" ] || main "$@"
