"""The allocator's setting: taken by glibc, and nothing elsewhere."""

from __future__ import annotations

import ctypes
import sys
from types import SimpleNamespace

import pytest

from trio_gateway.server.allocator import return_large_blocks


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
def test_it_is_set_where_there_is_such_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, int]] = []

    def mallopt(*arguments: int) -> int:
        given.append(arguments)  # type: ignore[arg-type]
        return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    assert return_large_blocks()
    assert given == [(-3, 262_144)]


def test_other_libraries_and_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    assert not return_large_blocks()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not return_large_blocks()
