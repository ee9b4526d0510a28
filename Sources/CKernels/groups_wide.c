// Packing batches of groups by vectors of 512 bits.

#include "groups.h"

#ifdef CK_VECTOR
// Where in memory each of sixteen groups' symbols are, two by two; 32 and more are beyond the first vector.
static const uint16_t first_two[32] = {0,  1,  3,  4,  6,  7,  9,  10, 12, 13, 15, 16, 18, 19, 21, 22,
                                       24, 25, 27, 28, 30, 31, 33, 34, 36, 37, 39, 40, 42, 43, 45, 46};
static const uint16_t third[32] = {2,  2,  5,  5,  8,  8,  11, 11, 14, 14, 17, 17, 20, 20, 23, 23,
                                   26, 26, 29, 29, 32, 32, 35, 35, 38, 38, 41, 41, 44, 44, 47, 47};

// Each pair's first number times the low half of `factors`, and its second times the high half.
CK_WIDE static inline __m512i pairs(__m512i numbers, uint32_t factors) {
    return _mm512_madd_epi16(numbers, _mm512_set1_epi32((int)factors));
}

CK_WIDE static inline __attribute__((always_inline)) __m512i indices(const uint16_t *symbols, const uint32_t group,
                                                                     uint32_t alphabet) {
    const uint32_t two = 1 | alphabet << 16;
    if (group == 2) return pairs(_mm512_loadu_si512(symbols), two);
    if (group == 3) {
        __m512i low = _mm512_loadu_si512(symbols);
        __m512i high = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(symbols + 32)));
        __m512i firsts = _mm512_permutex2var_epi16(low, _mm512_loadu_si512(first_two), high);
        __m512i thirds = _mm512_permutex2var_epi16(low, _mm512_loadu_si512(third), high);
        return _mm512_add_epi32(pairs(firsts, two), pairs(thirds, alphabet * alphabet));
    }
    __m256i low = _mm512_cvtepi32_epi16(pairs(_mm512_loadu_si512(symbols), two));
    __m256i high = _mm512_cvtepi32_epi16(pairs(_mm512_loadu_si512(symbols + 32), two));
    return pairs(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1), 1 | alphabet * alphabet << 16);
}

// Groups that go through each step together: what a step leaves in memory is read only when the next begins.
#define BATCH 256

CK_WIDE static inline __attribute__((always_inline)) size_t pack_wide(const uint32_t *codes, uint32_t alphabet,
                                                                      const uint32_t group, const uint16_t *symbols,
                                                                      size_t count, packer_t *packer) {
    const __m512i halves = _mm512_set1_epi64(0xffff);
    packer_t own = *packer;
    uint32_t places[BATCH], found[BATCH];
    // Volatile, as the compiler would fetch the codes by a vector instruction that takes longer than one by one.
    const volatile uint32_t *const places_again = places;
    uint64_t words[BATCH / 2], sizes[BATCH / 2];
    size_t i = 0;
    for (; i + BATCH * group <= count; i += BATCH * group) {
        for (size_t k = 0; k < BATCH; k += 16)
            _mm512_storeu_si512(places + k, indices(symbols + i + k * group, group, alphabet));
        for (size_t k = 0; k < BATCH; k++) found[k] = codes[places_again[k]];
        for (size_t k = 0; k < BATCH; k += 16) {
            // Two codes in one, then four.
            __m512i code = _mm512_loadu_si512(found + k);
            __m512i length = _mm512_and_si512(_mm512_srli_epi64(code, 16), halves);
            __m512i second = _mm512_and_si512(_mm512_srli_epi64(code, 32), halves);
            __m512i bits = _mm512_or_si512(_mm512_and_si512(code, halves), _mm512_sllv_epi64(second, length));
            __m512i lengths = _mm512_add_epi64(length, _mm512_srli_epi64(code, 48));
            bits = _mm512_or_si512(bits, _mm512_sllv_epi64(_mm512_unpackhi_epi64(bits, bits), lengths));
            _mm512_storeu_si512(words + k / 2, bits);
            _mm512_storeu_si512(sizes + k / 2, _mm512_add_epi64(lengths, _mm512_unpackhi_epi64(lengths, lengths)));
        }
        for (size_t k = 0; k < BATCH / 2; k += 2) put_bits(&own, words[k], (uint32_t)sizes[k]);
    }
    *packer = own;
    return i;
}

CK_WIDE size_t ck_pack_wide(const uint32_t *codes, uint32_t alphabet, uint32_t group, const uint16_t *symbols,
                            size_t count, packer_t *packer) {
    // Products must fit 16 bits.
    if (alphabet > 128) return 0;
    switch (group) {
    case 2: return pack_wide(codes, alphabet, 2, symbols, count, packer);
    case 3: return pack_wide(codes, alphabet, 3, symbols, count, packer);
    case 4: return pack_wide(codes, alphabet, 4, symbols, count, packer);
    default: return 0;
    }
}
#endif
