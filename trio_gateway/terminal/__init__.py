"""Terminal client: reaches the gateway over the network alone.

``Answer`` makes sense of events and does no I/O; ``Screen`` knows the two output streams and no network;
``ask`` drives both, over HTTP or over WebSocket, and ``repl`` and ``command_line`` call that. One answer
is one ``trio.run``: between answers there is only a line to read, and Ctrl-C there needs no event loop.

On a terminal an answer goes from ``blocks`` (what no later text can change) over ``text`` (rows) to a
``Region`` (rows at the terminal's end, the last ones live); elsewhere ``plain`` writes it as it comes.

Everything a model or server sends is foreign text: its control characters never reach a terminal. They are
dropped, or written as escapes with ``--json`` and ``--raw``. A program that reads ``--raw`` gets every byte
as it came.
"""
