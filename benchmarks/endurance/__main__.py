"""Endurance run: plays mixed traffic for minutes and compares what the gateway holds before and after.

    ./run bench endurance [MINUTES]         12 minutes, unless another number is given; 3.5 more for what follows

Well-behaved, hostile and leaving clients and good and failing upstreams are drawn from one seed. The gateway
is a process of its own with a configuration as in use: keys, limits, metrics, log, summaries, a reload each
minute. Files, tasks, objects and memory are counted while nothing is under way: after a minute of the same
traffic, which fills every cache, and at the end. The run ends with code 1 when more is held at the end, when
the gateway logs an error, or when a client that did nothing wrong did not get its whole answer. It reads
/proc, so it needs Linux.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from benchmarks.endurance.census import open_process
from benchmarks.endurance.traffic import ANSWER, FAULTS, UNHARMED, Traffic
from benchmarks.streams.servers import free_port
from tests.support import key_line, open_upstream

if TYPE_CHECKING:
    from benchmarks.endurance.census import Census, Gateway

_MINUTES = 12
_SEED = 10
# Seconds of the same traffic before anything is counted, which fill every cache.
_WARM_UP = 60.0
# Seconds after which the gateway has closed the idle connections of its pool.
_QUIET = 75.0
_ABOUT = f"""
Plays mixed traffic and compares what the gateway holds before and after. A run takes {(_WARM_UP + 2 * _QUIET) / 60:g} minutes
more than the measured ones: {_WARM_UP:g} s of warm-up, and a rest of {_QUIET:g} s before each of the two counts, in which
idle connections close. It ends with code 1 when more is held at the end, when the gateway logs an error, or when
a client that did nothing wrong did not get its whole answer.
"""
# What may be held more at the end: objects (a metric makes some for each label that is first seen), and KiB of
# memory, as the allocator keeps pages that are partly in use.
_MORE_OBJECTS = 2000
_MORE_MEMORY = 4096
_CONFIG = """
[server]
host = "127.0.0.1"
port = {port}
api_keys_file = "{keys}"
write_timeout = 5.0
[upstreams.flaky]
url = "{flaky}"
[upstreams.good]
url = "{good}"
[models.default]
upstreams = ["flaky", "good"]
[models.good]
upstreams = ["good"]
[summary]
interval = 0.3
"""
_LIMITS = ("rpm=10000000", "tpm=999999999", "concurrent=4000")


async def main(minutes: int) -> bool:
    """Whether nothing has grown, and nobody was harmed."""
    chance = random.Random(_SEED)

    async def answers(stream: trio.SocketStream, _number: int) -> None:
        for start in range(0, len(ANSWER), 600):
            await stream.send_all(ANSWER[start : start + 600])
            await trio.sleep(0.02)

    async def fails(stream: trio.SocketStream, number: int) -> None:
        if chance.random() < 0.5:
            await stream.send_all(chance.choice(FAULTS))
        else:
            await answers(stream, number)

    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        keys, config = folder / "keys.txt", folder / "gateway.toml"
        keys.write_text(key_line("a", *_LIMITS), encoding="utf-8")
        async with open_upstream(fails) as flaky, open_upstream(answers) as good:
            text = _CONFIG.format(port=port, keys=keys, flaky=flaky.url, good=good.url)
            config.write_text(text, encoding="utf-8")
            with open_process(config, folder, port) as gateway:
                traffic = Traffic(f"http://127.0.0.1:{port}", _SEED)
                before, after = await _run(gateway, traffic, minutes)
        events, errors = _read_log(folder / "gateway.log")
    print(f"logged: {dict(events)}")
    return _report(traffic.results, before, after, errors)


async def _run(gateway: Gateway, traffic: Traffic, minutes: int) -> tuple[Census, Census]:
    print(f"warm-up: {_WARM_UP:g} s, then a rest of {_QUIET:g} s", flush=True)
    await traffic.play(_WARM_UP)
    gateway.reload()  # the objects of the first configuration are frozen, and would not be counted
    traffic.results.clear()
    await trio.sleep(_QUIET)
    before = await gateway.census()
    print(f"before: {before}", flush=True)
    for minute in range(1, minutes + 1):
        await traffic.play(60.0)
        gateway.reload()
        print(f"minute {minute}: {gateway.rss() / 1024:.1f} MiB", flush=True)
    print(f"rest: {_QUIET:g} s", flush=True)
    await trio.sleep(_QUIET)
    after = await gateway.census()
    print(f"after:  {after}")
    return before, after


def _report(results: Counter[tuple[str, str]], before: Census, after: Census, errors: list[str]) -> bool:
    print(f"{results.total()} scenes:")
    for (scene, result), count in sorted(results.items()):
        print(f"  {scene:16} {result:20} {count:6}")
    harmed = [each for each in results if each[0] in UNHARMED and each[1] != "whole"]
    grown = {
        "files": after.files > before.files,
        "tasks": bool(after.tasks - before.tasks),
        "objects": after.objects > before.objects + _MORE_OBJECTS,
        "memory": after.rss > before.rss + _MORE_MEMORY,
    }
    print(f"tasks more: {dict(after.tasks - before.tasks)}")
    for error in errors[:10]:
        print(f"logged as an error: {error}")
    for name in (name for name, has_grown in grown.items() if has_grown):
        print(f"grown: {name}")
    for scene, result in harmed:
        print(f"harmed: {scene}, {result}")
    return not (errors or harmed or any(grown.values()))


def _read_log(log: Path) -> tuple[Counter[str], list[str]]:
    """How often each event was logged; and the lines at level ``error`` or above, or that are no event."""
    events: Counter[str] = Counter()
    errors: list[str] = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            fields = json.loads(line)
            events[str(fields["event"])] += 1
            is_harmless = fields["level"] in {"debug", "info", "warning"}
        except (ValueError, KeyError, TypeError):
            is_harmless = False
        if not is_harmless:
            errors.append(line[:300])
    return events, errors


def minutes_of(words: list[str]) -> int:
    """How many minutes are measured, by the command's *words*. Ends the process for ``--help`` and mistakes."""
    parser = argparse.ArgumentParser("./run bench endurance", description=_ABOUT)
    parser.add_argument(
        "minutes",
        metavar="MINUTES",
        nargs="?",
        type=_number_of_minutes,
        default=_MINUTES,
        help=f"minutes of traffic that are measured (default: {_MINUTES}); a reload each minute",
    )
    minutes: int = parser.parse_args(words).minutes
    return minutes


def _number_of_minutes(word: str) -> int:
    if not (word.isdecimal() and len(word) <= 5 and int(word)):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to 99999, found {word[:40]!r}")
    return int(word)


if __name__ == "__main__":
    sys.exit(not trio.run(main, minutes_of(sys.argv[1:])))
