"""Traces: one span a request, parts for attempts and summaries, one trace from the client to the upstream."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import trio
from structlog.testing import capture_logs

from tests.collector import open_collector
from tests.running import OWN, ROOT, running, streaming
from tests.support import (
    DONE,
    HEAD,
    Json,
    ask,
    chat,
    open_gateway,
    open_upstream,
    plays,
    settings,
    sse_chunk,
    text_answer,
    until,
    upstream_toml,
)
from tests.websocket.talking import open_socket
from trio_gateway.engine.tracing import NO_TRACER
from trio_gateway.server.tracer_choice import tracer_of

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra otel is not installed")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from trio_gateway.server.otel import OtelTracer

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{PARENT}-01"
THINKS = sse_chunk({"content": "<think>First I add two and two. Then I check the sum again.\n</think>"})
USAGE = sse_chunk(usage={"prompt_tokens": 7, "completion_tokens": 9}).replace(
    b'[{"index": 0, "delta": {}, "finish_reason": null}]', b"[]"
)
WHOLE = HEAD + THINKS + sse_chunk({"content": "Four."}, finish="stop") + USAGE + DONE
FAILS = b"HTTP/1.1 500 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Spans:
    """A tracer, and the spans that it has recorded."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer = OtelTracer(SimpleSpanProcessor(self._exporter))

    @property
    def all(self) -> list[ReadableSpan]:
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str, kind: SpanKind = SpanKind.CLIENT) -> list[ReadableSpan]:
        return [span for span in self.all if span.name == name and span.kind is kind]

    @property
    def request(self) -> ReadableSpan:
        """The one request's; its parts have ended by then."""
        (span,) = [span for span in self.all if span.kind is SpanKind.SERVER]
        return span

    async def ended(self, requests: int = 1) -> None:
        """Wait until so many requests are over."""
        await until(lambda: sum(span.kind is SpanKind.SERVER for span in self.all) == requests)


def traceparent(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def parent(span: ReadableSpan) -> str:
    assert span.parent is not None
    return f"{span.parent.span_id:016x}"


def own_id(span: ReadableSpan) -> str:
    return traceparent(span).split("-")[2]


def told(span: ReadableSpan) -> Json:
    return dict(span.attributes or {})


# The tree


@pytest.mark.parametrize("more", [{}, {"stream": False}], ids=["streamed", "whole"])
async def test_a_request_is_one_span_with_a_part_for_each_attempt_and_summary(more: Json) -> None:
    spans = Spans()
    with capture_logs() as log:
        async with (
            open_upstream(plays(WHOLE)) as upstream,
            open_gateway(settings(UPSTREAM_URL=upstream.url), tracer=spans.tracer) as client,
        ):
            body = {**chat("Tell me of it, please. " * 20), **more}
            answer = await client.post("/v1/chat/completions", json=body, headers={"traceparent": SAMPLED})
            assert answer.status_code == 200
            await spans.ended()
    request = spans.request
    assert (request.name, parent(request)) == ("chat default", PARENT)
    parts = [span for span in spans.all if span is not request]
    assert [span.name for span in parts].count("chat default") == 1
    assert sorted(span.name for span in parts) == ["chat default", "prompt_summary", "reasoning_summary"]
    assert {parent(span) for span in parts} == {own_id(request)}
    assert {traceparent(span).split("-")[1] for span in spans.all} == {TRACE}
    assert [event.name for event in request.events] == ["reasoning_summary", "final_output"]
    line = next(each for each in log if each["event"] == "request")
    assert told(request) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "default",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 9,
        "gateway.request_id": answer.headers["x-request-id"],
        "gateway.outcome": "ok",
        "gateway.attempts": 1,
        "gateway.upstream": "main",
    }
    assert line["trace_id"] == TRACE
    (attempt,) = spans.named("chat default")
    host, port = upstream.url.removeprefix("http://").split(":")
    assert told(attempt) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "default",
        "server.address": host,
        "server.port": int(port),
        "gateway.upstream": "main",
        "gateway.attempt": 1,
        "gateway.outcome": "ok",
    }
    assert [event.name for event in attempt.events] == ["first_event"]
    assert upstream.headers[0]["traceparent"] == traceparent(attempt)
    assert "tracestate" not in upstream.headers[0]
    resource = dict(request.resource.attributes)
    assert resource["service.name"] == "trio-gateway"


async def test_each_attempt_has_its_own_and_the_one_that_failed_says_why() -> None:
    spans = Spans()
    async with (
        open_upstream(plays(FAILS)) as bad,
        open_upstream(plays(WHOLE)) as good,
        open_gateway(
            settings(upstream_toml(bad.url, good.url, upstream="max_attempts = 1")), tracer=spans.tracer
        ) as client,
    ):
        assert (await ask(client, chat())).output == "Four."
        await spans.ended()
    first, second = spans.named("chat default")
    assert (told(first)["gateway.upstream"], told(first)["error.type"]) == ("a", "upstream_error")
    assert (told(first)["gateway.outcome"], first.status.status_code) == ("error", StatusCode.ERROR)
    assert (told(second)["gateway.upstream"], told(second)["gateway.outcome"]) == ("b", "ok")
    assert [each.headers[0]["traceparent"] for each in (bad, good)] == [
        traceparent(first),
        traceparent(second),
    ]
    assert told(spans.request)["gateway.attempts"] == 2
    assert spans.request.status.status_code is StatusCode.UNSET


async def test_a_request_that_fails_is_marked_and_one_that_is_refused_is_not() -> None:
    spans = Spans()
    async with (
        open_upstream(plays(FAILS)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url), tracer=spans.tracer) as client,
    ):
        assert (await client.post("/openai/v1/chat/completions", json=chat())).status_code == 502
        await spans.ended()
        failed = spans.request
        assert (await client.post("/v1/chat/completions", json=chat(n=99))).status_code == 400
        await spans.ended(2)
    assert (told(failed)["gateway.outcome"], told(failed)["error.type"]) == ("error", "upstream_error")
    assert failed.status.status_code is StatusCode.ERROR
    (refused,) = [span for span in spans.named("chat other", SpanKind.SERVER) if span is not failed]
    assert (told(refused)["gateway.outcome"], refused.status.status_code) == ("refused", StatusCode.UNSET)


async def test_a_hedge_that_lost_and_a_client_that_left_are_cancelled() -> None:
    spans = Spans()
    async with (
        open_upstream(plays(b"", hold=True)) as slow,
        open_upstream(plays(WHOLE)) as fast,
        open_gateway(
            settings(upstream_toml(slow.url, fast.url, model="hedge_after = 0.05")), tracer=spans.tracer
        ) as client,
    ):
        assert (await ask(client, chat())).output == "Four."
        await spans.ended()
    lost, won = sorted(spans.named("chat default"), key=lambda span: told(span)["gateway.attempt"])
    assert (told(lost)["gateway.outcome"], lost.status.status_code) == ("cancelled", StatusCode.UNSET)
    assert told(won)["gateway.outcome"] == "ok"

    spans = Spans()
    async with (
        open_upstream(plays(HEAD + THINKS, hold=True)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url), tracer=spans.tracer) as client,
    ):
        async with client.stream("POST", "/v1/chat/completions", json=chat()) as answer:
            await anext(answer.aiter_bytes())
            await until(lambda: upstream.open_connections == 1)
        await spans.ended()
    (attempt,) = spans.named("chat default")
    assert [told(each)["gateway.outcome"] for each in (attempt, spans.request)] == ["cancelled"] * 2
    assert len(spans.all) == 4


async def test_a_question_to_the_summary_model_is_a_part_of_its_request() -> None:
    spans = Spans()
    summary = '[summary]\nprompt = "model"\nupstream = "b"\nmodel = "small"\n'
    asked = trio.Event()

    async def answers_when_the_other_is_asked(stream: trio.SocketStream, _number: int) -> None:
        await asked.wait()
        await stream.send_all(WHOLE)

    async def says_that_it_is_asked(stream: trio.SocketStream, _number: int) -> None:
        asked.set()
        await stream.send_all(text_answer("It is about a sum."))

    async with (
        open_upstream(answers_when_the_other_is_asked) as main,
        open_upstream(says_that_it_is_asked) as small,
        open_gateway(settings(upstream_toml(main.url, small.url) + summary), tracer=spans.tracer) as client,
    ):
        body = chat("Tell me of it, please. " * 20, stream=False)
        headers = {"traceparent": SAMPLED}
        assert (await client.post("/v1/chat/completions", json=body, headers=headers)).status_code == 200
        await spans.ended()
    questions = spans.named("chat small")
    assert [told(each)["gateway.summary"] for each in questions] == ["prompt"]
    assert parent(questions[0]) == own_id(spans.request)
    assert small.headers[0]["traceparent"] in {traceparent(each) for each in questions}


async def test_requests_over_a_websocket_belong_to_the_trace_of_its_upgrade() -> None:
    spans = Spans()
    async with (
        open_upstream(plays(WHOLE)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url), tracer=spans.tracer) as client,
        open_socket(client, fields={"traceparent": SAMPLED}) as socket,
    ):
        for _ in range(2):
            assert (await socket.ask(chat())).output == "Four."
        await spans.ended(2)
    requests = spans.named("chat default", SpanKind.SERVER)
    assert {parent(span) for span in requests} == {PARENT}
    assert len({own_id(span) for span in requests}) == 2


# What comes in


HOSTILE: dict[str, bytes] = {
    "nothing": b"",
    "no header of this kind": b"hello",
    "zeros": b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01",
    "a forbidden version": b"ff" + SAMPLED[2:].encode(),
    "letters": SAMPLED.upper().encode(),
    "too long": SAMPLED.encode() + b"-" + b"a" * 8000,
    "spaces": b"-" + b" " * 8000 + b"x",
    "no ASCII": b"00-\xff\xfe",
}


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
async def test_what_is_no_traceparent_begins_a_new_trace(value: bytes) -> None:
    spans = Spans()
    async with (
        open_upstream(plays(WHOLE)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url), tracer=spans.tracer) as client,
    ):
        headers = [(b"traceparent", value), (b"tracestate", b"a=" + b"b" * 5000), (b"baggage", b"c=d")]
        answer = await client.post("/v1/chat/completions", json=chat(stream=False), headers=headers)
        assert answer.status_code == 200
        await spans.ended()
    assert spans.request.parent is None
    assert upstream.headers[0]["traceparent"].split("-")[1] != TRACE
    assert not upstream.headers[0].keys() & {"tracestate", "baggage"}


async def test_a_client_that_does_not_record_is_not_recorded_and_its_trace_goes_on() -> None:
    spans = Spans()
    async with (
        open_upstream(plays(WHOLE)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url), tracer=spans.tracer) as client,
    ):
        headers = {"traceparent": SAMPLED.removesuffix("1") + "0"}
        body = chat(stream=False)
        assert (await client.post("/v1/chat/completions", json=body, headers=headers)).status_code == 200
    _, trace, _, flags = upstream.headers[0]["traceparent"].split("-")
    assert (trace, flags, spans.all) == (TRACE, "00", [])


# What must not be there


async def test_no_text_is_in_a_span() -> None:
    spans = Spans()
    answers = [
        HEAD + sse_chunk({"content": "<think>The canarythought is long enough for a line of it.\n</think>"}),
        sse_chunk({"content": "It is the canaryanswer."}),
        sse_chunk(finish="stop") + DONE,
    ]
    broken = HEAD + b'data: {"error": {"message": "canaryerror", "code": "canarycode"}}\n\n'
    async with (
        open_upstream(plays(b"".join(answers), broken)) as upstream,
        open_gateway(
            settings(UPSTREAM_URL=upstream.url, UPSTREAM_API_KEY="canarykey"), tracer=spans.tracer
        ) as client,
    ):
        body = chat("Tell me of the canaryprompt, please.", user="canaryuser")
        assert "canaryanswer" in (await ask(client, body)).output
        assert (await ask(client, body)).error is not None
        await spans.ended(2)
    assert len(spans.all) >= 8
    assert [span.name for span in spans.all if "canary" in span.to_json()] == []


async def test_tokens_cost_no_spans_and_no_events() -> None:
    counts = []
    for tokens in (2, 200):
        spans = Spans()
        answer = text_answer("<think>Let me see.\n</think>", *["word "] * tokens)
        async with (
            open_upstream(plays(answer)) as upstream,
            open_gateway(settings(UPSTREAM_URL=upstream.url), tracer=spans.tracer) as client,
        ):
            await ask(client, chat())
            await spans.ended()
        counts.append((len(spans.all), sum(len(span.events) for span in spans.all)))
    assert counts[0] == counts[1]


# Whether anything is recorded

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
CHOICES: dict[str, tuple[Json, bool, str]] = {
    # variables, whether there are traces, what the warning says
    "nothing": ({}, False, ""),
    "empty": ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False, ""),
    "an endpoint": (ENDPOINT, True, ""),
    "an endpoint for traces": ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/x"}, True, ""),
    "the exporter": ({"OTEL_TRACES_EXPORTER": "otlp"}, True, ""),
    "several exporters": ({"OTEL_TRACES_EXPORTER": "console, otlp"}, True, ""),
    "another exporter": (ENDPOINT | {"OTEL_TRACES_EXPORTER": "zipkin"}, False, ""),
    "none": (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False, ""),
    "disabled": (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, False, ""),
    "its own protocol": (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True, ""),
    "another protocol": (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False, "http/protobuf"),
}


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
async def test_the_standard_variables_decide(choice: tuple[Json, bool, str]) -> None:
    environ, traced, warning = choice
    with capture_logs() as log:
        tracer = tracer_of(environ)
        await tracer.aclose()
    assert (tracer is not NO_TRACER) is traced
    assert [each["message"] for each in log if warning not in each["message"]] == []
    assert len(log) == bool(warning)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda patch: patch.setitem(sys.modules, "trio_gateway.server.otel", None), "trio-gateway[otel]"),
        (lambda patch: patch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1"), "ValueError"),
    ],
    ids=["no SDK", "a wrong variable"],
)
def test_what_cannot_be_traced_is_a_warning(
    spoil: Callable[[pytest.MonkeyPatch], None], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch)
    with capture_logs() as log:
        assert tracer_of(ENDPOINT) is NO_TRACER
    (line,) = log
    assert said in line["message"]


def test_without_the_variables_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import sys, trio_gateway.server.serve as serve, trio_gateway.server.tracer_choice as tracing\n"
        "tracing.tracer_of({})\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=ROOT
    )
    assert done.stdout == "[]\n"


async def test_without_them_no_header_goes_to_the_upstream() -> None:
    with capture_logs() as log:
        async with (
            open_upstream(plays(WHOLE)) as upstream,
            open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
        ):
            await ask(client, chat(), traceparent=SAMPLED, tracestate="a=b")
    assert not upstream.headers[0].keys() & {"traceparent", "tracestate"}
    assert not any("trace_id" in each for each in log)


# A real exporter


async def test_a_collector_gets_the_spans_when_the_process_ends() -> None:
    with open_collector() as collector:
        async with (
            open_upstream(plays(WHOLE)) as upstream,
            running(
                OWN,
                UPSTREAM_URL=upstream.url,
                LOG_FORMAT="json",
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
                OTEL_EXPORTER_OTLP_HEADERS="x-key=canary",
                OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
            ) as gateway,
            streaming(gateway.url, chat()) as answer,
        ):
            text = await answer.aread()
            assert text.endswith(b"data: [DONE]\n\n")
            await answer.aclose()
            assert await gateway.stop() == 0
    assert set(collector.paths) == {"/v1/traces"}
    assert collector.headers[0]["x-key"] == "canary"
    found: list[tuple[str, Any]] = []
    for body in collector.bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            attributes = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert attributes["service.name"] == "trio-gateway"
            assert attributes["deployment.environment.name"] == "test"
            found += [(span.name, span) for scope in resource.scope_spans for span in scope.spans]
    assert sorted(name for name, _ in found) == [
        "chat default",
        "chat default",
        "prompt_summary",
        "reasoning_summary",
    ]
    lines = [json.loads(line) for line in gateway.log]
    traces = {span.trace_id.hex() for _, span in found}
    assert traces == {each["trace_id"] for each in lines if each["event"] == "request"}
    assert not any("canary" in line for line in gateway.log)


async def test_a_collector_that_hangs_delays_no_answer_and_the_end_by_seconds() -> None:
    with open_collector(answers=False) as collector:
        async with (
            open_upstream(plays(WHOLE)) as upstream,
            running(
                OWN,
                UPSTREAM_URL=upstream.url,
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
                OTEL_BSP_SCHEDULE_DELAY="20",
            ) as gateway,
        ):
            for _ in range(2):
                with trio.fail_after(3):
                    async with streaming(gateway.url, chat()) as answer:
                        assert (await answer.aread()).endswith(b"data: [DONE]\n\n")
                await until(lambda: collector.bodies != [])
            assert await gateway.stop(within=9) == 0


async def test_a_collector_that_refuses_is_reported_once_and_without_what_it_says() -> None:
    with open_collector(statuses=[401, 401, 200], text="canary: x-key=canary") as collector:
        async with (
            open_upstream(plays(WHOLE)) as upstream,
            running(
                OWN,
                UPSTREAM_URL=upstream.url,
                LOG_FORMAT="json",
                LOG_LEVEL="debug",
                OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.url}/v1/traces?key=canary",
                OTEL_EXPORTER_OTLP_HEADERS="x-key=canary",
                OTEL_BSP_SCHEDULE_DELAY="20",
            ) as gateway,
        ):
            for number in range(1, 4):
                async with streaming(gateway.url, chat()) as answer:
                    await answer.aread()
                await until(lambda number=number: len(collector.bodies) >= number)  # type: ignore[misc]
            assert await gateway.stop() == 0
    events = [json.loads(line) for line in gateway.log]
    told = [(each["event"], each.get("reason")) for each in events if each["event"].startswith("traces")]
    assert told == [("traces_not_taken", "status 401"), ("traces_taken", None)]
    assert not any("canary" in line or "opentelemetry" in line for line in gateway.log)


async def test_an_unreachable_collector_is_named_by_its_error_alone() -> None:
    async with (
        open_upstream(plays(WHOLE)) as upstream,
        running(
            OWN,
            UPSTREAM_URL=upstream.url,
            LOG_FORMAT="json",
            LOG_LEVEL="debug",
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="http://127.0.0.1:9/v1/traces?key=canary",
            OTEL_EXPORTER_OTLP_TIMEOUT="3",
            OTEL_BSP_SCHEDULE_DELAY="20",
        ) as gateway,
    ):
        async with streaming(gateway.url, chat()) as answer:
            await answer.aread()
        await until(lambda: any("traces_not_taken" in line for line in gateway.log), 8)
        assert await gateway.stop() == 0
    lines = [json.loads(line) for line in gateway.log]
    assert [each["reason"] for each in lines if each["event"] == "traces_not_taken"] == ["ConnectionError"]
    assert not any("canary" in line for line in gateway.log)


# Without a collector


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/chat/completions"])
async def test_a_whole_answer_says_where_its_time_went_and_a_stream_does_not(path: str) -> None:
    async with (
        open_upstream(plays(WHOLE, WHOLE, FAILS)) as upstream,
        open_gateway(settings(UPSTREAM_URL=upstream.url)) as client,
    ):
        whole, streamed, failed = [
            await client.post(path, json=chat(stream=stream)) for stream in (False, True, False)
        ]
    assert "server-timing" not in streamed.headers
    phases = ["prompt_summary", "reasoning_summary", "final_output"]
    for answer, names in ((whole, [*phases, "total"]), (failed, ["prompt_summary", "total"])):
        entries = [each.split(";dur=") for each in answer.headers["server-timing"].split(", ")]
        assert [name for name, _ in entries] == names
        *parts, total = [float(milliseconds) for _, milliseconds in entries]
        assert sum(parts) == pytest.approx(total, abs=0.5)
        assert 0 < total <= answer.elapsed.total_seconds() * 1000 + 1
