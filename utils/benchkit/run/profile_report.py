"""Turn a CPU profile's raw/ directory into its documents."""

from __future__ import annotations

from pathlib import Path

from benchkit import store
from benchkit.profiling.analysis import analyse
from benchkit.profiling.document import Profile
from benchkit.profiling.text import summary
from benchkit.report.profile_page import profile_page


def write_profile(directory: Path, interrupted: int | None = None) -> tuple[Profile, str]:
    """Write profile.json, profile.txt and profile.html; return the document and its summary.

    Raises:
        UserError: as :func:`analyse`; also when a file cannot be written.
    """
    profile = analyse(directory, interrupted)
    text = "\n".join(summary(profile)) + "\n"
    store.save(directory / "profile.json", profile)
    store.write_text(directory / "profile.txt", text)
    store.write_text(directory / "profile.html", profile_page(profile))
    return profile, text
