"""What every test may use; the clusters' fixtures live in `tests/cluster/fixtures.py`."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.cluster.fixtures"]

# A busy machine is no bug: speed belongs to tests/bench. `derandomize` makes a run the same as the one before it.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.load_profile("tests")
