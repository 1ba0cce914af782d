"""What every test may use; the clusters' fixtures live in `tests/cluster/fixtures.py`."""

pytest_plugins = ["tests.cluster.fixtures"]
