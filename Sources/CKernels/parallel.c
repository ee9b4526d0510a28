// A loop whose turns run on several threads.
//
// Threads are kept for the next loop: a new one takes as long to begin as some ten thousand elements to encode. One that has
// nothing to do looks for work for some microseconds, as loops follow each other closely, and then sleeps.

#include "CKernels.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define MOST 64
// Looks before it sleeps.
#define PATIENCE 400

typedef struct {
    atomic_size_t next;
    size_t count;
    void (*body)(void *, size_t, size_t);
    void *context;
} loop_t;

// What a helper is at: whoever has it as `IDLE` gives it work, which is done when it is `IDLE` again.
enum { IDLE, CALLED, BUSY };

typedef struct helper {
    atomic_int state;
    loop_t *loop;
    size_t worker;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct helper *next;
} helper_t;

static pthread_mutex_t idle_mutex = PTHREAD_MUTEX_INITIALIZER;
static helper_t *idle;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void run(loop_t *loop, size_t worker) {
    for (;;) {
        size_t index = atomic_fetch_add(&loop->next, 1);
        if (index >= loop->count) return;
        loop->body(loop->context, index, worker);
    }
}

static void set(helper_t *helper, int state) {
    pthread_mutex_lock(&helper->mutex);
    atomic_store(&helper->state, state);
    pthread_cond_broadcast(&helper->changed);
    pthread_mutex_unlock(&helper->mutex);
}

static void await(helper_t *helper, int state) {
    for (int look = 0; look < PATIENCE; look++) {
        if (atomic_load(&helper->state) == state) return;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    pthread_mutex_lock(&helper->mutex);
    while (atomic_load(&helper->state) != state) pthread_cond_wait(&helper->changed, &helper->mutex);
    pthread_mutex_unlock(&helper->mutex);
}

static void *help(void *argument) {
    helper_t *helper = argument;
    for (;;) {
        await(helper, CALLED);
        int called = CALLED;
        if (!atomic_compare_exchange_strong(&helper->state, &called, BUSY)) continue;
        run(helper->loop, helper->worker);
        set(helper, IDLE);
    }
}

// A child has none of its parent's threads.
static void forget(void) {
    idle = NULL;
    pthread_mutex_init(&idle_mutex, NULL);
}

static void begin(void) { pthread_atfork(NULL, NULL, forget); }

static helper_t *new_helper(void) {
    helper_t *helper = calloc(1, sizeof *helper);
    if (helper == NULL) return NULL;
    pthread_mutex_init(&helper->mutex, NULL);
    pthread_cond_init(&helper->changed, NULL);
    // Signals are for those who know of them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    int failure = pthread_create(&thread, NULL, help, helper);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0) {
        free(helper);
        return NULL;
    }
    pthread_detach(thread);
    return helper;
}

static helper_t *take_helper(void) {
    pthread_mutex_lock(&idle_mutex);
    helper_t *helper = idle;
    if (helper != NULL) idle = helper->next;
    pthread_mutex_unlock(&idle_mutex);
    return helper != NULL ? helper : new_helper();
}

static void give_back(helper_t *helper) {
    pthread_mutex_lock(&idle_mutex);
    helper->next = idle;
    idle = helper;
    pthread_mutex_unlock(&idle_mutex);
}

void ck_parallel(size_t count, size_t threads, void (*body)(void *, size_t, size_t), void *context) {
    pthread_once(&once, begin);
    loop_t loop = {0, count, body, context};
    helper_t *helpers[MOST];
    size_t called = 0;
    while (called + 1 < threads && called + 1 < count && called + 1 < MOST) {
        helper_t *helper = take_helper();
        // A thread that can't be had is no reason to fail: the others do its turns.
        if (helper == NULL) break;
        helper->loop = &loop;
        helper->worker = called + 1;
        set(helper, CALLED);
        helpers[called++] = helper;
    }
    run(&loop, 0);
    for (size_t i = 0; i < called; i++) {
        // One that hasn't begun has missed it.
        int state = CALLED;
        if (!atomic_compare_exchange_strong(&helpers[i]->state, &state, IDLE)) await(helpers[i], IDLE);
        give_back(helpers[i]);
    }
}
