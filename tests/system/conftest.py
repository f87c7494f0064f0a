# SPDX-License-Identifier: ISC
import tempfile
from pathlib import Path

import pytest

from instance import IS_ROOT, Instance


@pytest.fixture
def instance():
    """instance(main={...}, master="...", ...) makes a started private instance that ends with the test."""
    made = []

    def make(*, start=True, **options):
        one = Instance(**options)
        made.append(one)
        return one.start() if start else one

    yield make
    first_error = None
    for one in made:
        try:
            one.close()
        except BaseException as error:      # close the others too
            first_error = first_error or error
    if first_error:
        raise first_error


class OpenDirectories:
    """pytest's own are closed to daemons that have given up root, and each run that starts closes those of the others."""

    def __init__(self, top):
        self.top = Path(top)
        self.top.chmod(0o755)

    def mktemp(self, name):
        directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.top))
        directory.chmod(0o755)
        return directory


@pytest.fixture(scope="session")
def tmp_path_factory():
    with tempfile.TemporaryDirectory(prefix="postroad-pytest-", ignore_cleanup_errors=True) as top:
        yield OpenDirectories(top)


@pytest.fixture
def tmp_path(tmp_path_factory):
    return tmp_path_factory.mktemp("case")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("root") and not IS_ROOT:
            item.add_marker(pytest.mark.skip(reason="needs root"))


def pytest_configure(config):
    config.addinivalue_line("markers", "root: needs to run as root")
