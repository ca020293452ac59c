/* Connections of the load generator: each asks, reads its answer, rests, and asks again. */
#ifndef CLIENT_H
#define CLIENT_H

#include "options.h"
#include "response.h"
#include "timers.h"

typedef enum { RESTING, CONNECTING, SENDING, READING } State; /* RESTING: a timer runs, or all has been asked */

typedef struct {
    Timer timer; /* first, so that a timer's address is its connection's */
    int socket;
    State state;
    size_t written;
    bool reused;
    Response response;
} Connection;

typedef struct {
    long begun, finished, failed, tokens, open, most_open, reconnected;
    int64_t began;
    char failure[2 * TAIL];
} Totals;

static Options options;
static Connection *connections;
static Totals totals;
static Buffer request;
static int poller;

static void watch(Connection *connection, int operation, bool writable)
{
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = connection};
    epoll_ctl(poller, operation, connection->socket, &event);
}

static void disconnect(Connection *connection)
{
    if (connection->socket >= 0)
        close(connection->socket);
    connection->socket = -1;
}

static void rest(Connection *connection, int64_t until)
{
    connection->state = RESTING;
    timer_start(&connection->timer, until);
}

static bool is_good(const Response *response)
{
    return response->place == AT_END && response->status == 200 && response->in_order &&
           (options.tokens < 0 || response->tokens == options.tokens) &&
           (options.whole || strstr(response->tail, "[DONE]"));
}

static void finish(Connection *connection, const char *why)
{
    const Response *response = &connection->response;
    totals.open--;
    totals.finished++;
    if (is_good(response))
        add_sample(&whole, now_us() - response->sent);
    else if (!response->any_byte)
        add_sample(&first_byte, now_us() - response->sent); /* so long it waited, and in vain */
    if (!is_good(response) && !totals.failed++)
        snprintf(totals.failure, sizeof totals.failure, "%s; status %d, %ld tokens%s: %s", why, response->status,
                 response->tokens, response->in_order ? "" : " out of order", response->tail);
    if (response->close || !is_good(response))
        disconnect(connection);
    rest(connection, now_us() + 1000 * options.gap_ms);
}

static void send_request(Connection *connection)
{
    while (connection->written < request.end) {
        ssize_t sent = send(connection->socket, request.data + connection->written, request.end - connection->written,
                            MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return watch(connection, EPOLL_CTL_MOD, true);
        if (sent < 0)
            return finish(connection, "the request could not be sent");
        connection->written += sent;
    }
    if (connection->state != READING)
        watch(connection, EPOLL_CTL_MOD, false);
    connection->state = READING;
}

static void connect_anew(Connection *connection)
{
    struct sockaddr_in address = loopback(options.port);
    connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    no_delay(connection->socket);
    connection->state = CONNECTING;
    if (connect(connection->socket, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        return finish(connection, "no connection");
    watch(connection, EPOLL_CTL_ADD, true);
}

static void begin(Connection *connection)
{
    connection->written = 0;
    connection->reused = connection->socket >= 0;
    response_begin(&connection->response);
    connection->state = SENDING;
    if (connection->reused)
        send_request(connection);
    else
        connect_anew(connection);
}

static void begin_next(Connection *connection)
{
    totals.begun++;
    if (++totals.open > totals.most_open)
        totals.most_open = totals.open;
    begin(connection);
}

/* The peer closed. A kept connection may be closed just as a request is sent on it: that one is sent again. */
static void on_close(Connection *connection)
{
    Response *response = &connection->response;
    disconnect(connection);
    if (connection->state == RESTING)
        return;
    if (connection->reused && response->place == IN_HEAD && !buffer_length(&response->raw)) {
        totals.reconnected++;
        return begin(connection);
    }
    if (response->place == IN_CONTENT && response->framing == BODY_TO_CLOSE)
        response->place = AT_END;
    finish(connection, "the connection was closed early");
}

static void on_readable(Connection *connection)
{
    enum { READ = 65536 };
    Response *response = &connection->response;
    buffer_reserve(&response->raw, READ);
    ssize_t got = recv(connection->socket, response->raw.data + response->raw.end, READ, 0);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0)
        return on_close(connection);
    response->raw.end += got;
    long before = response->tokens;
    const int64_t now = now_us();
    while (decode_step(response, now))
        ;
    totals.tokens += response->tokens - before;
    if (response->place == AT_END && connection->state == READING)
        finish(connection, "the answer is not what was asked for");
}

static void on_event(Connection *connection, uint32_t events)
{
    if (connection->state == CONNECTING) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(connection->socket, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error) {
            disconnect(connection);
            return finish(connection, strerror(error));
        }
        connection->state = SENDING;
    }
    if (connection->state == SENDING)
        send_request(connection);
    if (connection->socket >= 0 && events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        on_readable(connection);
}

#endif
