/* Load generator for benchmarks: many concurrent requests to one chat API on 127.0.0.1, from one thread.
 *
 * It prints a JSON object a line: "start" when the warm-up is over, "tick" at an interval, "end" with all
 * figures. Whoever reads the lines can look at the processes under load at the same instants. */
#include "client.h"

enum { EVENTS_A_ROUND = 512 };

static volatile sig_atomic_t stopping;

static double seconds_since(int64_t instant)
{
    return (now_us() - instant) / 1e6;
}

static void print_tick(void)
{
    printf("{\"event\":\"tick\",\"seconds\":%.3f,\"tokens\":%ld,\"open\":%ld,\"answered\":%ld,\"finished\":%ld}\n",
           seconds_since(totals.began), totals.tokens, totals.open, first_token.count, totals.finished);
    fflush(stdout);
}

static void print_escaped(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f || *text == '"' || *text == '\\')
            printf("\\u%04x", (unsigned char)*text);
        else
            putchar(*text);
}

/* A request that the run's end cuts off before its first byte has waited at least until now. */
static void count_waiting(void)
{
    for (long i = 0; i < options.streams; i++)
        if (connections[i].state != RESTING && !connections[i].response.any_byte)
            add_sample(&first_byte, now_us() - connections[i].response.sent);
}

static void print_end(void)
{
    count_waiting();
    printf("{\"event\":\"end\",\"seconds\":%.4f,\"good\":%ld,\"failed\":%ld,\"unfinished\":%ld,\"tokens\":%ld,"
           "\"most_open\":%ld,\"reconnected\":%ld",
           seconds_since(totals.began), totals.finished - totals.failed, totals.failed, totals.open, totals.tokens,
           totals.most_open, totals.reconnected);
    print_samples();
    printf(",\"failure\":\"");
    print_escaped(totals.failure);
    printf("\"}\n");
}

static void begin_due(long requests)
{
    const int64_t now = now_us();
    while (heap_size && heap[0]->due <= now) {
        Connection *connection = (Connection *)heap[0];
        timer_stop(&connection->timer);
        if (totals.begun < requests)
            begin_next(connection);
    }
}

static struct timespec patience(int64_t until)
{
    if (heap_size && heap[0]->due < until)
        until = heap[0]->due;
    int64_t wait = until - now_us();
    return wait <= 0 ? (struct timespec){0} : (struct timespec){wait / 1000000, wait % 1000000 * 1000};
}

/* Have `requests` answered, or as many as the time allows; ticks only where `measured`. */
static void run(long requests, bool measured)
{
    struct epoll_event events[EVENTS_A_ROUND];
    const int64_t end = totals.began + options.seconds * 1000000;
    int64_t tick = totals.began;
    while (totals.finished < requests && !stopping && now_us() < end) {
        if (measured && now_us() >= tick) {
            print_tick();
            tick += 1000 * options.tick_ms;
        }
        begin_due(requests);
        struct timespec wait = patience(measured && tick < end ? tick : end);
        int count = epoll_pwait2(poller, events, EVENTS_A_ROUND, &wait, NULL);
        for (int i = 0; i < count; i++) {
            Connection *connection = events[i].data.ptr;
            if (connection->socket >= 0)
                on_event(connection, events[i].events);
        }
    }
}

/* All connections rest; the ramp spreads their first requests evenly. */
static void reset(void)
{
    totals = (Totals){.began = now_us()};
    forget_samples();
    for (long i = 0; i < options.streams; i++) {
        timer_stop(&connections[i].timer);
        rest(&connections[i], totals.began + 1000 * options.ramp_ms * i / options.streams);
    }
}

static void make_connections(void)
{
    connections = calloc(options.streams, sizeof *connections);
    if (!connections)
        die("out of memory");
    for (long i = 0; i < options.streams; i++) {
        connections[i].socket = -1;
        connections[i].timer.slot = -1;
    }
}

static void stop(int number)
{
    (void)number;
    stopping = 1;
}

int main(int count, char **arguments)
{
    options = read_options(count, arguments);
    end_with_parent();
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    poller = epoll_create1(0);
    make_request(&request, &options);
    make_connections();
    if (options.warmup) {
        reset();
        run(options.warmup, false);
    }
    if (totals.failed || totals.finished < options.warmup)
        return print_end(), 1;
    printf("{\"event\":\"start\"}\n");
    fflush(stdout);
    reset();
    run(options.requests, true);
    print_end();
    return totals.failed ? 1 : 0;
}
