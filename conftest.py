"""What pytest reads before an audit and before the tests: it imports pytest and nothing else."""

# pytest allows this line in the topmost conftest.py alone.
pytest_plugins = ["pytester"]
