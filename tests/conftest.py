"""Hypothesis profiles: quick by default, ``HYPOTHESIS_PROFILE=long`` for CI's deep run."""

import os

from hypothesis import HealthCheck, settings

# No deadline for one example: the machines are shared, and a slow moment is no finding. The quick run tries the
# same examples each time, so that what turns red is what was changed; new ones are for the deep run to find.
settings.register_profile("quick", max_examples=60, deadline=None, derandomize=True)
settings.register_profile(
    "long", max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
