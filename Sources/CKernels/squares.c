// Sums of squares that must not overflow where floats would: four lanes of double precision, element by element; vectors and
// plain code do the same additions.

#include "CKernels.h"
#include "delta.h"

static double sum_of(const double *lanes) { return lanes[0] + lanes[1] + lanes[2] + lanes[3]; }

static void deltas_plain(const float *target, const float *previous, size_t start, size_t count, float *deltas,
                           double *energy, double *norm) {
    size_t i = start;
    for (; i + 4 <= count; i += 4) {
        for (size_t k = 0; k < 4; k++) {
            float delta = target[i + k] - previous[i + k];
            if (deltas != NULL) deltas[i + k] = delta;
            energy[k] += (double)delta * (double)delta;
            norm[k] += (double)target[i + k] * (double)target[i + k];
        }
    }
    for (; i < count; i++) {
        float delta = target[i] - previous[i];
        if (deltas != NULL) deltas[i] = delta;
        energy[0] += (double)delta * (double)delta;
        norm[0] += (double)target[i] * (double)target[i];
    }
}

static void missed_plain(const float *target, const float *previous, const uint16_t *symbols, size_t start, size_t count,
                         const float *values, double *sums) {
    for (size_t i = start; i < count; i++) {
        float restored = symbols == NULL ? previous[i] : previous[i] + values[symbols[i]];
        double miss = (double)target[i] - (double)restored;
        sums[i & 3] += miss * miss;
    }
}

#ifdef CK_VECTOR
CK_VECTOR static size_t deltas_vector(const float *target, const float *previous, size_t count, float *deltas,
                                      double *energy, double *norm) {
    __m256d energies = _mm256_loadu_pd(energy), norms = _mm256_loadu_pd(norm);
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        fetch_ahead(target + i, previous + i);
        __m128 live = _mm_loadu_ps(target + i), delta = _mm_sub_ps(live, _mm_loadu_ps(previous + i));
        if (deltas != NULL) _mm_storeu_ps(deltas + i, delta);
        energies = add_square_of(energies, _mm256_cvtps_pd(delta));
        norms = add_square_of(norms, _mm256_cvtps_pd(live));
    }
    _mm256_storeu_pd(energy, energies);
    _mm256_storeu_pd(norm, norms);
    return i;
}

CK_VECTOR static inline __m256d add_miss(__m256d sum, __m128 target, __m128 restored) {
    return add_square_of(sum, _mm256_sub_pd(_mm256_cvtps_pd(target), _mm256_cvtps_pd(restored)));
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

ck_sums ck_deltas(const float *target, const float *previous, size_t count, float *deltas) {
    double energy[4] = {0}, norm[4] = {0};
    size_t done = 0;
#ifdef CK_VECTOR
    if (ck_has_vectors()) done = deltas_vector(target, previous, count, deltas, energy, norm);
#endif
    deltas_plain(target, previous, done, count, deltas, energy, norm);
    return (ck_sums){.error = sum_of(energy), .norm = sum_of(norm)};
}

double ck_missed(const float *target, const float *previous, const uint16_t *symbols, size_t count, const float *values,
                 uint32_t alphabet) {
    double sums[4] = {0};
    size_t done = 0;
#ifdef CK_VECTOR
    if (ck_has_vectors()) done = missed_vector(target, previous, symbols, count, values, alphabet, sums);
#endif
    missed_plain(target, previous, symbols, done, count, values, sums);
    return sum_of(sums);
}
