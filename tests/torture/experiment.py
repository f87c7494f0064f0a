# SPDX-License-Identifier: ISC
"""The table of experiments. @experiment(name, rounds=..., short=...) enters a function (seed, rounds) that raises when something was
lost, and returns words about what it saw. short: rounds in the run that ./check makes; 0: not there."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))     # instance.py, sink.py

TABLE = {}


class Skip(Exception):
    """It cannot be tried here; says why."""


class Experiment:
    def __init__(self, name, rounds, short, function):
        self.name, self.rounds, self.short, self.function = name, rounds, short, function
        self.what = (function.__doc__ or "").strip().splitlines()[0]

    def run(self, seed, rounds):
        return self.function(seed, rounds)


def experiment(name, rounds, short=0):
    def enter(function):
        TABLE[name] = Experiment(name, rounds, short, function)
        return function
    return enter
