"""HTTP/1.1 framing as a client needs it: request heads, response heads and bodies, as bytes.

Everything here is pure and incremental: bytes go in as the socket gave them, in any cutting, and values come
out. The rules are those of RFC 9112; where it leaves a choice, the strict one is taken, because two readers
that disagree where a body ends would hand one client the answer to another client's request.
"""

from .body import BodyDecoder, Framing, frame_body
from .request_head import Fields, encode_request_head
from .response_head import HeadReader, ResponseHead
from .violations import FramingError, IncompleteBodyError, InvalidRequestError

__all__ = [
    "BodyDecoder",
    "Fields",
    "Framing",
    "FramingError",
    "HeadReader",
    "IncompleteBodyError",
    "InvalidRequestError",
    "ResponseHead",
    "encode_request_head",
    "frame_body",
]
