/* Server-sent events of a streamed answer, each in an HTTP chunk of its own, and the whole answer in one body. */
#ifndef EVENTS_H
#define EVENTS_H

#include "answer.h"

#define ENVELOPE(kind) "{\"id\":\"chatcmpl-bench\",\"object\":\"" kind "\",\"created\":1760000000,\"model\":\"bench\","
#define CHUNK "data: " ENVELOPE("chat.completion.chunk")
#define USAGE "\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":%ld,\"total_tokens\":%ld}}"

enum { CHUNK_HEAD = 8 }; /* six hexadecimal digits, which the largest event needs, and CR LF */

static size_t open_chunk(Buffer *out)
{
    buffer_add(out, "000000\r\n", CHUNK_HEAD);
    return buffer_length(out);
}

/* Close the chunk whose content began `mark` bytes after the buffer's start. */
static void close_chunk(Buffer *out, size_t mark)
{
    char *content = out->data + out->start + mark;
    put_hex(content - CHUNK_HEAD, buffer_length(out) - mark, CHUNK_HEAD - 2);
    buffer_add(out, "\r\n", 2);
}

static size_t open_delta(Buffer *out, const char *field)
{
    size_t mark = open_chunk(out);
    buffer_add_text(out, CHUNK "\"choices\":[{\"index\":0,\"delta\":{\"");
    buffer_add_text(out, field);
    buffer_add_text(out, "\":\"");
    return mark;
}

static void close_delta(Buffer *out, size_t mark)
{
    buffer_add_text(out, "\"},\"finish_reason\":null}]}\n\n");
    close_chunk(out, mark);
}

static void add_role(Buffer *out)
{
    buffer_add_text(out, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                         "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n");
    size_t mark = open_delta(out, "role");
    buffer_add_text(out, "assistant\",\"content\":\"");
    close_delta(out, mark);
}

/* Add piece `index` of the reasoning; -1 is its start marker, `think` its end marker. */
static void add_reasoning(Buffer *out, const Settings *settings, long index)
{
    const bool marker = index < 0 || index == settings->think;
    if (marker && settings->field)
        return;
    size_t mark = open_delta(out, settings->field ? "reasoning_content" : "content");
    if (marker)
        buffer_add_text(out, index < 0 ? "<think>\\n" : "\\n</think>\\n\\n");
    else
        add_piece(out, settings, index);
    close_delta(out, mark);
}

static void add_usage(Buffer *out, const Settings *settings)
{
    char text[160];
    long count = settings->think + settings->body + settings->tokens;
    snprintf(text, sizeof text, USAGE, count, count + 20);
    buffer_add_text(out, text);
}

static void add_end(Buffer *out, const Settings *settings)
{
    size_t mark = open_chunk(out);
    buffer_add_text(out, CHUNK "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
    close_chunk(out, mark);
    mark = open_chunk(out);
    buffer_add_text(out, CHUNK "\"choices\":[],");
    add_usage(out, settings);
    buffer_add_text(out, "\n\n");
    close_chunk(out, mark);
    mark = open_chunk(out);
    buffer_add_text(out, "data: [DONE]\n\n");
    close_chunk(out, mark);
    buffer_add_text(out, "0\r\n\r\n");
}

static void add_response(Buffer *out, const char *status, const Buffer *body)
{
    char head[160];
    snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", status,
             buffer_length(body));
    buffer_add_text(out, head);
    buffer_add(out, body->data + body->start, buffer_length(body));
}

/* Add the answer as one JSON object, for a request that does not stream. */
static void add_whole(Buffer *out, const Settings *settings)
{
    Buffer body = {0};
    buffer_add_text(&body, ENVELOPE("chat.completion"));
    buffer_add_text(&body, "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"");
    if (settings->think)
        buffer_add_text(&body, "<think>\\n");
    for (long i = 0; i < settings->think; i++)
        add_piece(&body, settings, i);
    if (settings->think)
        buffer_add_text(&body, "\\n</think>\\n\\n");
    for (long i = 0; i < settings->body; i++)
        add_piece(&body, settings, i);
    for (long i = 0; i < settings->tokens; i++)
        add_token(&body, i);
    buffer_add_text(&body, "\"},\"finish_reason\":\"stop\"}],");
    add_usage(&body, settings);
    add_response(out, "200 OK", &body);
    buffer_free(&body);
}

/* Answer a GET: what routers ask for before they use an upstream, be it its health, its models or its limits. */
static void add_description(Buffer *out)
{
    Buffer body = {0};
    buffer_add_text(&body, "{\"status\":\"ok\",\"object\":\"list\",\"model_path\":\"bench\",\"model_id\":\"bench\","
                           "\"served_model_name\":\"bench\",\"is_generation\":true,\"max_model_len\":32768,"
                           "\"data\":[{\"id\":\"bench\",\"object\":\"model\",\"created\":1760000000,"
                           "\"owned_by\":\"bench\",\"root\":\"bench\",\"max_model_len\":32768}]}");
    add_response(out, "200 OK", &body);
    buffer_free(&body);
}

static void add_failure(Buffer *out)
{
    Buffer body = {0};
    buffer_add_text(&body, "{\"error\":{\"message\":\"This model always fails.\",\"type\":\"server_error\"}}");
    add_response(out, "500 Internal Server Error", &body);
    buffer_free(&body);
}

#endif
