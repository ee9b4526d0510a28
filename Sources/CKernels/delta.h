// What the loops over deltas share: their bits, and sums of squares.
//
// Squares are summed in eight lanes of floats over 64 elements, and those sums lane by lane in double precision; vectors and
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
#define GROUP 64

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

typedef struct {
    double error[8];
    double norm[8];
} lanes_t;

static inline void add_lanes(lanes_t *lanes, const float *error, const float *norm) {
    for (int lane = 0; lane < 8; lane++) {
        lanes->error[lane] += error[lane];
        lanes->norm[lane] += norm[lane];
    }
}

static inline ck_sums sum_lanes(const lanes_t *lanes) {
    ck_sums sums = {0, 0};
    for (int lane = 0; lane < 8; lane++) {
        sums.error += lanes->error[lane];
        sums.norm += lanes->norm[lane];
    }
    return sums;
}

#ifdef CK_VECTOR
typedef struct {
    __m256d error[2];
    __m256d norm[2];
} vector_lanes_t;

CK_VECTOR static inline vector_lanes_t load_lanes(const lanes_t *lanes) {
    return (vector_lanes_t){{_mm256_loadu_pd(lanes->error), _mm256_loadu_pd(lanes->error + 4)},
                            {_mm256_loadu_pd(lanes->norm), _mm256_loadu_pd(lanes->norm + 4)}};
}

CK_VECTOR static inline void store_lanes(lanes_t *lanes, const vector_lanes_t *from) {
    for (int half = 0; half < 2; half++) {
        _mm256_storeu_pd(lanes->error + 4 * half, from->error[half]);
        _mm256_storeu_pd(lanes->norm + 4 * half, from->norm[half]);
    }
}

CK_VECTOR static inline void add_vector_lanes(vector_lanes_t *lanes, __m256 error, __m256 norm) {
    lanes->error[0] = _mm256_add_pd(lanes->error[0], _mm256_cvtps_pd(_mm256_castps256_ps128(error)));
    lanes->error[1] = _mm256_add_pd(lanes->error[1], _mm256_cvtps_pd(_mm256_extractf128_ps(error, 1)));
    lanes->norm[0] = _mm256_add_pd(lanes->norm[0], _mm256_cvtps_pd(_mm256_castps256_ps128(norm)));
    lanes->norm[1] = _mm256_add_pd(lanes->norm[1], _mm256_cvtps_pd(_mm256_extractf128_ps(norm, 1)));
}
#endif

#endif
