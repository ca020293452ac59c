"""Token estimate of a request's body, taken before any model has seen it.

OpenAI's rule of thumb is four characters a token for English. Chinese, Japanese and Korean text has about one
and a half; so have fullwidth forms and emoji. A picture, a sound or a file costs what most models charge for
one of middle size, whatever its bytes are.

The time is linear: nothing is done with the characters of ASCII text, and other text is encoded and counted
by C code at about 1 ns a byte, in slices that stay in the processor's cache.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["MEDIA_TOKENS", "TWELFTHS", "estimate_tokens", "text_weight", "tokens_of", "weights"]

MEDIA_TOKENS: Final = 1000
"""Tokens of one image, audio, video or file part."""

TWELFTHS: Final = 12
"""Weights are twelfths of a token, so that sums are exact: a character weighs 3, one of CJK text 8."""
_CHARACTER: Final = TWELFTHS // 4
_CJK: Final = TWELFTHS * 2 // 3
_SCALAR: Final = 4 * _CHARACTER  # a number or a literal inside an object: about four characters

# Bytes of UTF-8 that do not begin a character of CJK text. What is left begins U+3000 to U+DFFF, U+F000 to
# U+FFFF, and all beyond U+FFFF.
_NOT_CJK: Final = bytes([*range(0xE3), 0xEE])
_SLICE: Final = 16_384
_STEP: Final = 1_048_576

_MEDIA: Final = frozenset(
    {
        *("image_url", "image", "input_image", "input_audio", "audio", "audio_url"),
        *("video", "video_url", "input_video", "file", "input_file", "document"),
    }
)
"""Types of content parts that hold bytes or a place of bytes."""

_UNSEEN: Final = frozenset(
    {
        *("messages", "model", "user", "metadata", "stream_options", "service_tier", "logit_bias"),
        *("safety_identifier", "prompt_cache_key", "reasoning_effort", "verbosity", "stop"),
    }
)
"""Fields of the body that no model reads, apart from the messages, which are looked at by themselves."""


def estimate_tokens(body: Mapping[str, Any]) -> int:
    """Tokens of all in *body*, a checked request's, that reaches the model; the answer's are not in it.

    That is the text of the messages, tool calls and their results, the definitions of tools, and whatever
    fields only some upstreams know, such as ``documents``.

    >>> estimate_tokens({"messages": [{"role": "user", "content": "Was ist 2+2?"}]})
    3
    """
    return tokens_of(sum(weights(body)))


def weights(body: Mapping[str, Any]) -> Iterator[int]:
    """Weights of the parts of *body*, in steps of a few milliseconds: others may run in between."""
    material = _Material()
    for message in body["messages"]:
        material.add_message(message)
    for name, value in body.items():
        if name not in _UNSEEN and isinstance(value, str | list | dict):
            material.add(value)
    yield material.weight_but_cjk()
    for text in material.not_ascii():
        for start in range(0, len(text), _STEP):
            yield (_CJK - _CHARACTER) * _count_cjk(text[start : start + _STEP])


def tokens_of(weight: int) -> int:
    """Tokens of a weight, rounded up."""
    return -(-weight // TWELFTHS)


def text_weight(text: str) -> int:
    """Weight of *text* in twelfths of a token.

    >>> text_weight("four"), text_weight("漢字")
    (12, 16)
    """
    return _CHARACTER * len(text) + (_CJK - _CHARACTER) * _count_cjk(text)


def _count_cjk(text: str) -> int:
    if text.isascii():  # known without looking: most text is
        return 0
    if len(text) > _SLICE:
        return sum(_count_cjk(text[start : start + _SLICE]) for start in range(0, len(text), _SLICE))
    # "surrogatepass": a checked request holds no half of a pair, but no text may make this raise.
    return len(text.encode("utf-8", "surrogatepass").translate(None, _NOT_CJK))


class _Material:
    """Parts of a body that reach the model, collected to be weighed.

    A body may hold 100,000 values: each costs an append, not a call.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._scalars = 0
        self._media = 0

    def weight_but_cjk(self) -> int:
        """Weight of all that was added, each character of it counted as one of English."""
        characters = sum(map(len, self._texts))
        return _CHARACTER * characters + _SCALAR * self._scalars + TWELFTHS * MEDIA_TOKENS * self._media

    def not_ascii(self) -> list[str]:
        """The texts that may hold CJK characters, short ones joined."""
        texts = [text for text in self._texts if not text.isascii()]
        long = [text for text in texts if len(text) > _SLICE]
        return [*long, "".join([text for text in texts if len(text) <= _SLICE])]

    def add_message(self, message: Mapping[str, Any]) -> None:
        for name, value in message.items():
            if name == "content" and isinstance(value, list):
                self._add_parts(value)
            elif name != "role" and isinstance(value, str | list | dict):
                self.add(value)

    def _add_parts(self, parts: list[Any]) -> None:
        for part in parts:
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str) and kind in _MEDIA:
                self._media += 1
            elif isinstance(part, dict):
                self.add([value for name, value in part.items() if name != "type"])
            else:
                self.add(part)

    def add(self, value: object) -> None:
        """All text in a JSON value, names of members included; without recursion, as it may be deep."""
        left = [value]
        while left:
            item = left.pop()
            if isinstance(item, str):
                self._texts.append(item)
            elif isinstance(item, list):
                left += item
            elif isinstance(item, dict):
                self._texts += item
                left += item.values()
            else:
                self._scalars += 1
