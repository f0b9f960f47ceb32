"""Settings of the whole suite."""

from __future__ import annotations

from hypothesis import settings

# On a busy machine one example in a hundred takes long for reasons of its own; growth is measured in tests/perf.
settings.register_profile("prooftape", deadline=None)
settings.load_profile("prooftape")
