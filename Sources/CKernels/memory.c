// Memory for whole vectors.

#define _GNU_SOURCE
#include "CKernels.h"
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <sys/mman.h>

#define LARGE_PAGE ((size_t)2 << 20)

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

void ck_release(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
