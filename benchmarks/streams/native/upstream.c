/* Upstream for benchmarks: an OpenAI-style chat API on 127.0.0.1 that streams made-up tokens.
 *
 * One thread waits in epoll. An answer is a row of steps: the role, the reasoning's start, its pieces, its end,
 * the answer's pieces and tokens, the end. A paced answer has a timer; an unpaced one stays in the list of ready
 * connections while its socket takes bytes. Each piece is written by itself, as a model server does it; steps
 * that are no piece travel with the next one. */
#include "connection.h"
#include "request.h"

#include <getopt.h>

static const char HELP[] =
    "usage: upstream --port PORT [--seconds SECONDS]\n\n"
    "An OpenAI-style chat API for benchmarks. It listens on 127.0.0.1 alone, serves at most 4096 connections, and\n"
    "ends after SECONDS (1 to 86400, by default 3600) or with the process that started it.\n\n"
    "A request states what is to be answered by \"bench:key=value,key=value;\" anywhere in its body:\n"
    "  think=N     pieces of reasoning, between <think> and </think>; field=1: in reasoning_content instead\n"
    "  body=N      pieces of answer after it\n"
    "  tokens=N    tokens of answer after those, each with its number and the instant at which it was written\n"
    "  text=KIND   of reasoning and body: words, thoughts, letters, digits, angles, backticks, cjk, sentence\n"
    "  size=N      bytes of a piece of them; 0: one word, thought or character\n"
    "  pace_us=N   microseconds between two pieces; 0: as fast as they are taken\n"
    "  first_us=N  microseconds before the first one\n"
    "Without them it is 12 tokens. A path with /hang/ in it is never answered, one with /fail/ by status 500, one\n"
    "with /brief/ by six words, whatever the request states.\n";

enum { EVENTS_A_ROUND = 512 };

static volatile sig_atomic_t stopping;

static Settings settings_of(const Request *request)
{
    static const char MARK[] = "bench:";
    Settings settings = {0};
    const char *text = strstr(request->body, MARK);
    if (strstr(request->head, "/brief/"))
        settings.body = 6;
    else if (text)
        read_settings(&settings, text + strlen(MARK), strcspn(text + strlen(MARK), ";"));
    if (!settings.tokens && !settings.body)
        settings.tokens = 12;
    return settings;
}

static void begin_stream(Connection *connection, const Request *request)
{
    const long first = connection->settings.first_us;
    const bool hangs = strstr(request->head, "/hang/");
    connection->step = 0;
    connection->answering = true;
    connection->timer.due = now_us() + first;
    if (hangs || first)
        enter(connection, hangs ? IDLE : WAITING, connection->timer.due);
    else
        write_piece(connection);
}

static void answer(Connection *connection, const Request *request)
{
    connection->settings = settings_of(request);
    if (!strncmp(request->head, "GET ", 4))
        add_description(&connection->out);
    else if (strstr(request->head, "/fail/"))
        add_failure(&connection->out);
    else if (strncmp(json_value(request->body, "stream"), "true", 4))
        add_whole(&connection->out, &connection->settings);
    else
        return begin_stream(connection, request);
    write_out(connection, 0);
}

/* Answer the requests that are complete; the next one waits until this answer has ended. */
static void read_requests(Connection *connection)
{
    buffer_reserve(&connection->in, MAX_HEAD);
    ssize_t got = recv(connection->socket, connection->in.data + connection->in.end, MAX_HEAD, 0);
    if (got > 0)
        connection->in.end += got;
    else if (got == 0 || errno != EAGAIN)
        hang_up(connection);
    Progress progress = COMPLETE;
    while (connection->socket >= 0 && !connection->answering && progress == COMPLETE && buffer_length(&connection->in)) {
        Request request;
        progress = take_request(&connection->in, &request);
        if (progress == BROKEN)
            hang_up(connection);
        if (progress != COMPLETE)
            break;
        answer(connection, &request);
        request_free(&request);
    }
}

static void accept_all(int listener)
{
    for (int socket; (socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        Connection *connection = calloc(1, sizeof *connection);
        if (!connection || connection_count == MAX_CONNECTIONS) {
            free(connection);
            close(socket);
            continue;
        }
        connection_count++;
        connection->socket = socket;
        connection->timer.slot = -1;
        no_delay(socket);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        epoll_ctl(poller, EPOLL_CTL_ADD, socket, &event);
    }
}

static void handle(Connection *connection, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_requests(connection);
    if (events & EPOLLOUT && connection->socket >= 0)
        write_out(connection, now_us() + connection->settings.pace_us);
}

static void write_due_pieces(void)
{
    const int64_t now = now_us();
    while (heap_size && heap[0]->due <= now)
        write_piece((Connection *)heap[0]);
    for (Connection *connection = ready, *next; connection; connection = next) {
        next = connection->next;
        write_piece(connection);
    }
}

static void free_closed(void)
{
    for (Connection *connection; (connection = closed);) {
        closed = connection->next;
        buffer_free(&connection->in);
        buffer_free(&connection->out);
        free(connection);
    }
}

/* Until something is due, at the most until the program's end. */
static struct timespec patience(int64_t end)
{
    int64_t until = heap_size && heap[0]->due < end ? heap[0]->due : end, wait = until - now_us();
    if (ready || wait < 0)
        wait = 0;
    return (struct timespec){wait / 1000000, wait % 1000000 * 1000};
}

static void serve(int listener, int64_t end)
{
    struct epoll_event events[EVENTS_A_ROUND], event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    while (!stopping && now_us() < end) {
        struct timespec wait = patience(end);
        int count = epoll_pwait2(poller, events, EVENTS_A_ROUND, &wait, NULL);
        for (int i = 0; i < count; i++) {
            Connection *connection = events[i].data.ptr;
            if (!connection)
                accept_all(listener);
            else if (connection->socket >= 0)
                handle(connection, events[i].events);
        }
        write_due_pieces();
        free_closed();
    }
}

static void stop(int number)
{
    (void)number;
    stopping = 1;
}

int main(int count, char **arguments)
{
    const struct option options[] = {
        {"port", 1, NULL, 'p'}, {"seconds", 1, NULL, 's'}, {"help", 0, NULL, 'h'}, {0}};
    long port = 0, seconds = 3600;
    for (int name; (name = getopt_long(count, arguments, "h", options, NULL)) != -1;) {
        if (name == 'p')
            port = bounded("port", optarg, 1, 65535);
        else if (name == 's')
            seconds = bounded("seconds", optarg, 1, 86400);
        else
            return fputs(HELP, name == 'h' ? stdout : stderr), name == 'h' ? 0 : 2;
    }
    if (!port || optind < count)
        return fputs(HELP, stderr), 2;
    end_with_parent();
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    poller = epoll_create1(0);
    serve(open_listener(port), now_us() + seconds * 1000000);
    return 0;
}
