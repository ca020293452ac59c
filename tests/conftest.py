"""Hypothesis profiles: quick by default, ``HYPOTHESIS_PROFILE=long`` for CI's deep run."""

import os

from hypothesis import HealthCheck, settings

# No deadline for one example: the machines are shared, and a slow moment is no finding.
settings.register_profile("quick", max_examples=60, deadline=None)
settings.register_profile(
    "long", max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
