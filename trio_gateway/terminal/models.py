"""The models that the gateway lists: asked for, and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from .http_client import CONNECT_TIMEOUT, failures_noted, interruptible, open_client, refusal
from .received import Answer, decode

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["list_models"]


class Model(msgspec.Struct):
    id: str


class ModelList(msgspec.Struct):
    data: list[Model]


async def list_models(options: Namespace) -> tuple[list[str], Answer]:
    """The models' ids, and how the exchange ended: its ``error`` is None where they are known."""
    answer, ids = Answer(), list[str]()
    with interruptible(answer), failures_noted(answer, options.url):
        async with open_client(options, silence=CONNECT_TIMEOUT) as client:
            response = await client.get("/v1/models")
        if response.status_code != 200:
            answer.error = refusal(response, response.content)
        else:
            ids = [model.id for model in decode(response.content, ModelList).data]
    return ids, answer
