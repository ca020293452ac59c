"""The command line of the endurance run: what it says of its time, and what it refuses."""

from __future__ import annotations

import pytest

from benchmarks.endurance.__main__ import minutes_of


@pytest.mark.parametrize(("words", "minutes"), [([], 12), (["2"], 2)])
def test_minutes(words: list[str], minutes: int) -> None:
    assert minutes_of(words) == minutes


def test_the_help_names_all_that_takes_time(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        minutes_of(["--help"])
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for part in ("(default: 12)", "3.5 minutes more", "60 s of warm-up", "a rest of 75 s before each"):
        assert part in said


@pytest.mark.parametrize("word", ["x", "0", "1.5", "", "nan", "100000", "\u00b2"])
def test_what_is_no_number_of_minutes(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        minutes_of([word])
    assert ended.value.code == 2
    assert "MINUTES: expected a whole number from 1 to 99999, found" in capsys.readouterr().err
