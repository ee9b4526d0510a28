// A bit for each of 64 symbols.
#ifndef CK_MASKS_H
#define CK_MASKS_H
#include "dispatch.h"

#ifdef CK_VECTOR
// Those that aren't zero, the first lowest.
CK_VECTOR static inline uint64_t nonzero_of(const uint16_t *symbols) {
    const __m256i zero = _mm256_setzero_si256();
    uint64_t word = 0;
#pragma clang loop unroll(full)
    for (size_t part = 0; part < 64; part += 32) {
        __m256i one = _mm256_loadu_si256((const __m256i *)(symbols + part));
        __m256i two = _mm256_loadu_si256((const __m256i *)(symbols + part + 16));
        __m256i equal = _mm256_packs_epi16(_mm256_cmpeq_epi16(one, zero), _mm256_cmpeq_epi16(two, zero));
        equal = _mm256_permute4x64_epi64(equal, 0xd8);
        word |= (uint64_t)(uint32_t)~_mm256_movemask_epi8(equal) << part;
    }
    return word;
}
#endif

#endif
