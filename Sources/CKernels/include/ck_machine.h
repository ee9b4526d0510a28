// What the kernels ask of a machine, and what they make of it: instructions, memory, threads, digests.
#ifndef CKERNELS_MACHINE_H
#define CKERNELS_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// What a function may do its work by: plain C, vectors of 256 bits, or those of 512.
typedef enum { CK_PATH_PLAIN, CK_PATH_VECTORS, CK_PATH_WIDE } ck_path;

// For tests: functions take this path, or the best below it that the machine has.
void ck_use_path(ck_path best);

/// Memory that isn't cleared, in large pages where it is large; null when there is none. It is given back by `ck_free`.
void *_Nullable ck_allocate(size_t size);
void ck_free(void *_Nullable memory);
/// Memory of this size, of which a few pieces are kept for whoever asks next: new memory has to be cleared by the system first.
#define CK_LARGE_PAGE 2097152
void *_Nullable ck_take_large_page(void);
void ck_give_large_page(void *page);
/// Gives the system back what was freed or kept, as far as it lets that be done.
void ck_release(void);

/// An XXH3-128 digest.
typedef struct {
    uint64_t high;
    uint64_t low;
} ck_digest;

/// The XXH3-128 digest of some bytes, with seed 0.
ck_digest ck_digest_bytes(const void *_Nullable bytes, size_t count);

/// Their XXH3-64, with seed 0.
uint64_t ck_checksum(const void *_Nullable bytes, size_t count);

/// Calls `body` for 0 to count - 1, on up to `threads` threads, at most 64, this one included. `worker` is below
/// `threads`, and no two calls with the same worker run at once. Threads are kept for later loops.
void ck_parallel(size_t count, size_t threads, void (*body)(void *_Nullable context, size_t index, size_t worker),
                 void *_Nullable context);

#pragma clang assume_nonnull end

#endif
