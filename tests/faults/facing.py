"""Facing a gateway with one fault after another, and what must hold after each."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults.certificates import Certificates, make_certificates
from tests.faults.scene import Books, Scene, open_scene
from tests.faults.table import FAULTS, Fault, Oddity
from tests.support import text_answer
from trio_gateway.core.errors import CODES

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.faults.playing import Script


GOOD = (text_answer("<think>Adding.</think>", "4"),)


RETRIED = {name: fault for name, fault in FAULTS.items() if fault.retry != "no"}


UNSEEN = {name: fault for name, fault in RETRIED.items() if fault.phase != "final_output"}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates | None:
    folder = tmp_path_factory.mktemp("certificates")
    return make_certificates(folder) if shutil.which("openssl") else None


@pytest.fixture(autouse=True)
def trusting(certificates: Certificates | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own authorities stand for the world's."""
    if certificates is not None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.trusted))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another try on the same upstream comes at once, where the upstream has not asked for a pause."""
    monkeypatch.setattr("trio_gateway.engine.route._BACKOFF_BASE", 0.0)


def rows(table: dict[str, Any]) -> Callable[..., Any]:
    (name,) = {type(row).__name__.lower() for row in table.values()}
    return pytest.mark.parametrize(name, table.values(), ids=table.keys())


def facing(
    row: Fault | Oddity, *others: Script, tries: int = 1, certificates: Certificates | None = None
) -> AbstractAsyncContextManager[Scene]:
    """A gateway whose first upstream does what the row says; the others have the usual time for what they do."""
    attempts = f"max_attempts = {tries}\n"
    return open_scene(
        row.plays,
        *others,
        upstream=(attempts + row.upstream, *[attempts] * len(others)),
        server=row.server,
        certificates=certificates,
    )


def check_books(fault: Fault, books: Books, *, attempts: int) -> None:
    line, counted = books.line, fault.code if fault.code and fault.code in CODES else "error"
    assert (line["outcome"], line["error_class"], line["attempts"]) == ("error", counted, attempts)
    assert line["upstream"] == "a"
    assert books.count("gateway_upstream_errors_total", upstream="a", **{"class": counted}) == attempts
    assert books.count("gateway_upstream_errors_total") == attempts
    outcome = "failure" if fault.breaker == "failure" else "neutral"
    assert books.verdicts("a") == {outcome: attempts}
    assert books.health["upstreams"]["a"]["state"] == "closed"
    assert books.paused is (fault.breaker == "paused")


def check_words(text: str, scene: Scene) -> None:
    """The upstream is named with its base URL; of the inside there is no page and no library's words."""
    words = ["secret", "certificate_verify", "openssl", "sslerror", "httpx", "h11", "traceback", "location"]
    addresses = [upstream.url.partition("://")[2] for upstream in scene.upstreams]
    for name, upstream in zip("ab", scene.upstreams, strict=False):
        text = text.replace(f'Upstream \\"{name}\\" at {upstream.url}/v1 ', "")
    assert [word for word in [*words, *addresses] if word in text.lower()] == []
