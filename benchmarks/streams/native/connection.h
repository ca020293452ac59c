/* Connections of the upstream: what each is doing, and how the next piece of its answer is written. */
#ifndef CONNECTION_H
#define CONNECTION_H

#include "events.h"
#include "timers.h"

typedef enum { IDLE, WAITING, READY, BLOCKED } State; /* BLOCKED: the client's side takes no bytes now */

typedef struct Connection {
    Timer timer; /* first, so that a timer's address is its connection's */
    int socket;
    State state;
    bool answering;
    Settings settings;
    long step;
    Buffer in, out;
    struct Connection *next, *previous; /* in the list of ready or of closed connections */
} Connection;

static int poller, connection_count;
static Connection *ready, *closed;

static void leave_ready(Connection *connection)
{
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        ready = connection->next;
    if (connection->next)
        connection->next->previous = connection->previous;
    connection->next = connection->previous = NULL;
}

static void join_ready(Connection *connection)
{
    connection->next = ready;
    if (ready)
        ready->previous = connection;
    ready = connection;
}

static void watch(Connection *connection, bool writable)
{
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0), .data.ptr = connection};
    epoll_ctl(poller, EPOLL_CTL_MOD, connection->socket, &event);
}

/* Leave the present state and enter another one; `due` counts for WAITING alone. */
static void enter(Connection *connection, State state, int64_t due)
{
    if (connection->state == READY)
        leave_ready(connection);
    timer_stop(&connection->timer);
    if ((connection->state == BLOCKED) != (state == BLOCKED))
        watch(connection, state == BLOCKED);
    if (state == READY)
        join_ready(connection);
    if (state == WAITING)
        timer_start(&connection->timer, due);
    connection->state = state;
}

/* The memory is given back after the round: epoll may still name the connection in this one. */
static void hang_up(Connection *connection)
{
    if (connection->socket < 0)
        return;
    enter(connection, IDLE, 0);
    close(connection->socket);
    connection->socket = -1;
    connection->next = closed;
    closed = connection;
    connection_count--;
}

/* Whether everything has been written. */
static bool flush(Connection *connection)
{
    Buffer *out = &connection->out;
    while (buffer_length(out)) {
        ssize_t sent = send(connection->socket, out->data + out->start, buffer_length(out), MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            hang_up(connection);
        if (sent < 0)
            return false;
        out->start += sent;
    }
    return true;
}

/* Add the events of the next step; whether it was a piece, or the end. */
static bool add_step(Connection *connection)
{
    const Settings *settings = &connection->settings;
    Buffer *out = &connection->out;
    const long thinks = settings->think ? settings->think + 2 : 0;
    long step = connection->step++ - 1;
    if (step < 0) {
        add_role(out);
        return false;
    }
    if (step < thinks) {
        add_reasoning(out, settings, step - 1);
        return step > 0 && step < thinks - 1;
    }
    step -= thinks;
    if (step == settings->body + settings->tokens) {
        add_end(out, settings);
        connection->answering = false;
        return true;
    }
    size_t mark = open_delta(out, "content");
    if (step < settings->body)
        add_piece(out, settings, step);
    else
        add_token(out, step - settings->body);
    close_delta(out, mark);
    return true;
}

static bool only_the_end_is_left(const Connection *connection)
{
    const Settings *settings = &connection->settings;
    return connection->step == 1 + (settings->think ? settings->think + 2 : 0) + settings->body + settings->tokens;
}

/* Write what is there, and wait for whatever has to come before the next piece. */
static void write_out(Connection *connection, int64_t due)
{
    if (flush(connection))
        enter(connection, !connection->answering ? IDLE : connection->settings.pace_us ? WAITING : READY, due);
    else if (connection->socket >= 0)
        enter(connection, BLOCKED, 0);
}

static void write_piece(Connection *connection)
{
    while (!add_step(connection))
        ;
    if (connection->answering && only_the_end_is_left(connection))
        add_step(connection);
    write_out(connection, connection->timer.due + connection->settings.pace_us);
}

#endif
