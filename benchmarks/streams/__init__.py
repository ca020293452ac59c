"""Benchmark of streams: loads the gateway and other gateways alike, in one run.

``./run bench`` measures everything, ``./run bench p3`` one figure, ``./run bench --quick`` a selection.
"""
