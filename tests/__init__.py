"""Tests of twisted_rapi."""

from hypothesis import HealthCheck, settings

# How long an example takes says nothing on a machine that does other things, too, or measures coverage.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
