"""Benchmark of streams: the gateway beside other gateways, under the same load, in the same run.

``./run bench`` measures everything, ``./run bench p3`` one figure, ``./run bench --quick`` a selection.
"""
