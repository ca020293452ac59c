"""A deterministic simulation of the whole gateway: one seed is one schedule, and gives one trace.

See ``docs/simulation.md``. ``python -m tests.simulation --seeds 0:1000`` looks for violations;
``python -m tests.simulation --seed 7`` replays one schedule and prints its trace.
"""
