"""Stage of a run: keeps the upstream, the load generator and the measured servers."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.streams.gateway import gateway
from benchmarks.streams.load import Load, Loader
from benchmarks.streams.peers import PEERS, executable, launch
from benchmarks.streams.programs import build
from benchmarks.streams.servers import Launch, Server, free_port, launched

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Self

    from benchmarks.streams.processes import Cores

__all__ = ["DIRECT", "GATEWAY", "Stage"]

DIRECT: Final = "direct"
"""Target without any gateway: the upstream itself, which shows what the load programs can do."""
GATEWAY: Final = "gateway"
_WARM: Final = Load(answer="think=5,tokens=20", streams=8, requests=64)
"""What a server answers after its start, before anything is measured."""
_SECONDS: Final = 4 * 3600
"""Longest life of the upstream."""


class Stage:
    """Servers by name: each starts when first asked for, and runs until the end.

    *trees* are other checkouts of the gateway, by the name that they have in the results.
    """

    def __init__(self, cores: Cores, folder: Path, trees: Mapping[str, Path] | None = None) -> None:
        self.cores = cores
        self.folder = folder
        self.trees = dict(trees or {})
        self._kept: dict[str, Server] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            upstream, load = build(self.folder)
            port = free_port()
            command = [str(upstream), f"--port={port}", f"--seconds={_SECONDS}"]
            started = launched(Launch(DIRECT, command, port), self.cores.load, self.folder)
            self._kept[DIRECT] = stack.enter_context(started)
            self.load = Loader(load, self.cores.load, self._kept[DIRECT].pid)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def gateways(self) -> list[str]:
        """Names of the gateways: this checkout's, then others'."""
        return [GATEWAY, *self.trees]

    @property
    def targets(self) -> list[str]:
        """Names of everything that can be measured here."""
        return [DIRECT, *(peer.name for peer in PEERS if executable(peer)), *self.gateways]

    def server(self, target: str) -> Server:
        """The server that is kept for *target*; raises :exc:`.servers.NotStartedError`."""
        if target not in self._kept:
            self._kept[target] = self._stack.enter_context(self._warm(self._launch(target)))
        return self._kept[target]

    def variant(self, target: str, name: str, summary: str) -> Server:
        """The gateway *target* with more of a configuration, kept under a *name* of its own."""
        full = f"{target}-{name}"
        if full not in self._kept:
            self._kept[full] = self._stack.enter_context(self._warm(self._launch(target, full, summary)))
        return self._kept[full]

    @contextmanager
    def fresh(self, target: str) -> Iterator[Server]:
        """A server of its own for the block, which has answered no more than the warm-up."""
        if target == DIRECT:
            yield self._kept[DIRECT]
            return
        with self._warm(self._launch(target, f"{target}-fresh")) as server:
            yield server

    def cold(self, target: str) -> Launch:
        """How a gateway is started, for who measures the start itself."""
        return self._launch(target, f"{target}-cold")

    @contextmanager
    def _warm(self, how: Launch) -> Iterator[Server]:
        with launched(how, self.cores.gateway, self.folder) as server:
            self.load.run(server, _WARM)
            yield server

    def _launch(self, target: str, name: str | None = None, summary: str = "") -> Launch:
        upstream = self._kept[DIRECT].port
        for peer in PEERS:
            if peer.name == target:
                return launch(peer, upstream, self.folder)
        summary = summary.format(upstream=upstream)
        if target in self.trees:
            return gateway(
                upstream, self.folder, name=name or target, summary=summary, tree=self.trees[target]
            )
        return gateway(upstream, self.folder, name=name or target, summary=summary)
