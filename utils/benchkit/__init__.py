"""The library behind the programs in ``utils/``: documents, settings, and the packages that work on them.

Imports go only down this list, and packages on the same level share nothing but :mod:`benchkit.model`:
packages (``report``, ``verdict``, ``load``, ``stack``, ``gateway``), ``store``, ``settings``, ``model``, ``errors``.
"""

from benchkit.isolation import begin

__version__ = "0.1.0"

begin()
