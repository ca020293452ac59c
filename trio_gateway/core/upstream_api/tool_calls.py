"""Tool calls: makes each fragment of a streamed call valid.

A call is valid if all its fragments bear one index, its arguments are text, and its id, type and name stand
once, in its first fragment if they are known by then. The calls of a choice are numbered from 0 without a
gap, as they begin. Upstreams leave out the index, begin at another one, give it to several calls, repeat the
name in every fragment, or write arguments as an object, perhaps an empty one before the real ones.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

from ..json.strict import dumps
from ..text.surrogates import joined

__all__ = ["ARGUMENTS", "MOST_CALLS", "ToolCalls"]

Json = dict[str, Any]
K = TypeVar("K")

MOST_CALLS: Final = 1024
"""Calls of one choice that are remembered, the newest ones."""
_MOST_INDEX: Final = 1_000_000_000
ARGUMENTS: Final = {"function": "arguments", "custom": "input"}
"""The member that holds a call's name and arguments, which is called as its type, and that of the latter."""
_OWN: Final = frozenset({"index", "id", "type", *ARGUMENTS})
_NUMBER: Final = re.compile(r"\d{1,9}", re.ASCII)


class _Call:
    """One call, and what of it has been emitted."""

    __slots__ = ("given_index", "half", "has_arguments", "id", "index", "may_be_over", "name")

    def __init__(self, index: int, given_index: int | None, call_id: str) -> None:
        self.index = index
        self.given_index = given_index
        self.id = call_id
        """As the upstream has it; empty as long as it has given none."""
        self.name = ""
        self.has_arguments = False
        self.half = ""
        """Of a surrogate pair, at the end of the arguments."""
        self.may_be_over = False
        """The arguments end as an object does."""


class ToolCalls:
    """Tool calls of one choice; *id_prefix* begins ids that are missing."""

    __slots__ = ("_by_id", "_by_index", "_due", "_empty", "_id_prefix", "_last", "_next")

    def __init__(self, id_prefix: str) -> None:
        self._id_prefix = id_prefix
        self._by_index: dict[int, _Call] = {}
        """The newest call under each index that the upstream has given."""
        self._by_id: dict[str, _Call] = {}
        self._last: _Call | None = None
        self._empty: tuple[str, str] | None = None
        """Kind of the last call, and the empty object that its arguments began with, not emitted yet."""
        self._due: list[Json] = []
        """Such arguments of the call before it."""
        self._next = 0

    def valid(self, extra: Json) -> Json:
        """*extra*, fields of a delta, its ``tool_calls`` made valid, and without those that say nothing."""
        given = extra["tool_calls"]
        calls: list[Json] = []
        for each in given if type(given) is list else [given]:
            before, fragment = self._last, self._fragment(each)
            if self._last is not before:
                calls += self._due
                self._due = []
            if fragment is not None:
                calls.append(fragment)
        if calls:
            return {**extra, "tool_calls": calls}
        return {key: value for key, value in extra.items() if key != "tool_calls"}

    def _fragment(self, given: object) -> Json | None:
        if type(given) is not dict:
            return None
        kind = _kind(given)
        body = given.get(kind)
        body = dict(body) if type(body) is dict else {}
        name, arguments = _string(body.pop("name", None)), _text(body.pop(ARGUMENTS[kind], None))
        index, call_id = _index(given.get("index")), _string(given.get("id"))
        if name == "null" and not call_id and self._last is not None and self._last.name:
            name = ""  # no name, put into text; a function that is called so begins a call of its own
        rest = {key: value for key, value in given.items() if key not in _OWN and value is not None}
        head: Json = {}
        call = self._find(index, call_id, name, arguments)
        if call is None:
            if not (call_id or name or arguments or body or rest):
                return None
            call = self._begin(index, call_id)
            type_ = _string(given.get("type"))
            head = {"id": self._id(call), "type": kind if type_.lower() in ("", kind) else type_}
        if call_id and not call.id:
            call.id = call_id  # it comes late: the client has another one already
            _keep(self._by_id, call_id, call)
        if call.name == name or (call.name and call_id):
            name = ""  # it was repeated
        call.name += name
        if call is not self._last:
            self._due += self._take_empty()
            self._last = call
        if call.half or not arguments.isascii():
            arguments, call.half = joined(call.half, arguments)
        arguments = self._without_empty(call, kind, arguments)
        if arguments:
            call.has_arguments, call.may_be_over = True, arguments[-16:].rstrip().endswith("}")
        if head or arguments:
            body = {ARGUMENTS[kind]: arguments, **body}
        if name:
            body = {"name": name, **body}
        if body or rest:
            return {"index": call.index, **head, **({kind: body} if body else {}), **rest}
        return None

    @property
    def begun(self) -> bool:
        """A call came."""
        return self._last is not None

    def rest(self) -> Json:
        """The answer is over: the empty arguments that nothing took the place of, as fields of a delta."""
        calls = self._take_empty()
        return {"tool_calls": calls} if calls else {}

    def _take_empty(self) -> list[Json]:
        if self._last is None or self._empty is None:
            return []
        (kind, arguments), self._empty = self._empty, None
        self._last.has_arguments = self._last.may_be_over = True
        return [{"index": self._last.index, kind: {ARGUMENTS[kind]: arguments}}]

    def _without_empty(self, call: _Call, kind: str, arguments: str) -> str:
        """*arguments* of *call*, which is the last one, if they are more than an empty object.

        Some upstreams begin a call with ``{}`` and send the real ones then. So an empty object at the
        beginning waits for more, or for another call.
        """
        if self._empty is not None and not arguments.strip():
            return ""
        is_empty = arguments.strip() == "{}" and not call.has_arguments
        self._empty = (kind, arguments) if is_empty else None
        return "" if is_empty else arguments

    def _find(self, index: int | None, call_id: str, name: str, arguments: str) -> _Call | None:
        """The call that a fragment goes on with; None: it begins one."""
        known = self._by_id.get(call_id)
        if known is not None and known.given_index != index and index is not None:
            known = None  # an id that stands under two indexes is no id
        call = known or (self._last if index is None else self._by_index.get(index))
        if call is None:
            # A call has an id or a name: what has neither belongs to the last one, whatever its index.
            return None if call_id or name else self._last
        if known is None and call_id and call.id:
            return None
        if name and call.name and self._begins_anew(call, index, call_id, name, arguments):
            return None
        return call

    def _begins_anew(self, call: _Call, index: int | None, call_id: str, name: str, arguments: str) -> bool:
        """Whether a fragment with a name, which *call* has already, begins another call."""
        is_empty = self._empty is not None and call is self._last
        if is_empty and index is not None and call_id and call_id == call.id:
            return False
        if (call.may_be_over or is_empty) and arguments[:16].lstrip().startswith("{"):
            return True  # nowhere else in JSON follows one on the other
        if call_id and call_id == call.id:
            return False
        return index is None or (name != call.name and (call.has_arguments or is_empty))

    def _begin(self, index: int | None, call_id: str) -> _Call:
        # Clients keep calls in a list by index, and fail at a gap: whatever the upstream counts from, the
        # calls of an answer are 0, 1, 2, … in the order in which they begin.
        call = _Call(self._next, index, call_id)
        self._next += 1
        if index is not None:
            _keep(self._by_index, index, call)
        return call

    def _id(self, call: _Call) -> str:
        """The id that the client gets: the upstream's, if it gave one that no other call has."""
        if not call.id or call.id in self._by_id:
            return f"{self._id_prefix}{call.index}"
        _keep(self._by_id, call.id, call)
        return call.id


def _keep(calls: dict[K, _Call], key: K, call: _Call) -> None:
    """Remember a call, and forget the oldest one where there are too many."""
    calls.pop(key, None)
    calls[key] = call
    if len(calls) > MOST_CALLS:
        del calls[next(iter(calls))]


def _kind(given: Json) -> str:
    for kind in ARGUMENTS:
        if type(given.get(kind)) is dict:
            return kind
    return "custom" if given.get("type") == "custom" else "function"


def _index(value: object) -> int | None:
    if type(value) is str and _NUMBER.fullmatch(value):
        return int(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value < _MOST_INDEX else None


def _string(value: object) -> str:
    if type(value) is int:
        return str(value)
    return value if type(value) is str else ""


def _text(arguments: object) -> str:
    if arguments is None:
        return ""
    return arguments if type(arguments) is str else dumps(arguments)
