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


@pytest.fixture
def tmp_path(tmp_path):
    """Daemons that have given up root look into it too."""
    for directory in (tmp_path, *tmp_path.parents):
        if directory == Path(tempfile.gettempdir()):
            break
        directory.chmod(0o755)
    return tmp_path


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("root") and not IS_ROOT:
            item.add_marker(pytest.mark.skip(reason="needs root"))


def pytest_configure(config):
    config.addinivalue_line("markers", "root: needs to run as root")
