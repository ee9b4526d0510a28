// XXH3 with vectors of 512 bits.

#include "CKernels.h"
#include "digest.h"

#ifdef CK_VECTOR
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#pragma clang attribute push(__attribute__((target("avx2,avx512f"))), apply_to = function)
#define XXH_INLINE_ALL
#define XXH_VECTOR 3
#ifndef __AVX512F__
#define __AVX512F__ 1
#endif
#include <xxhash.h>

ck_digest ck_digest_wide(const void *bytes, size_t count) {
    XXH128_hash_t hash = XXH3_128bits(bytes, count);
    return (ck_digest){hash.high64, hash.low64};
}

uint64_t ck_checksum_wide(const void *bytes, size_t count) { return XXH3_64bits(bytes, count); }
#pragma clang attribute pop
#endif
