/* Requests as the upstream reads them: an HTTP/1.1 head, and a body with a length or in chunks. */
#ifndef REQUEST_H
#define REQUEST_H

#include "common.h"

enum { MAX_BODY = 4 << 20 };

typedef struct {
    char *head, *body; /* both end with a zero byte; the caller frees them */
    size_t body_length, length;
} Request;

typedef enum { INCOMPLETE, COMPLETE, BROKEN } Progress;

static char *find(char *in, size_t length, const char *what)
{
    return memmem(in, length, what, strlen(what));
}

/* Join the chunks of a body in `in`; `used` are the bytes that they take with their framing. */
static Progress join_chunks(char *in, size_t length, Buffer *body, size_t *used)
{
    for (char *at = in, *end = in + length;;) {
        char *line_end = find(at, end - at, "\r\n");
        if (!line_end)
            return INCOMPLETE;
        size_t size = strtoul(at, NULL, 16);
        if (size > MAX_BODY)
            return BROKEN;
        char *content = line_end + 2;
        if ((size_t)(end - content) < size + 2)
            return INCOMPLETE;
        buffer_add(body, content, size);
        at = content + size + 2;
        *used = at - in;
        if (!size)
            return COMPLETE;
    }
}

static char *copy_of(const char *bytes, size_t length)
{
    char *copy = malloc(length + 1);
    if (!copy)
        die("out of memory");
    memcpy(copy, bytes, length);
    copy[length] = 0;
    return copy;
}

static Progress read_body(Request *request, char *after, size_t length)
{
    char *field = strcasestr(request->head, "\r\ncontent-length:");
    size_t used = 0;
    Buffer body = {0};
    Progress progress = COMPLETE;
    if (strcasestr(request->head, "\r\ntransfer-encoding: chunked"))
        progress = join_chunks(after, length, &body, &used);
    else if (field) {
        used = strtoul(field + strlen("\r\ncontent-length:"), NULL, 10);
        progress = used > MAX_BODY ? BROKEN : used > length ? INCOMPLETE : COMPLETE;
        if (progress == COMPLETE)
            buffer_add(&body, after, used);
    }
    request->body = copy_of(body.data ? body.data : "", buffer_length(&body));
    request->body_length = buffer_length(&body);
    request->length += used;
    buffer_free(&body);
    return progress;
}

static void request_free(Request *request)
{
    free(request->head);
    free(request->body);
    *request = (Request){0};
}

/* Take the next request out of `in`, if it is complete. */
static Progress take_request(Buffer *in, Request *request)
{
    char *start = in->data + in->start;
    size_t length = buffer_length(in);
    char *end = find(start, length, "\r\n\r\n");
    *request = (Request){0};
    if (!end)
        return length > MAX_HEAD ? BROKEN : INCOMPLETE;
    request->length = end + 4 - start;
    request->head = copy_of(start, end + 2 - start);
    Progress progress = read_body(request, end + 4, length - request->length);
    if (progress == COMPLETE)
        in->start += request->length;
    else
        request_free(request);
    return progress;
}

/* The value of a string or a literal under `key` of a JSON object, as far as a benchmark needs it. */
static const char *json_value(const char *body, const char *key)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    for (const char *at = body; (at = strstr(at, quoted));) {
        at += strlen(quoted);
        const char *value = at + strspn(at, " ");
        if (*value == ':')
            return value + 1 + strspn(value + 1, " ");
    }
    return "";
}

#endif
