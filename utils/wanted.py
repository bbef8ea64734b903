#!/usr/bin/env -S python3 -Es
"""Print the settings that set-up needs, for utils/lib/tools.sh: one line NAME=VALUE each.

hey              the program of the load generator (performance.hey_binary)
version          the release of the gateway, or "newest" (stack.gateway.version)
releases         the releases that "newest" may become, newest first, separated by blanks
source           the absolute path of the wheel or checkout that runs instead (stack.gateway.source)
source-name      the name of its environment below .tools/gateway
source-day       the day on which the wheel was built (YYYY-MM-DD), if its files have a time
source-requires  the Python versions that it allows, in the form of Requires-Python
"""

from __future__ import annotations

import argparse

from benchkit.errors import ExitCode, UserError, run_program
from benchkit.settings import load_settings
from benchkit.stack.releases import required_python, source_name, source_path, tested_releases, wheel_day


def main() -> ExitCode:
    """Print them."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    config = load_settings().config
    gateway = config.stack.gateway
    said = {
        "hey": config.performance.hey_binary,
        "version": gateway.version,
        "releases": " ".join(tested_releases()),
    }
    if gateway.source:
        path = source_path(gateway.source)
        said["source"] = str(path)
        said["source-name"] = source_name(path)
        said["source-day"] = wheel_day(path)
        said["source-requires"] = required_python(path)
    for name, value in said.items():
        if not value.isprintable():
            raise UserError(f"{name} {value!r}: has a character that no name of a file or a version may have")
        print(f"{name}={value}")
    return ExitCode.OK


if __name__ == "__main__":
    run_program(main)
