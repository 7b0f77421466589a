"""What holds for all tests of the repository. Not seen by mypy, for which integration/conftest.py has this name."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["ci_skips", "side_by_side"]

# A busy machine is no defect: no example has a time to keep to, and making one may take long.
settings.register_profile(
    "unhurried", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")
