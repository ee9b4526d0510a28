// What the loops share that look for the deltas that occur.
#ifndef CK_SCAN_H
#define CK_SCAN_H
#include "delta.h"

static inline void widen(uint32_t bits, ck_ranges *ranges) {
    uint32_t key = bits >> 23;
    if (bits < ranges->lowest[key]) ranges->lowest[key] = bits;
    if (bits > ranges->highest[key]) ranges->highest[key] = bits;
}

static inline void note(uint32_t bits, ck_ranges *ranges) {
    widen(bits, ranges);
    ranges->count[bits >> 23]++;
}

#ifdef CK_VECTOR
// Lists the deltas of whole groups; returns how far it came.
size_t ck_list_wide(const float *target, const float *previous, size_t count, uint32_t floor, ck_few *few, lanes_t *lanes);

// Notes ranges of the deltas that `mask` names, which aren't counted unless they are beyond the top exponent; returns the
// largest exponent among them.
uint32_t ck_note_strange(const uint32_t *deltas, uint32_t mask, ck_ranges *ranges);
// Adds a chunk of elements, a multiple of 64, of which most lie within the at most eight exponents from base to
// the top; returns how many did. `most` becomes the largest exponent beyond the top.
uint64_t ck_scan_wide(const float *target, const float *previous, size_t count, uint32_t base, ck_ranges *ranges,
                      uint32_t *most);
// The same for as many listed deltas, from the floor on that they are listed from.
void ck_note_wide(const uint32_t *deltas, size_t count, uint32_t floor, ck_ranges *ranges);
#endif

#endif
