#ifndef CK_DIGEST_H
#define CK_DIGEST_H
#include "dispatch.h"

#ifdef CK_VECTOR
ck_digest ck_digest_vector(const void *bytes, size_t count);
ck_digest ck_digest_wide(const void *bytes, size_t count);
uint64_t ck_checksum_vector(const void *bytes, size_t count);
uint64_t ck_checksum_wide(const void *bytes, size_t count);
#endif

#endif
