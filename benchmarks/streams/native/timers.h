/* Timers of the upstream: a binary heap of connections by the instant at which each is due. */
#ifndef TIMERS_H
#define TIMERS_H

#include "common.h"

typedef struct {
    int64_t due;
    int slot; /* index in the heap; -1: not waiting */
} Timer;

static Timer *heap[MAX_CONNECTIONS];
static int heap_size;

static void heap_put(int slot, Timer *timer)
{
    heap[slot] = timer;
    timer->slot = slot;
}

static void heap_rise(Timer *timer)
{
    int slot = timer->slot;
    for (int parent; slot && heap[parent = (slot - 1) / 2]->due > timer->due; slot = parent)
        heap_put(slot, heap[parent]);
    heap_put(slot, timer);
}

static void heap_sink(Timer *timer)
{
    int slot = timer->slot;
    for (int child; (child = 2 * slot + 1) < heap_size; slot = child) {
        if (child + 1 < heap_size && heap[child + 1]->due < heap[child]->due)
            child++;
        if (heap[child]->due >= timer->due)
            break;
        heap_put(slot, heap[child]);
    }
    heap_put(slot, timer);
}

static void timer_start(Timer *timer, int64_t due)
{
    timer->due = due;
    heap_put(heap_size++, timer);
    heap_rise(timer);
}

static void timer_stop(Timer *timer)
{
    if (timer->slot < 0)
        return;
    Timer *last = heap[--heap_size];
    if (last != timer) {
        heap_put(timer->slot, last);
        heap_rise(last);
        heap_sink(last);
    }
    timer->slot = -1;
}

#endif
