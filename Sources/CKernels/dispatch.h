#ifndef CK_DISPATCH_H
#define CK_DISPATCH_H
#include <stdatomic.h>
#include <stdbool.h>

extern atomic_bool ck_plain_only;

#if defined(__x86_64__)
#include <immintrin.h>
#define CK_VECTOR __attribute__((target("avx2,bmi,bmi2")))
static inline bool ck_has_vectors(void) {
    return !atomic_load_explicit(&ck_plain_only, memory_order_relaxed) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi")
        && __builtin_cpu_supports("bmi2");
}
#endif

#endif
