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
