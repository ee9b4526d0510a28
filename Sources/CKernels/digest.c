// XXH3 with the vectors that the machine has: the system's library is built for the oldest machines, and takes three times as
// long. Only its header is used, so that whoever builds on the codec has no library to link.

#include "CKernels.h"
#include "digest.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

ck_digest ck_digest_bytes(const void *bytes, size_t count) {
#ifdef CK_VECTOR
    if (ck_has_wide_vectors()) return ck_digest_wide(bytes, count);
    if (ck_has_vectors()) return ck_digest_vector(bytes, count);
#endif
    XXH128_hash_t hash = XXH3_128bits(bytes, count);
    return (ck_digest){hash.high64, hash.low64};
}

uint64_t ck_checksum(const void *bytes, size_t count) {
#ifdef CK_VECTOR
    if (ck_has_wide_vectors()) return ck_checksum_wide(bytes, count);
    if (ck_has_vectors()) return ck_checksum_vector(bytes, count);
#endif
    return XXH3_64bits(bytes, count);
}
