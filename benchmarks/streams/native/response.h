/* Responses as the load generator reads them: head, body in any framing, and the stamped tokens in the body. */
#ifndef RESPONSE_H
#define RESPONSE_H

#include "samples.h"

enum { TAIL = 256 };

typedef enum { BODY_LENGTH, BODY_CHUNKS, BODY_TO_CLOSE } Framing;
typedef enum { IN_HEAD, IN_SIZE, IN_CONTENT, IN_CONTENT_END, IN_TRAILER, AT_END } Place;

typedef struct {
    Place place;
    Framing framing;
    int status;
    bool close;          /* the connection ends with this response */
    size_t left;         /* of the body, or of the chunk */
    int64_t sent, stamp; /* when the request was sent, and what the last token's stamp was */
    int64_t latency;     /* of the last token */
    long tokens;
    bool in_order, any_byte;
    Buffer raw, text;    /* not yet decoded; decoded and not yet searched */
    char tail[TAIL + 1]; /* the last bytes of the body, for its end and for error messages */
    int tail_length;
} Response;

static void response_begin(Response *response)
{
    Buffer raw = response->raw, text = response->text;
    raw.start = raw.end = text.start = text.end = 0;
    *response = (Response){.raw = raw, .text = text, .in_order = true, .sent = now_us()};
}

static void keep_tail(Response *response, const char *bytes, size_t length)
{
    size_t fresh = length < TAIL ? length : TAIL, old = response->tail_length;
    if (old > TAIL - fresh) {
        memmove(response->tail, response->tail + old - (TAIL - fresh), TAIL - fresh);
        old = TAIL - fresh;
    }
    memcpy(response->tail + old, bytes + length - fresh, fresh);
    response->tail_length = old + fresh;
    response->tail[response->tail_length] = 0;
}

static int64_t hex_value(const char *digits, int count)
{
    int64_t value = 0;
    for (int i = 0; i < count; i++)
        value = value * 16 + (digits[i] <= '9' ? digits[i] - '0' : digits[i] - 'a' + 10);
    return value;
}

static void on_token(Response *response, const char *stamp, int64_t now)
{
    int64_t late = now - hex_value(stamp + 1, 16);
    if (hex_value(stamp + 18, 6) != response->tokens)
        response->in_order = false;
    if (!response->tokens)
        add_sample(&first_token, now - response->sent);
    else
        add_sample(&gap, llabs(late - response->latency));
    add_sample(&latency, late);
    response->latency = late;
    response->tokens++;
}

static void search_text(Response *response, const char *bytes, size_t length, int64_t now)
{
    Buffer *text = &response->text;
    if (!response->any_byte)
        add_sample(&first_byte, now - response->sent);
    response->any_byte = true;
    keep_tail(response, bytes, length);
    buffer_add(text, bytes, length);
    for (char *at; (at = memchr(text->data + text->start, '@', buffer_length(text)));) {
        text->start = at - text->data;
        if (buffer_length(text) < STAMP_LENGTH)
            return;
        bool stamp = at[17] == '#' && at[24] == ';';
        if (stamp)
            on_token(response, at, now);
        text->start += stamp ? STAMP_LENGTH : 1;
    }
    text->start = text->end;
}

/* Read the head, of which `end` is the end, and choose how the body is read. */
static void read_head(Response *response, char *head, char *end)
{
    *end = 0;
    response->status = strlen(head) > 12 ? atoi(head + 9) : 0;
    char *length = strcasestr(head, "\r\ncontent-length:");
    response->close = strcasestr(head, "\r\nconnection: close") != NULL;
    if (strcasestr(head, "\r\ntransfer-encoding: chunked")) {
        response->framing = BODY_CHUNKS;
        response->place = IN_SIZE;
    } else {
        response->framing = length ? BODY_LENGTH : BODY_TO_CLOSE;
        response->left = length ? strtoul(length + strlen("\r\ncontent-length:"), NULL, 10) : SIZE_MAX;
        response->place = response->left ? IN_CONTENT : AT_END;
    }
    response->close |= response->framing == BODY_TO_CLOSE;
}

static bool take_line(Buffer *raw, char **line, size_t *length)
{
    char *end = memmem(raw->data + raw->start, buffer_length(raw), "\r\n", 2);
    if (!end)
        return false;
    *line = raw->data + raw->start;
    *length = end - *line;
    raw->start += *length + 2;
    return true;
}

/* Decode what has come by one step; false: more bytes are needed, or the response has ended. */
static bool decode_step(Response *response, int64_t now)
{
    Buffer *raw = &response->raw;
    char *line = raw->data + raw->start, *end;
    size_t length = buffer_length(raw);
    switch (response->place) {
    case IN_HEAD:
        end = memmem(line, length, "\r\n\r\n", 4);
        if (!end)
            return false;
        raw->start += end + 4 - line;
        read_head(response, line, end);
        return true;
    case IN_SIZE:
        if (!take_line(raw, &line, &length))
            return false;
        response->left = strtoul(line, NULL, 16);
        response->place = response->left ? IN_CONTENT : IN_TRAILER;
        return true;
    case IN_CONTENT:
        if (!length)
            return false;
        length = length < response->left ? length : response->left;
        raw->start += length;
        response->left -= length;
        if (!response->left)
            response->place = response->framing == BODY_CHUNKS ? IN_CONTENT_END : AT_END;
        search_text(response, line, length, now);
        return true;
    case IN_CONTENT_END:
    case IN_TRAILER:
        if (!take_line(raw, &line, &length))
            return false;
        if (response->place == IN_CONTENT_END)
            response->place = IN_SIZE;
        else if (!length)
            response->place = AT_END;
        return true;
    default:
        return false;
    }
}

#endif
