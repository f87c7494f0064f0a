# SPDX-License-Identifier: ISC
"""The short run of the experiments: the same code as `make torture`, few rounds, always the same seed."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import experiment                                       # noqa: E402
from torture import all_experiments                     # noqa: E402


@pytest.mark.parametrize("name", [one.name for one in all_experiments().values() if one.short])
def test_nothing_is_lost(name):
    one = experiment.TABLE[name]
    try:
        print(one.run(2026, one.short))
    except experiment.Skip as reason:
        pytest.skip(str(reason))
