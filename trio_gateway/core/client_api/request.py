"""Chat request: what every client API is parsed into, and who sent it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import force_setattr

if TYPE_CHECKING:
    from ..budgets.body_ledger import BodyHold

__all__ = [
    "MAX_MODEL_ID",
    "PLAIN_FIELDS",
    "ChatRequest",
    "FormatName",
    "GatewayOptions",
    "RequestIdentity",
    "is_continued",
]

FormatName: TypeAlias = Literal["phases", "openai"]
"""Names of the wire formats; :data:`.formats.FORMATS` has an entry for each."""

MAX_MODEL_ID: Final = 256
"""Characters of the longest model id: a longer one is refused from clients, and dropped from lists."""

PLAIN_FIELDS: Final = frozenset(
    (
        *("model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens"),
        *("max_completion_tokens", "seed", "user", "metadata", "gateway"),
    )
)
"""Fields of a plain request, whose answer shows how its model begins by itself. It is an allow-list, so that
a field not foreseen here (as a stop word, a bias or a template's argument is) teaches nothing."""


Json = dict[str, Any]


class RequestIdentity(Struct, frozen=True):
    """Who sends a request, and which one: what a failure is attributed to."""

    client: str = ""
    """Id of the client's key; where no keys are asked for, the address of the peer."""
    digest: bytes = b""
    """Digest of the body as the client sent it; empty: unknown, and like no other."""
    credential: bytes = b""
    """Digest of the client's ``Authorization``; empty: there is none."""


class GatewayOptions(Struct, frozen=True):
    """The body object ``gateway``: what the client wants of the gateway itself."""

    format: FormatName | None = None
    """Format of the stream; None: as path, header or configuration say."""
    prompt_summary: bool = True
    reasoning: Literal["summary", "raw", "both", "off"] = "summary"
    """What of the reasoning is shown: a summary, the reasoning itself, both or nothing."""
    detail: Literal["concise", "auto", "detailed"] = "auto"
    """How long the lines of the reasoning summary are."""

    @property
    def shows_reasoning(self) -> bool:
        """Whether the client sees the reasoning itself."""
        return self.reasoning in {"raw", "both"}


class ChatRequest(Struct, frozen=True):
    """A checked request."""

    model: str
    """The requested id; ``default`` where none is given."""
    messages: list[Json]
    body: Json
    """Everything to forward: the whole body but ``gateway``."""
    stream: bool | None = None
    """None: not said."""
    include_usage: bool = False
    """The client wants a usage chunk."""
    n: int = 1
    thinking: bool | None = None
    """Whether the request switches thinking on or off; None: not said. Off wins where it says both."""
    options: GatewayOptions = GatewayOptions()
    identity: RequestIdentity = RequestIdentity()
    """Who sent it, and a digest of its body; empty for a request of the gateway's own."""
    plain: bool = False
    """No field but :data:`PLAIN_FIELDS`, and the last message is not the assistant's."""
    digest: bytes = b""
    """Digest of the body as it came."""
    large: int = 0
    """Bytes of a body that takes long enough to encode that a thread does it; 0: it does not."""
    hold: BodyHold | None = None
    """The client's bytes in the ledger of all bodies."""

    @property
    def continued(self) -> bool:
        """The last message is the assistant's: the answer may go on with it."""
        return is_continued(self.messages)

    def release(self) -> None:
        """No attempt needs the body any more: drop it, and give its bytes back to the ledger."""
        force_setattr(self, "messages", [])
        force_setattr(self, "body", {})
        if self.hold is not None:
            self.hold.release()


def is_continued(messages: list[Json]) -> bool:
    """Whether the last of *messages* is the assistant\'s, so that the answer may go on with it."""
    return bool(messages) and messages[-1]["role"] == "assistant"
