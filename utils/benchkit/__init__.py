"""The library behind the programs in ``utils/``: documents, settings, and the rooms that work on them.

Imports point down this list, and never sideways between rooms except through :mod:`benchkit.model`:
rooms (``report``, ``verdict``, ``load``, ``stack``, ``gateway``), ``store``, ``settings``, ``model``, ``errors``.
"""

from benchkit.isolation import begin

__version__ = "0.1.0"

begin()
