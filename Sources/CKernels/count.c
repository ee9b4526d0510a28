// Counting symbols: of small alphabets each is compared with all of them, of large ones zeros are passed over.

#include "CKernels.h"
#include "masks.h"

#ifdef CK_VECTOR
// Vectors until a lane's sixteen bits might overflow.
#define MOST_VECTORS 32768

CK_VECTOR static inline uint64_t sum_of(__m256i lanes) {
    // Pairs as signed numbers: what is counted is negative, and at most 2^15.
    __m256i pairs = _mm256_madd_epi16(lanes, _mm256_set1_epi16(-1));
    uint32_t sums[8];
    _mm256_storeu_si256((__m256i *)sums, pairs);
    uint64_t all = 0;
    for (int k = 0; k < 8; k++) all += sums[k];
    return all;
}

CK_VECTOR static inline __attribute__((always_inline)) void count_block(const uint16_t *symbols, size_t vectors,
                                                                        const uint32_t alphabet, uint64_t *counts) {
    __m256i lanes[CK_COUNTED_FEW];
    for (uint32_t symbol = 1; symbol < alphabet; symbol++) lanes[symbol] = _mm256_setzero_si256();
    for (size_t k = 0; k < vectors; k++) {
        __m256i own = _mm256_loadu_si256((const __m256i *)(symbols + 16 * k));
        // What is equal is -1.
#pragma clang loop unroll(full)
        for (uint32_t symbol = 1; symbol < alphabet; symbol++)
            lanes[symbol] = _mm256_add_epi16(lanes[symbol], _mm256_cmpeq_epi16(own, _mm256_set1_epi16((short)symbol)));
    }
    uint64_t others = 0;
    for (uint32_t symbol = 1; symbol < alphabet; symbol++) {
        uint64_t own = sum_of(lanes[symbol]);
        counts[symbol] += own;
        others += own;
    }
    counts[0] += 16 * vectors - others;
}

CK_VECTOR static size_t count_vector(const uint16_t *symbols, size_t count, uint32_t alphabet, uint64_t *counts) {
    size_t i = 0;
    for (; i + 16 <= count;) {
        size_t vectors = (count - i) / 16 < MOST_VECTORS ? (count - i) / 16 : MOST_VECTORS;
        if (alphabet <= 4) count_block(symbols + i, vectors, 4, counts);
        else if (alphabet <= 8) count_block(symbols + i, vectors, 8, counts);
        else if (alphabet <= 12) count_block(symbols + i, vectors, 12, counts);
        else count_block(symbols + i, vectors, CK_COUNTED_FEW, counts);
        i += 16 * vectors;
    }
    return i;
}
#endif

void ck_count_few(const uint16_t *symbols, size_t count, uint32_t alphabet, uint64_t *counts) {
    size_t i = 0;
#ifdef CK_VECTOR
    if (ck_has_vectors()) i = count_vector(symbols, count, alphabet, counts);
#endif
    for (; i < count; i++) counts[symbols[i]]++;
}

size_t ck_nonzero(const uint16_t *symbols, size_t count) {
    size_t found = 0;
    for (size_t start = 0; start < count; start += 32768) {
        size_t end = start + 32768 < count ? start + 32768 : count;
        uint16_t own = 0;
        for (size_t i = start; i < end; i++) own += symbols[i] != 0;
        found += own;
    }
    return found;
}

// Four counts a symbol: the same one twice in a row doesn't wait for its count to come back from memory.
static void count_plain(const uint16_t *symbols, size_t start, size_t count, uint32_t *tables) {
    for (size_t i = start; i < count; i++) tables[4 * (size_t)symbols[i] + i % 4]++;
}

#ifdef CK_VECTOR
// Symbols of a group of 64 up to which zeros are passed over.
#define FEW_OF_GROUP 20

CK_VECTOR static size_t count_sparse(const uint16_t *symbols, size_t count, uint32_t *tables) {
    size_t i = 0, zeros = 0;
    for (; i + 64 <= count; i += 64) {
        uint64_t others = nonzero_of(symbols + i);
        size_t met = (size_t)__builtin_popcountll(others);
        if (met > FEW_OF_GROUP) {
            count_plain(symbols + i, 0, 64, tables);
            continue;
        }
        zeros += 64 - met;
        for (; others != 0; others &= others - 1)
            tables[4 * (size_t)symbols[i + (size_t)__builtin_ctzll(others)] + (met-- & 3)]++;
    }
    tables[0] += (uint32_t)zeros;
    return i;
}
#endif

void ck_count_many(const uint16_t *symbols, size_t count, uint32_t *tables) {
    size_t done = 0;
#ifdef CK_VECTOR
    if (ck_has_vectors()) done = count_sparse(symbols, count, tables);
#endif
    count_plain(symbols, done, count, tables);
}
