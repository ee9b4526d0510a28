// Which instructions are used, chosen when the program runs.
#ifndef CK_DISPATCH_H
#define CK_DISPATCH_H
#include "CKernels.h"
#include <stdatomic.h>
#include <stdbool.h>

// The best of `ck_path` that may be used.
extern atomic_int ck_best_path;

static inline bool ck_may_use(ck_path path) {
    return atomic_load_explicit(&ck_best_path, memory_order_relaxed) >= (int)path;
}

#if defined(__x86_64__)
#include <immintrin.h>
// 256 bits.
#define CK_VECTOR __attribute__((target("avx2,fma,bmi,bmi2,popcnt")))
static inline bool ck_has_vectors(void) {
    return ck_may_use(CK_PATH_VECTORS) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
        && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

// 512 bits, and masks.
#define CK_WIDE __attribute__((target("avx2,fma,bmi,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512dq")))
static inline bool ck_has_wide_vectors(void) {
    return ck_may_use(CK_PATH_WIDE) && ck_has_vectors() && __builtin_cpu_supports("avx512f")
        && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#endif

#endif
