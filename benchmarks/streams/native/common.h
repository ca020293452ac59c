/* Clock, byte buffers and option parsing, shared by the upstream and the load generator. */
#ifndef COMMON_H
#define COMMON_H

#define _GNU_SOURCE
#include <stddef.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 4096, MAX_HEAD = 65536, MAX_SETTINGS = 512 };

/* A stamp in a token's text: '@', the instant it was written in 16 hexadecimal digits (microseconds of the
 * monotonic clock), '#', its number within the answer in 6, ';'. */
enum { STAMP_LENGTH = 25 };

static inline int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline void die(const char *what)
{
    fprintf(stderr, "error: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

/* Bytes start..end of a growing block. */
typedef struct {
    char *data;
    size_t start, end, capacity;
} Buffer;

static inline size_t buffer_length(const Buffer *buffer)
{
    return buffer->end - buffer->start;
}

static inline void buffer_reserve(Buffer *buffer, size_t more)
{
    if (buffer->start == buffer->end)
        buffer->start = buffer->end = 0;
    if (buffer->end + more <= buffer->capacity)
        return;
    memmove(buffer->data, buffer->data + buffer->start, buffer_length(buffer));
    buffer->end -= buffer->start;
    buffer->start = 0;
    if (buffer->end + more <= buffer->capacity)
        return;
    buffer->capacity = 2 * (buffer->end + more);
    buffer->data = realloc(buffer->data, buffer->capacity);
    if (!buffer->data)
        die("out of memory");
}

static inline void buffer_add(Buffer *buffer, const char *bytes, size_t length)
{
    buffer_reserve(buffer, length);
    memcpy(buffer->data + buffer->end, bytes, length);
    buffer->end += length;
}

static inline void buffer_add_text(Buffer *buffer, const char *text)
{
    buffer_add(buffer, text, strlen(text));
}

static inline void buffer_free(Buffer *buffer)
{
    free(buffer->data);
    *buffer = (Buffer){0};
}

static inline void no_delay(int socket)
{
    int one = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static inline struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline int open_listener(int port)
{
    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = loopback(port);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, MAX_CONNECTIONS))
        die("the port cannot be listened on");
    return listener;
}

/* A number from the command line that must lie within low..high. */
static inline long bounded(const char *name, const char *text, long low, long high)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == 0 || *end != 0 || value < low || value > high) {
        fprintf(stderr, "error: --%s must be a whole number from %ld to %ld, not %s\n", name, low, high, text);
        exit(2);
    }
    return value;
}

/* End with the process that started this one, so that a benchmark that is killed leaves nothing running. */
static inline void end_with_parent(void)
{
    prctl(PR_SET_PDEATHSIG, SIGTERM);
}

#endif
