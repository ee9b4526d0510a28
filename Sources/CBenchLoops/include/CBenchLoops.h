// What the codec's speed is measured against.
#ifndef CBENCHLOOPS_H
#define CBENCHLOOPS_H
#include <stddef.h>

/// c[i] = a[i] - b[i].
void bench_subtract(const float *a, const float *b, float *c, size_t count);

#endif
