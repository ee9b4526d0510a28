// What a restore misses, in sixteen lanes of double precision, element by element; vectors and plain code do the same additions.

#include "delta.h"

static void missed_plain(const float *target, const float *previous, const uint16_t *symbols, size_t start, size_t count,
                         const float *values, double *sums) {
    for (size_t i = start; i < count; i++) {
        float restored = symbols == NULL ? previous[i] : previous[i] + values[symbols[i]];
        double miss = (double)target[i] - (double)restored;
        sums[i % SUM_LANES] += miss * miss;
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
    __m256d lanes[4];
    for (size_t part = 0; part < 4; part++) lanes[part] = _mm256_loadu_pd(sums + 4 * part);
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        fetch_ahead(target + i, previous + i);
#pragma clang loop unroll(full)
        for (size_t k = 0; k < 2; k++) {
            const size_t at = i + 8 * k;
            __m256 live = _mm256_loadu_ps(target + at), restored = _mm256_loadu_ps(previous + at);
            if (symbols != NULL) {
                __m128i codes = _mm_loadu_si128((const __m128i *)(symbols + at));
                if (!_mm_testz_si128(codes, codes)) restored = _mm256_add_ps(restored, values_of(&table, is_few, codes));
            }
            lanes[2 * k] = add_miss(lanes[2 * k], _mm256_castps256_ps128(live), _mm256_castps256_ps128(restored));
            lanes[2 * k + 1] =
                add_miss(lanes[2 * k + 1], _mm256_extractf128_ps(live, 1), _mm256_extractf128_ps(restored, 1));
        }
    }
    for (size_t part = 0; part < 4; part++) _mm256_storeu_pd(sums + 4 * part, lanes[part]);
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
    double sums[SUM_LANES] = {0}, all = 0;
    size_t done = 0;
#ifdef CK_VECTOR
    if (ck_has_vectors()) done = missed_vector(target, previous, symbols, count, values, alphabet, sums);
#endif
    missed_plain(target, previous, symbols, done, count, values, sums);
    for (int lane = 0; lane < SUM_LANES; lane++) all += sums[lane];
    return all;
}
