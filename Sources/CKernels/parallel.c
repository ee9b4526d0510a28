// A loop whose turns run on several threads.

#include "CKernels.h"
#include <pthread.h>
#include <stdatomic.h>

#define MOST 64

typedef struct {
    atomic_size_t next;
    size_t count;
    void (*body)(void *, size_t, size_t);
    void *context;
} loop_t;

typedef struct {
    loop_t *loop;
    size_t worker;
} turn_t;

static void *run(void *argument) {
    turn_t turn = *(turn_t *)argument;
    for (;;) {
        size_t index = atomic_fetch_add(&turn.loop->next, 1);
        if (index >= turn.loop->count) return NULL;
        turn.loop->body(turn.loop->context, index, turn.worker);
    }
}

void ck_parallel(size_t count, size_t threads, void (*body)(void *, size_t, size_t), void *context) {
    loop_t loop = {0, count, body, context};
    pthread_t helpers[MOST];
    turn_t turns[MOST];
    size_t started = 0;
    while (started + 1 < threads && started + 1 < count && started + 1 < MOST) {
        turns[started] = (turn_t){&loop, started + 1};
        // A thread that can't be had is no reason to fail: the others do its turns.
        if (pthread_create(&helpers[started], NULL, run, &turns[started]) != 0) break;
        started++;
    }
    turn_t own = {&loop, 0};
    run(&own);
    for (size_t i = 0; i < started; i++) pthread_join(helpers[i], NULL);
}
