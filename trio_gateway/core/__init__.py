"""The pure floor: bytes, text or ``now`` in, values out.

No await, no clock, no I/O.
"""
