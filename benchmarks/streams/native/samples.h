/* Samples of the load generator: every duration is kept, so that percentiles are exact. */
#ifndef SAMPLES_H
#define SAMPLES_H

#include "common.h"

enum { MAX_SAMPLES = 8 << 20 }; /* more are counted, and left out of the percentiles */

typedef struct {
    const char *name;
    uint32_t *values; /* microseconds */
    long count, capacity;
} Samples;

static Samples first_byte = {.name = "first_byte"}; /* from the request to the first byte of the body, or to the failure or the end */
static Samples first_token = {.name = "first_token"}; /* from the request to the first stamped token */
static Samples whole = {.name = "whole"};             /* from the request to the body's end */
static Samples latency = {.name = "latency"};         /* from the upstream's write of a token to its arrival */
static Samples gap = {.name = "gap"}; /* |time between two tokens here - time between them at the upstream| */
static Samples *const ALL[] = {&first_byte, &first_token, &whole, &latency, &gap};
enum { SAMPLES_COUNT = sizeof ALL / sizeof *ALL };

static void add_sample(Samples *samples, int64_t value)
{
    if (samples->count == samples->capacity) {
        if (samples->capacity >= MAX_SAMPLES)
            return;
        samples->capacity = samples->capacity ? 2 * samples->capacity : 4096;
        samples->values = realloc(samples->values, samples->capacity * sizeof *samples->values);
        if (!samples->values)
            die("out of memory");
    }
    samples->values[samples->count++] = value < 0 ? 0 : value > UINT32_MAX ? UINT32_MAX : value;
}

static void forget_samples(void)
{
    for (int i = 0; i < SAMPLES_COUNT; i++)
        ALL[i]->count = 0;
}

static int by_value(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

/* The smallest sample that `percent` of the samples do not exceed, in milliseconds. */
static double percentile(const Samples *samples, int percent)
{
    if (!samples->count)
        return 0;
    long rank = (samples->count * percent + 99) / 100;
    return samples->values[rank ? rank - 1 : 0] / 1000.0;
}

static void print_samples(void)
{
    for (int i = 0; i < SAMPLES_COUNT; i++) {
        Samples *samples = ALL[i];
        if (samples->count)
            qsort(samples->values, samples->count, sizeof *samples->values, by_value);
        printf(",\"%s\":{\"count\":%ld,\"p50\":%.3f,\"p90\":%.3f,\"p99\":%.3f,\"max\":%.3f}", samples->name,
               samples->count, percentile(samples, 50), percentile(samples, 90), percentile(samples, 99),
               percentile(samples, 100));
    }
}

#endif
