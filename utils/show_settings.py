#!/usr/bin/env -S python3 -Es
"""Show every setting, its value, and the source of the value: flag, environment, profile or config.yaml.

show_settings.py                                   all settings (for the scenarios' cases see config.yaml)
show_settings.py stack.gateway.version             only the value of one key
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import Any

from benchkit.disclosure import shown_setting
from benchkit.errors import ExitCode, UserError, run_program
from benchkit.settings import SECRET_KEYS, Settings, add_arguments, from_arguments
from benchkit.stack.topology import text_of


def main() -> ExitCode:
    """Print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("key", nargs="?", metavar="KEY", help="print only this one's value")
    add_arguments(parser)
    arguments = parser.parse_args()
    settings = from_arguments(arguments)
    values = dict(_values(settings))
    if arguments.key is not None:
        if arguments.key not in values:
            raise UserError(f"{arguments.key}: there is no such key; utils/show_settings.py lists them")
        print(values[arguments.key])
        return ExitCode.OK
    width = max(map(len, values))
    for key, value in values.items():
        sys.stdout.write(f"{key:<{width}}  {value!s:<40}  {settings.sources.get(key, 'config.yaml')}\n")
    return ExitCode.OK


def _values(settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and value of all settings except the scenarios' cases."""
    yield "profile", settings.profile
    yield "scenarios", ", ".join(settings.scenarios)
    data = settings.config.model_dump(exclude={"scenarios"})
    yield from _flat("", data)


def _flat(prefix: str, data: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and value and all(isinstance(inner, str) for inner in value):
            yield from _flat(f"{key}.", value)
        elif ".settings." in key:  # a gateway's environment variable
            yield key, shown_setting(name, text_of(value))
        else:
            yield key, "(set)" if key in SECRET_KEYS and value else value


if __name__ == "__main__":
    run_program(main)
