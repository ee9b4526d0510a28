// Memory for whole vectors.

#define _GNU_SOURCE
#include "CKernels.h"
#include <pthread.h>
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sys/mman.h>

#define LARGE_PAGE ((size_t)CK_LARGE_PAGE)
#define MOST_SPARE 8

void *ck_allocate(size_t size) {
    if (size < LARGE_PAGE) return malloc(size > 0 ? size : 1);
    if (size > SIZE_MAX - LARGE_PAGE) return NULL;
    size_t whole = (size + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    void *memory = aligned_alloc(LARGE_PAGE, whole);
#ifdef MADV_HUGEPAGE
    // A page of 4 KiB at a time, the first touch takes longer than what is done with it.
    if (memory != NULL) madvise(memory, whole, MADV_HUGEPAGE);
#endif
    return memory;
}

void ck_free(void *memory) { free(memory); }

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void *spare[MOST_SPARE];
static size_t spare_count;

void *ck_take_large_page(void) {
    pthread_mutex_lock(&mutex);
    void *page = spare_count > 0 ? spare[--spare_count] : NULL;
    pthread_mutex_unlock(&mutex);
    return page != NULL ? page : ck_allocate(LARGE_PAGE);
}

void ck_give_large_page(void *page) {
    pthread_mutex_lock(&mutex);
    bool is_kept = spare_count < MOST_SPARE;
    if (is_kept) spare[spare_count++] = page;
    pthread_mutex_unlock(&mutex);
    if (!is_kept) ck_free(page);
}

void ck_release(void) {
    pthread_mutex_lock(&mutex);
    while (spare_count > 0) ck_free(spare[--spare_count]);
    pthread_mutex_unlock(&mutex);
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
