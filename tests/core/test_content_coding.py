"""Decompression of upstreams' bodies: the same bytes however they are cut, in pieces, with a limit."""

from __future__ import annotations

import gzip
import random
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.cutting import CUTS, cut
from trio_gateway.core.upstream_api.content_coding import PIECE, ContentCodingError, ContentDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("", bytes),
    ("identity", bytes),
    (" GZip ", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
]


def unpacked(coding: str, *chunks: bytes) -> Iterator[bytes]:
    decoder = ContentDecoder(coding)
    for chunk in chunks:
        yield from decoder.pieces(chunk)


@pytest.mark.parametrize(("coding", "pack"), CODINGS)
@given(data=st.binary(max_size=300), places=CUTS)
def test_any_cutting_gives_the_same(
    coding: str, pack: Callable[[bytes], bytes], data: bytes, places: list[int]
) -> None:
    pieces = list(unpacked(coding, *cut(pack(data), places)))
    assert b"".join(pieces) == data
    assert all(pieces)


@pytest.mark.parametrize(("coding", "pack"), CODINGS)
def test_pieces_are_bounded(coding: str, pack: Callable[[bytes], bytes]) -> None:
    data = random.Random(1).randbytes(PIECE) * 5
    pieces = list(unpacked(coding, pack(data)))
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= PIECE


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "x-gzip", "gzip, gzip", "identity, gzip", "*"])
def test_other_codings_and_lists_of_them_are_refused(coding: str) -> None:
    with pytest.raises(ContentCodingError, match="not asked for"):
        ContentDecoder(coding)


@pytest.mark.parametrize(
    ("coding", "data"),
    [("gzip", b"no gzip at all"), ("deflate", b"\x78\x9c" + b"\xff" * 9), ("deflate", b"\xff" * 9)],
)
def test_what_is_not_compressed_is_refused(coding: str, data: bytes) -> None:
    with pytest.raises(ContentCodingError, match="cannot be decompressed"):
        list(unpacked(coding, data))


@pytest.mark.parametrize(("coding", "pack"), CODINGS[2:])
def test_a_bomb_is_refused_when_it_has_become_a_mebibyte(coding: str, pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(bytes(300 * 1024 * 1024))
    pieces: list[int] = []
    with pytest.raises(ContentCodingError, match="inflates too far"):
        pieces.extend(map(len, unpacked(coding, bomb)))
    assert sum(pieces) <= max(1024 * 1024, 100 * len(bomb))


def test_a_short_answer_of_one_letter_is_no_bomb() -> None:
    assert sum(map(len, unpacked("gzip", gzip.compress(bytes(1024 * 1024))))) == 1024 * 1024


@pytest.mark.parametrize(("coding", "pack"), CODINGS[2:])
def test_what_follows_the_end_is_ignored_and_not_kept(coding: str, pack: Callable[[bytes], bytes]) -> None:
    decoder = ContentDecoder(coding)
    assert b"".join(decoder.pieces(pack(b"data") + b"junk")) == b"data"
    assert list(decoder.pieces(b"junk" * 1000)) == []
    inflater = decoder._inflater
    assert inflater is not None
    assert len(inflater.unused_data) == 4  # type: ignore[attr-defined]
