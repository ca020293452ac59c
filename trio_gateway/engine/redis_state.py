"""Redis store: runs the arbiter as Lua on a Redis or Valkey server.

It is imported only where ``REDIS_URL`` is set, as ``coredis`` is an extra. The script is
:class:`~trio_gateway.core.sharing.Arbiter` in Lua: one step of the server, so no two gateways interleave.
The clock is the server's. All keys have one hash tag and expire by themselves.
"""

from __future__ import annotations

import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import unquote, urlsplit

import coredis
import msgspec
from coredis.exceptions import RedisError
from coredis.retry import NoRetryPolicy

from ..core.budgets.refill import MINUTE, ROUNDING
from ..core.errors import clean_text
from ..core.sharing import ExchangeReply
from ..core.sharing.arbiter import KEEP
from ..core.sharing.exchange_messages import MAX_CIRCUITS, MAX_OPEN
from .redis_wording import RedisPlace
from .shared_state import SharedStateError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from ..core.sharing import Report

__all__ = ["PREFIX", "SCRIPT", "RedisExchange", "RedisStore"]

PREFIX: Final = "{trio-gateway}:1:"
"""Of every key; the number changes with what the keys hold."""

# Seconds for TCP and TLS; all that makes a connection has a deadline in shared_state.
_CONNECT_TIMEOUT: Final = 1.5
# Bytes of a reply that are read: more than news of all circuits and grants of all buckets take.
_MAX_REPLY: Final = 4_194_304
_LOST: Final = (RedisError, OSError, SharedStateError)

SCRIPT: Final = f"""
local MINUTE, ROUNDING, KEEP = {MINUTE!r}, {ROUNDING!r}, {KEEP!r}
local MAX_CIRCUITS, MAX_OPEN, DAY = {MAX_CIRCUITS}, {MAX_OPEN!r}, 86400
local report, now = cjson.decode(ARGV[1]), tonumber(ARGV[3])
if not now then
  local time = redis.call('TIME')
  now = time[1] + time[2] / 1000000
end
local function exact(number) return string.format('%.17g', number) end

local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then
  epoch = ARGV[2]
  redis.call('HSET', KEYS[1], 'epoch', epoch)
end
local serial = tonumber(redis.call('HGET', KEYS[1], 'serial') or '0')
local same = report.epoch == epoch

local grants = {{}}
for position, each in ipairs(report.buckets) do
  local key = KEYS[2 + position]
  local kept = redis.call('HMGET', key, 'limit', 'level', 'at')
  local limit, level, at = tonumber(kept[1]), tonumber(kept[2]), tonumber(kept[3])
  local found = limit and level + (now - at) * limit / MINUTE < limit
  if not found then limit, level, at = each.limit, each.limit, now end
  level = math.min(limit, level + (now - at) * limit / MINUTE) + each.limit - limit
  limit = each.limit
  if found and same and each.known then level = level - each.take else level = level - each.missing end
  level = math.min(limit, level)
  local share = math.max(0, math.min(each.want, math.floor(level + ROUNDING)))
  level = level - share
  redis.call('HSET', key, 'limit', exact(limit), 'level', exact(level), 'at', exact(now))
  redis.call('PEXPIRE', key, math.ceil((limit - level) * MINUTE / limit * 1000) + 1000)
  grants[position] = cjson.encode({{bucket = each.bucket, share = share, level = level}})
end

local circuits, changed, many = {{}}, {{}}, 0
local stored = redis.call('HGETALL', KEYS[2])
for position = 1, #stored, 2 do
  local circuit = cmsgpack.unpack(stored[position + 1])
  if now >= circuit['until'] + KEEP then
    redis.call('HDEL', KEYS[2], stored[position])
  else
    circuits[stored[position]] = circuit
    many = many + 1
  end
end
local function change(name, circuit)
  serial = serial + 1
  circuit.serial = serial
  if not circuits[name] then many = many + 1 end
  circuits[name], changed[name] = circuit, true
end
local function term(seconds) return math.min(math.max(0, seconds), MAX_OPEN) end

for _, each in ipairs(report.opened) do
  local name, ends, old = each.circuit, now + term(each.seconds), circuits[each.circuit]
  if old and old.open then
    ends = math.max(ends, old['until'])
  elseif many - (old and 1 or 0) >= MAX_CIRCUITS then
    local first
    for other, circuit in pairs(circuits) do
      if other ~= name and (not first or circuit['until'] < circuits[first]['until']
          or (circuit['until'] == circuits[first]['until'] and other < first)) then
        first = other
      end
    end
    circuits[first], changed[first] = nil, nil
    many = many - 1
    redis.call('HDEL', KEYS[2], first)
  end
  change(name, {{
    ['until'] = ends, open = true, why = each.why, cause = each.cause, prober = '', probe_until = 0
  }})
end
for _, name in ipairs(report.closed) do
  local circuit = circuits[name]
  if circuit and circuit.open and circuit.prober == report.member then
    change(name, {{['until'] = now, open = false, why = '', cause = '', prober = '', probe_until = 0}})
  end
end
for _, name in ipairs(report.released) do
  local circuit = circuits[name]
  if circuit and circuit.open and circuit.prober == report.member then
    circuit.prober = ''
    change(name, circuit)
  end
end
for _, wish in ipairs(report.wishes) do
  local circuit = circuits[wish.circuit]
  if circuit and circuit.open and now >= circuit['until'] then
    if circuit.prober == '' or circuit.prober == report.member or now >= circuit.probe_until then
      circuit.prober, circuit.probe_until, circuit['until'] = report.member, now + term(wish.seconds), now
      change(wish.circuit, circuit)
    end
  end
end
for name in pairs(changed) do
  redis.call('HSET', KEYS[2], name, cmsgpack.pack(circuits[name]))
end
redis.call('HSET', KEYS[1], 'serial', exact(serial))
redis.call('EXPIRE', KEYS[1], DAY)
redis.call('EXPIRE', KEYS[2], DAY)

local seen, news = same and report.seen or 0, {{}}
local function tell(name, circuit)
  news[#news + 1] = cjson.encode({{
    circuit = name, serial = circuit.serial, state = circuit.open and 'open' or 'closed',
    left = circuit['until'] - now, why = circuit.why, cause = circuit.cause, prober = circuit.prober,
    probe_left = circuit.prober ~= '' and circuit.probe_until - now or 0
  }})
end
for name, circuit in pairs(circuits) do
  if circuit.serial > seen then tell(name, circuit) end
end
for _, wish in ipairs(report.wishes) do
  local circuit = circuits[wish.circuit]
  if not circuit then
    news[#news + 1] = cjson.encode({{circuit = wish.circuit, serial = 0, state = 'unknown'}})
  elseif circuit.serial <= seen then
    tell(wish.circuit, circuit)
  end
end
return '{{"epoch":' .. cjson.encode(epoch) .. ',"serial":' .. serial .. ',"grants":['
  .. table.concat(grants, ',') .. '],"circuits":[' .. table.concat(news, ',') .. ']}}'
"""
"""Trades the report ``ARGV[1]``.

Keys: what is known of the arbiter, the circuits, then a bucket for each one reported. ``ARGV[2]``: the epoch
that begins where there is none. ``ARGV[3]``: the instant in seconds, for tests; else empty.
"""


class RedisStore:
    """Shared state on the server at *url*.

    The URL may hold a password, so no message shows it.
    """

    between: Final[Literal["gateways"]] = "gateways"

    def __init__(self, url: str) -> None:
        self._url = url
        self._place = RedisPlace(url)
        password = urlsplit(url).password
        self._secrets = tuple(filter(None, {url, password, unquote(password or "")}))

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[RedisExchange]:
        """Connect, and leave the script with the server; then each exchange is one command.

        A server that is slow to answer has the time for a connection for that, not the one for an exchange.

        Raises:
            SharedStateError: the connection cannot be made, or is lost.
        """
        greeted = False
        try:
            client = coredis.Redis.from_url(
                self._url,
                max_connections=1,
                connect_timeout=_CONNECT_TIMEOUT,
                verify_version=False,  # it would ask for what one script does not need
                retry_policy=NoRetryPolicy(),
            )
            async with client:
                await client.script_load(SCRIPT)
                greeted = True
                yield RedisExchange(client, self._error)
        except BaseExceptionGroup as group:
            lost, rest = group.split(_LOST)
            if lost is None or rest is not None:
                raise rest or group  # noqa: B904  (the group holds it)
            raise self._error(_first(lost), greeted=greeted) from None
        except (RedisError, OSError) as error:
            raise self._error(error, greeted=greeted) from None

    def _error(self, error: BaseException, *, greeted: bool = True) -> SharedStateError:
        if isinstance(error, SharedStateError):
            return error
        reason = self._place.reason(error, seconds=_CONNECT_TIMEOUT, greeted=greeted)
        return SharedStateError(clean_text(reason, secrets=self._secrets))


class RedisExchange:
    """One connection."""

    def __init__(
        self, client: coredis.Redis[bytes], error: Callable[[BaseException], SharedStateError]
    ) -> None:
        self._script = client.register_script(SCRIPT)
        self._error = error

    async def exchange(self, report: Report, *, now: str = "") -> ExchangeReply:
        """Trade *report*. *now*: the instant, for tests; else the server's clock tells it.

        Raises:
            SharedStateError: the server does not answer, or with something else.
        """
        keys = [f"{PREFIX}state", f"{PREFIX}circuits"]
        keys += [f"{PREFIX}limit:{each.bucket}" for each in report.buckets]
        try:
            raw: Any = await self._script(keys, [msgspec.json.encode(report), secrets.token_hex(8), now])
            if not isinstance(raw, bytes) or len(raw) > _MAX_REPLY:
                raise SharedStateError("the answer is none of the script's")
            return msgspec.json.decode(raw, type=ExchangeReply)
        except RedisError as error:
            raise self._error(error) from None
        except msgspec.MsgspecError:
            raise SharedStateError("the answer is none of the script's") from None


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """One error of a group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
