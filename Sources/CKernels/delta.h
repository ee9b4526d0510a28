// What the loops over deltas share: their bits, and sums of squares.
//
// Squares are summed in sixteen lanes of floats over 128 elements, and those sums lane by lane in double precision; vectors and
// plain code do the same additions. A sum that overflows isn't finite, and the caller looks again.
#ifndef CK_DELTA_H
#define CK_DELTA_H

#include "CKernels.h"
#include "dispatch.h"
#include <string.h>

// Sums are rounded after each product here as in the vectors.
#pragma STDC FP_CONTRACT OFF

#define MAGNITUDE 0x7fffffffu
#define INFINITE 0x7f800000u
#define GROUP 128
#define LANES 16

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

typedef struct {
    double error[LANES];
    double norm[LANES];
} lanes_t;

static inline void add_lanes(lanes_t *lanes, const float *error, const float *norm) {
    for (int lane = 0; lane < LANES; lane++) {
        lanes->error[lane] += (double)error[lane];
        lanes->norm[lane] += (double)norm[lane];
    }
}

static inline ck_sums sum_lanes(const lanes_t *lanes) {
    ck_sums sums = {0, 0};
    for (int lane = 0; lane < LANES; lane++) {
        sums.error += lanes->error[lane];
        sums.norm += lanes->norm[lane];
    }
    return sums;
}

// Elements from what is asked of memory to what is at hand: the processor doesn't look beyond a page by itself.
#define AHEAD 1024

static inline void fetch_ahead(const float *one, const float *two) {
    __builtin_prefetch(one + AHEAD);
    __builtin_prefetch(two + AHEAD);
}

#ifdef CK_VECTOR
// A group's sums, sixteen lanes each.
typedef struct {
    __m256 error[2];
    __m256 norm[2];
} group_t;

CK_VECTOR static inline group_t no_squares(void) {
    __m256 zero = _mm256_setzero_ps();
    return (group_t){{zero, zero}, {zero, zero}};
}

CK_VECTOR static inline void add_squares(group_t *group, int half, __m256 miss, __m256 live) {
    group->error[half] = _mm256_add_ps(group->error[half], _mm256_mul_ps(miss, miss));
    group->norm[half] = _mm256_add_ps(group->norm[half], _mm256_mul_ps(live, live));
}

CK_VECTOR static inline void add_half(double *lanes, __m256 sums) {
    __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(sums)), high = _mm256_cvtps_pd(_mm256_extractf128_ps(sums, 1));
    _mm256_storeu_pd(lanes, _mm256_add_pd(_mm256_loadu_pd(lanes), low));
    _mm256_storeu_pd(lanes + 4, _mm256_add_pd(_mm256_loadu_pd(lanes + 4), high));
}

CK_VECTOR static inline void add_group(lanes_t *lanes, const group_t *group) {
    for (int half = 0; half < 2; half++) {
        add_half(lanes->error + 8 * half, group->error[half]);
        add_half(lanes->norm + 8 * half, group->norm[half]);
    }
}

// The values of up to sixteen symbols fit registers; more are fetched one by one.
#define FEW_VALUES 16
typedef struct {
    __m256 low;
    __m256 high;
    const float *values;
} value_table_t;

CK_VECTOR static inline value_table_t load_values(const float *values, uint32_t alphabet) {
    float table[FEW_VALUES] = {0};
    memcpy(table, values, (alphabet < FEW_VALUES ? alphabet : FEW_VALUES) * sizeof(float));
    return (value_table_t){_mm256_loadu_ps(table), _mm256_loadu_ps(table + 8), values};
}

CK_VECTOR static inline __m256 values_of(const value_table_t *table, bool is_few, __m128i symbols) {
    __m256i index = _mm256_cvtepu16_epi32(symbols);
    if (!is_few) return _mm256_i32gather_ps(table->values, index, sizeof(float));
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table->low, index), _mm256_permutevar8x32_ps(table->high, index),
                            _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
}

CK_WIDE static inline __m512 add_square(__m512 sum, __m512 value) {
    return _mm512_add_ps(sum, _mm512_mul_ps(value, value));
}

CK_WIDE static inline void add_wide(double *lanes, __m512 sums) {
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(sums)), high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(sums, 1));
    _mm512_storeu_pd(lanes, _mm512_add_pd(_mm512_loadu_pd(lanes), low));
    _mm512_storeu_pd(lanes + 8, _mm512_add_pd(_mm512_loadu_pd(lanes + 8), high));
}

CK_WIDE static inline void add_wide_group(lanes_t *lanes, __m512 error, __m512 norm) {
    add_wide(lanes->error, error);
    add_wide(lanes->norm, norm);
}

// A delta's place among up to eight exponents, above the sign in bit 3. `shifted` is its magnitude less the lowest exponent.
CK_WIDE static inline __m512i place_of(__m512i bits, __m512i shifted) {
    // place | (bits >> 28 & 8)
    return _mm512_ternarylogic_epi32(_mm512_srli_epi32(shifted, 23), _mm512_srli_epi32(bits, 28), _mm512_set1_epi32(8),
                                     0xf8);
}

// Whole groups; each returns how far it came.
size_t ck_quantize_wide(const float *target, float *reconstruction, size_t count, const ck_buckets *buckets,
                        uint16_t *symbols, lanes_t *lanes);
size_t ck_error_wide(const float *target, const float *reconstruction, size_t count, lanes_t *lanes);
#endif

#endif
