"""Pace of an upload: seconds in which any will do, then bytes a second on average."""

from __future__ import annotations

import pytest

from trio_gateway.core.budgets.upload_pace import UploadPace

KIB = 1024


@pytest.mark.parametrize(
    ("received", "crowded", "seconds"),
    [
        (0, False, 10.0),
        (1, True, 10.0),
        (160 * KIB, False, 10.0),
        (161 * KIB, False, 10.0625),
        (640 * KIB, True, 10.0),
        (640 * KIB, False, 40.0),
        (1280 * KIB, True, 20.0),
        (32 * KIB * KIB, False, 2048.0),
        (32 * KIB * KIB, True, 512.0),
    ],
)
def test_the_instant_at_which_it_is_too_slow(received: int, crowded: bool, seconds: float) -> None:
    assert UploadPace(5.0).deadline(received, crowded=crowded) == 5.0 + seconds
