// Symbols of which most are zero, and a bit for each that isn't.
#ifndef CK_MASKS_H
#define CK_MASKS_H
#include "CKernels.h"
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

// The same of bytes.
CK_VECTOR static inline uint64_t nonzero_bytes_of(const uint8_t *bytes) {
    const __m256i zero = _mm256_setzero_si256();
    __m256i one = _mm256_loadu_si256((const __m256i *)bytes), two = _mm256_loadu_si256((const __m256i *)(bytes + 32));
    uint32_t low = ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(one, zero));
    uint32_t high = ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(two, zero));
    return low | (uint64_t)high << 32;
}
#endif

static inline uint32_t symbol_at(const ck_sparse *block, size_t i) {
    return block->nonzero[i / 64] >> (i % 64) & 1 ? block->symbols[i] : 0;
}

// Where the next symbol is that isn't zero, from `start` on; the count if there is none.
static inline size_t next_nonzero(const ck_sparse *block, size_t start) {
    size_t word = start / 64;
    uint64_t bits = block->nonzero[word] >> (start % 64) << (start % 64);
    while (bits == 0 && (word + 1) * 64 < block->count) bits = block->nonzero[++word];
    return bits == 0 ? block->count : word * 64 + (size_t)__builtin_ctzll(bits);
}

#endif
