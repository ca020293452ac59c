"""What the tests of other people's clients share, and the option that writes their matrix into the documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.compat.matrix import Matrix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.compat.sdks import Drive


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "write what the clients show into README.md, instead of comparing it"
    parser.addoption("--write-matrix", action="store_true", help=told)


@pytest.fixture(scope="session")
def node_clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where Node finds its clients."""
    from tests.compat.sdks import install_node_clients

    folder = tmp_path_factory.mktemp("node")
    install_node_clients(folder)
    return folder


@pytest.fixture(params=["python", "python-async", "node"])
def drive(request: pytest.FixtureRequest) -> Drive:
    """One of OpenAI's own clients."""
    from tests.compat.sdks import drive_python, drive_python_async, node_driver

    if request.param == "node":
        return node_driver(request.getfixturevalue("node_clients"))
    return drive_python if request.param == "python" else drive_python_async


@pytest.fixture(scope="session")
def matrix(request: pytest.FixtureRequest) -> Iterator[Matrix]:
    """The documents' matrix; with ``--write-matrix`` its rows are taken as they come, and written at the end."""
    matrix = Matrix.read(writing=bool(request.config.getoption("--write-matrix", default=False)))
    yield matrix
    matrix.write()
