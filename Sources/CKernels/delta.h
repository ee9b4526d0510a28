// What the loops over deltas share: their bits, and sums of squares.
//
// Squares are summed in sixteen lanes of double precision, element by element; vectors and plain code do the same additions. A
// float's square is a double without being rounded, so that multiplying and adding may be one step. Only what isn't finite makes a
// sum that isn't.
#ifndef CK_DELTA_H
#define CK_DELTA_H

#include "CKernels.h"
#include "dispatch.h"
#include <string.h>

// What is written as a product and a sum is rounded twice, here as in the vectors.
#pragma STDC FP_CONTRACT OFF

#define MAGNITUDE 0x7fffffffu
#define INFINITE 0x7f800000u
#define SUM_LANES 16

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

// Values and symbols of up to eight exponents, hence sixteen keys: the tables fit registers. The sign is in bit 3 of a place.
static inline void fill_tables(const ck_buckets *buckets, float *values, int32_t *codes) {
    memset(values, 0, 16 * sizeof *values);
    memset(codes, 0, 16 * sizeof *codes);
    for (uint32_t exponent = buckets->lowest; exponent <= buckets->highest; exponent++) {
        for (uint32_t sign = 0; sign < 2; sign++) {
            uint32_t place = (exponent - buckets->lowest) + 8 * sign;
            values[place] = buckets->values[exponent + 256 * sign];
            codes[place] = buckets->symbols[exponent + 256 * sign];
        }
    }
}

typedef struct {
    double error[SUM_LANES];
    double norm[SUM_LANES];
} lanes_t;

static inline void add_element(lanes_t *lanes, size_t place, float miss, float live) {
    lanes->error[place % SUM_LANES] += (double)miss * (double)miss;
    lanes->norm[place % SUM_LANES] += (double)live * (double)live;
}

static inline ck_sums sum_lanes(const lanes_t *lanes) {
    ck_sums sums = {0, 0};
    for (int lane = 0; lane < SUM_LANES; lane++) {
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
// The lanes in registers.
typedef struct {
    __m256d error[4];
    __m256d norm[4];
} vector_lanes_t;

CK_VECTOR static inline vector_lanes_t load_lanes(const lanes_t *lanes) {
    vector_lanes_t loaded;
    for (int part = 0; part < 4; part++) {
        loaded.error[part] = _mm256_loadu_pd(lanes->error + 4 * part);
        loaded.norm[part] = _mm256_loadu_pd(lanes->norm + 4 * part);
    }
    return loaded;
}

CK_VECTOR static inline void store_lanes(lanes_t *lanes, const vector_lanes_t *from) {
    for (int part = 0; part < 4; part++) {
        _mm256_storeu_pd(lanes->error + 4 * part, from->error[part]);
        _mm256_storeu_pd(lanes->norm + 4 * part, from->norm[part]);
    }
}

CK_VECTOR static inline void sum_squares(__m256d *sums, __m256 values) {
    __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(values)), high = _mm256_cvtps_pd(_mm256_extractf128_ps(values, 1));
    sums[0] = _mm256_fmadd_pd(low, low, sums[0]);
    sums[1] = _mm256_fmadd_pd(high, high, sums[1]);
}

// Of eight elements: the first group of sixteen, or the second.
CK_VECTOR static inline void add_squares(vector_lanes_t *lanes, size_t group, __m256 miss, __m256 live) {
    sum_squares(lanes->error + 2 * group, miss);
    sum_squares(lanes->norm + 2 * group, live);
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

typedef struct {
    __m512d error[2];
    __m512d norm[2];
} wide_lanes_t;

CK_WIDE static inline wide_lanes_t load_wide_lanes(const lanes_t *lanes) {
    return (wide_lanes_t){{_mm512_loadu_pd(lanes->error), _mm512_loadu_pd(lanes->error + 8)},
                          {_mm512_loadu_pd(lanes->norm), _mm512_loadu_pd(lanes->norm + 8)}};
}

CK_WIDE static inline void store_wide_lanes(lanes_t *lanes, const wide_lanes_t *from) {
    for (int half = 0; half < 2; half++) {
        _mm512_storeu_pd(lanes->error + 8 * half, from->error[half]);
        _mm512_storeu_pd(lanes->norm + 8 * half, from->norm[half]);
    }
}

CK_WIDE static inline void sum_wide_squares(__m512d *sums, __m512 values) {
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(values)), high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(values, 1));
    sums[0] = _mm512_fmadd_pd(low, low, sums[0]);
    sums[1] = _mm512_fmadd_pd(high, high, sums[1]);
}

CK_WIDE static inline void add_wide_squares(wide_lanes_t *lanes, __m512 miss, __m512 live) {
    sum_wide_squares(lanes->error, miss);
    sum_wide_squares(lanes->norm, live);
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
size_t ck_deltas_wide(const float *target, const float *previous, size_t count, float *deltas, lanes_t *lanes);
#endif

#endif
