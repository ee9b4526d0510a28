// What the codec's speed is measured against.
#ifndef CBENCHLOOPS_H
#define CBENCHLOOPS_H
#include <stddef.h>

/// c[i] = a[i] - b[i].
void bench_subtract(const float *a, const float *b, float *c, size_t count);

// What any encoder by buckets must do, which has to know all deltas before it can change the first element.
/// The largest |a[i] - b[i]|.
float bench_largest(const float *a, const float *b, size_t count);
/// b[i] += step where a[i] - b[i] exceeds it.
void bench_advance(const float *a, float *b, size_t count, float step);

/// Multiplies and adds in registers alone, `count` times: what a second core adds where neither memory nor code is in the way.
/// Two that are threads of one core, as virtual machines have them, add little. Returns what came of it.
float bench_multiply(size_t count);

#endif
