// What a restore misses, in four lanes of double precision, element by element; vectors and plain code do the same additions.

#include "delta.h"

static void missed_plain(const float *target, const float *previous, const uint16_t *symbols, size_t start, size_t count,
                         const float *values, double *sums) {
    for (size_t i = start; i < count; i++) {
        float restored = symbols == NULL ? previous[i] : previous[i] + values[symbols[i]];
        double miss = (double)target[i] - (double)restored;
        sums[i & 3] += miss * miss;
    }
}

#ifdef CK_VECTOR
CK_VECTOR static inline __m256d add_miss(__m256d sum, __m128 target, __m128 restored) {
    __m256d miss = _mm256_sub_pd(_mm256_cvtps_pd(target), _mm256_cvtps_pd(restored));
    return _mm256_add_pd(sum, _mm256_mul_pd(miss, miss));
}

CK_VECTOR static inline __attribute__((always_inline)) size_t
missed_groups(const float *target, const float *previous, const uint16_t *symbols, size_t count,
              const value_table_t table, const bool is_few, double *sums) {
    __m256d lanes = _mm256_loadu_pd(sums);
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        fetch_ahead(target + i, previous + i);
        __m256 live = _mm256_loadu_ps(target + i), restored = _mm256_loadu_ps(previous + i);
        if (symbols != NULL) {
            __m128i codes = _mm_loadu_si128((const __m128i *)(symbols + i));
            if (!_mm_testz_si128(codes, codes)) restored = _mm256_add_ps(restored, values_of(&table, is_few, codes));
        }
        lanes = add_miss(lanes, _mm256_castps256_ps128(live), _mm256_castps256_ps128(restored));
        lanes = add_miss(lanes, _mm256_extractf128_ps(live, 1), _mm256_extractf128_ps(restored, 1));
    }
    _mm256_storeu_pd(sums, lanes);
    return i;
}

CK_VECTOR static size_t missed_vector(const float *target, const float *previous, const uint16_t *symbols, size_t count,
                                      const float *values, uint32_t alphabet, double *sums) {
    const value_table_t table = load_values(values, alphabet);
    if (symbols == NULL) return missed_groups(target, previous, NULL, count, table, true, sums);
    if (alphabet <= FEW_VALUES) return missed_groups(target, previous, symbols, count, table, true, sums);
    return missed_groups(target, previous, symbols, count, table, false, sums);
}
#endif

double ck_missed(const float *target, const float *previous, const uint16_t *symbols, size_t count, const float *values,
                 uint32_t alphabet) {
    double sums[4] = {0};
    size_t done = 0;
#ifdef CK_VECTOR
    if (ck_has_vectors()) done = missed_vector(target, previous, symbols, count, values, alphabet, sums);
#endif
    missed_plain(target, previous, symbols, done, count, values, sums);
    return sums[0] + sums[1] + sums[2] + sums[3];
}
