#include "CBenchLoops.h"

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void subtract_vectors(const float *a, const float *b, float *c, size_t count) {
    for (size_t i = 0; i < count; i++) c[i] = a[i] - b[i];
}
#endif

void bench_subtract(const float *a, const float *b, float *c, size_t count) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return subtract_vectors(a, b, c, count);
#endif
    for (size_t i = 0; i < count; i++) c[i] = a[i] - b[i];
}

#if defined(__x86_64__)
#include <immintrin.h>
// The compiler keeps to the order of a maximum of floats, which costs it the vectors.
__attribute__((target("avx2"))) static float largest_vectors(const float *a, const float *b, size_t count) {
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    __m256 most[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        for (size_t k = 0; k < 2; k++) {
            __m256 delta = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8 * k), _mm256_loadu_ps(b + i + 8 * k));
            most[k] = _mm256_max_ps(_mm256_and_ps(delta, magnitude), most[k]);
        }
    }
    float lanes[8], result = 0;
    _mm256_storeu_ps(lanes, _mm256_max_ps(most[0], most[1]));
    for (size_t k = 0; k < 8; k++) result = lanes[k] > result ? lanes[k] : result;
    for (; i < count; i++) {
        float delta = a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
        result = delta > result ? delta : result;
    }
    return result;
}

__attribute__((target("avx2"))) static void advance_vectors(const float *a, float *b, size_t count, float step) {
    for (size_t i = 0; i < count; i++) b[i] += a[i] - b[i] > step ? step : 0;
}

// Enough chains to keep both of a core's multipliers busy.
__attribute__((target("avx2,fma"))) static float multiply_vectors(size_t count) {
    const __m256 factor = _mm256_set1_ps(0.999f), offset = _mm256_set1_ps(0.001f);
    __m256 chains[10];
    for (size_t k = 0; k < 10; k++) chains[k] = _mm256_set1_ps((float)k);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < 10; k++) chains[k] = _mm256_fmadd_ps(chains[k], factor, offset);
    }
    for (size_t k = 1; k < 10; k++) chains[0] = _mm256_add_ps(chains[0], chains[k]);
    return _mm256_cvtss_f32(chains[0]);
}
#endif

float bench_multiply(size_t count) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return multiply_vectors(count);
#endif
    float chains[10] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, sum = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < 10; k++) chains[k] = chains[k] * 0.999f + 0.001f;
    }
    for (size_t k = 0; k < 10; k++) sum += chains[k];
    return sum;
}

float bench_largest(const float *a, const float *b, size_t count) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return largest_vectors(a, b, count);
#endif
    float result = 0;
    for (size_t i = 0; i < count; i++) {
        float delta = a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
        result = delta > result ? delta : result;
    }
    return result;
}

void bench_advance(const float *a, float *b, size_t count, float step) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) return advance_vectors(a, b, count, step);
#endif
    for (size_t i = 0; i < count; i++) b[i] += a[i] - b[i] > step ? step : 0;
}
