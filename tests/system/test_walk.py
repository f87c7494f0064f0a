# SPDX-License-Identifier: ISC
"""Short random walks over all verbs (walk.py); make walk does a million steps."""

import pytest

import instance
from instance import SANITIZED
from walk import walk

STEPS = 25_000 if not SANITIZED else 5_000


@pytest.mark.parametrize("rude", [False, True], ids=["polite", "rude"])
@pytest.mark.parametrize("seed", [20_230_818, None], ids=["the usual seed", "a new seed"])
def test_a_random_walk_over_all_verbs_obeys_the_model(seed, rude):
    seed = seed or instance.seed()
    done, _, messages = walk(STEPS, seed, rude)         # what goes wrong names the seed
    assert done >= STEPS and messages > STEPS // 200
