/* Options of the load generator, and the one request that it sends again and again. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "common.h"

#include <getopt.h>

enum { MAX_HEADERS = 8 };

typedef struct {
    long port, streams, requests, warmup, seconds, ramp_ms, gap_ms, tick_ms, tokens;
    bool whole;
    const char *path, *model, *answer;
    const char *headers[MAX_HEADERS];
    int header_count;
} Options;

static const char HELP[] =
    "usage: load --port PORT [OPTION...]\n\n"
    "Sends chat requests to 127.0.0.1 alone, reads the answers, and prints a JSON object a line.\n\n"
    "  --path PATH      what is asked (/v1/chat/completions)\n"
    "  --model NAME     (bench)\n"
    "  --answer TEXT    settings for the benchmark's upstream; they stand in the question (none)\n"
    "  --header 'K: V'  another header; at most 8\n"
    "  --whole          answers in one piece: \"stream\": false\n"
    "  --tokens N       stamped tokens that make an answer complete (not checked)\n"
    "  --streams N      requests at a time, each on a connection of its own, 1 to 4096 (1)\n"
    "  --requests N     in all, 1 to 10000000 (1)\n"
    "  --warmup N       before them, not measured (0)\n"
    "  --seconds N      at the most, for each of both, 1 to 600 (60)\n"
    "  --ramp-ms N      the streams begin spread over this time (0)\n"
    "  --gap-ms N       between an answer and the next request on its connection (0)\n"
    "  --tick-ms N      between two lines about how far it is (250)\n\n"
    "Exit code 1: an answer failed or was not complete; the last line has the first failure.\n";

enum { HELP_OPTION = 1, HEADER, WHOLE, PATH, MODEL, ANSWER, NUMBERS };

static const struct {
    const char *name;
    size_t place;
    long low, high;
} NUMBER_LIST[] = {
    {"port", offsetof(Options, port), 1, 65535},
    {"streams", offsetof(Options, streams), 1, MAX_CONNECTIONS},
    {"requests", offsetof(Options, requests), 1, 10000000},
    {"warmup", offsetof(Options, warmup), 0, 10000000},
    {"seconds", offsetof(Options, seconds), 1, 600},
    {"ramp-ms", offsetof(Options, ramp_ms), 0, 60000},
    {"gap-ms", offsetof(Options, gap_ms), 0, 60000},
    {"tick-ms", offsetof(Options, tick_ms), 10, 60000},
    {"tokens", offsetof(Options, tokens), 0, 10000000},
};
enum { NUMBER_COUNT = sizeof NUMBER_LIST / sizeof *NUMBER_LIST, OPTION_COUNT = NUMBER_COUNT + NUMBERS };

static void list_options(struct option *list)
{
    const struct option words[] = {{"help", 0, NULL, HELP_OPTION}, {"header", 1, NULL, HEADER}, {"whole", 0, NULL, WHOLE},
                                   {"path", 1, NULL, PATH}, {"model", 1, NULL, MODEL}, {"answer", 1, NULL, ANSWER}};
    int count = 0;
    for (; count < (int)(sizeof words / sizeof *words); count++)
        list[count] = words[count];
    for (int i = 0; i < NUMBER_COUNT; i++)
        list[count++] = (struct option){NUMBER_LIST[i].name, 1, NULL, NUMBERS + i};
    list[count] = (struct option){0};
}

static void set_option(Options *options, int name)
{
    const char **word = name == PATH ? &options->path : name == MODEL ? &options->model : &options->answer;
    if (name >= NUMBERS && name < OPTION_COUNT) {
        const int i = name - NUMBERS;
        long value = bounded(NUMBER_LIST[i].name, optarg, NUMBER_LIST[i].low, NUMBER_LIST[i].high);
        *(long *)((char *)options + NUMBER_LIST[i].place) = value;
    } else if (name == WHOLE)
        options->whole = true;
    else if (name == HEADER && options->header_count < MAX_HEADERS)
        options->headers[options->header_count++] = optarg;
    else if (name == PATH || name == MODEL || name == ANSWER)
        *word = optarg;
    else {
        fputs(HELP, name == HELP_OPTION ? stdout : stderr);
        exit(name == HELP_OPTION ? 0 : 2);
    }
}

static Options read_options(int count, char **arguments)
{
    Options options = {.streams = 1, .requests = 1, .seconds = 60, .tick_ms = 250, .tokens = -1, .answer = "",
                       .path = "/v1/chat/completions", .model = "bench"};
    struct option list[OPTION_COUNT + 1];
    list_options(list);
    for (int name; (name = getopt_long(count, arguments, "", list, NULL)) != -1;)
        set_option(&options, name);
    if (!options.port || optind < count) {
        fputs(HELP, stderr);
        exit(2);
    }
    return options;
}

static void make_request(Buffer *request, const Options *options)
{
    char body[2048], head[1024];
    int length = snprintf(body, sizeof body,
                          "{\"model\":\"%s\",\"stream\":%s,\"messages\":["
                          "{\"role\":\"system\",\"content\":\"You solve tasks step by step and then answer briefly.\"},"
                          "{\"role\":\"user\",\"content\":\"Two trains leave the same station half an hour apart, the "
                          "first at 60 km/h, the second at 100 km/h. When does the second one catch up? bench:%s;\"}]}",
                          options->model, options->whole ? "false" : "true", options->answer);
    snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%ld\r\nContent-Type: application/json\r\n",
             options->path, options->port);
    if (length >= (int)sizeof body || strlen(head) == sizeof head - 1)
        die("the request is too long");
    buffer_add_text(request, head);
    for (int i = 0; i < options->header_count; i++) {
        buffer_add_text(request, options->headers[i]);
        buffer_add_text(request, "\r\n");
    }
    snprintf(head, sizeof head, "Content-Length: %d\r\n\r\n", length);
    buffer_add_text(request, head);
    buffer_add_text(request, body);
}

#endif
