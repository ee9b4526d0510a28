// XXH3-128 with AVX2: the system's library is built for the oldest machines, and takes three times as long.

#include "CKernels.h"
#include "digest.h"

#ifdef CK_VECTOR
#include <limits.h>
#include <stdlib.h>
#include <string.h>

// The header makes its functions anew, for the instructions that it is told of.
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#define XXH_INLINE_ALL
#define XXH_VECTOR 2
#ifndef __AVX2__
#define __AVX2__ 1
#endif
#include <xxhash.h>

static ck_digest digest_vector(const void *bytes, size_t count) {
    XXH128_hash_t hash = XXH3_128bits(bytes, count);
    return (ck_digest){hash.high64, hash.low64};
}
#pragma clang attribute pop
#endif

bool ck_digest_bytes(const void *bytes, size_t count, ck_digest *digest) {
#ifdef CK_VECTOR
    if (ck_has_wide_vectors()) {
        *digest = ck_digest_wide(bytes, count);
        return true;
    }
    if (ck_has_vectors()) {
        *digest = digest_vector(bytes, count);
        return true;
    }
#endif
    return false;
}
