// Elements as words: what a state differs by from the one before it, without loss.

#include "CKernels.h"
#include <string.h>

static inline uint64_t load(const uint8_t *bytes, size_t width) {
    uint64_t value = 0;
    memcpy(&value, bytes, width);
    return value;
}

#define ALL(width) ((width) == 8 ? UINT64_MAX : ((uint64_t)1 << (8 * (width))) - 1)

// The compiler makes a loop of its own for each width.
static inline __attribute__((always_inline)) void words_of(const uint8_t *target, const uint8_t *previous,
                                                           size_t count, size_t width, uint64_t *words) {
    for (size_t i = 0; i < count; i++) {
        uint64_t value = load(target + i * width, width);
        if (previous != NULL) {
            uint64_t difference = (value - load(previous + i * width, width)) & ALL(width);
            uint64_t sign = difference >> (8 * width - 1);
            value = ((difference << 1) ^ (0 - sign)) & ALL(width);
        }
        words[i] = value;
    }
}

void ck_exact_words(const uint8_t *target, const uint8_t *previous, size_t count, size_t width, uint64_t *words) {
    switch (width) {
    case 1: return words_of(target, previous, count, 1, words);
    case 2: return words_of(target, previous, count, 2, words);
    case 4: return words_of(target, previous, count, 4, words);
    default: return words_of(target, previous, count, 8, words);
    }
}

static inline __attribute__((always_inline)) void restore(const uint64_t *words, bool is_base, size_t count,
                                                          size_t width, uint8_t *bytes) {
    for (size_t i = 0; i < count; i++) {
        uint64_t value = words[i];
        if (!is_base) value = ((value >> 1) ^ (0 - (value & 1))) + load(bytes + i * width, width);
        memcpy(bytes + i * width, &value, width);
    }
}

void ck_exact_restore(const uint64_t *words, bool is_base, size_t count, size_t width, uint8_t *bytes) {
    switch (width) {
    case 1: return restore(words, is_base, count, 1, bytes);
    case 2: return restore(words, is_base, count, 2, bytes);
    case 4: return restore(words, is_base, count, 4, bytes);
    default: return restore(words, is_base, count, 8, bytes);
    }
}

void ck_plane(const uint64_t *words, size_t count, uint32_t plane, uint16_t *symbols) {
    for (size_t i = 0; i < count; i++) symbols[i] = (uint16_t)(words[i] >> (8 * plane) & 0xff);
}

void ck_add_plane(const uint16_t *symbols, size_t count, uint32_t plane, uint64_t *words) {
    for (size_t i = 0; i < count; i++) words[i] |= (uint64_t)symbols[i] << (8 * plane);
}

void ck_count(const uint16_t *symbols, size_t count, ptrdiff_t *counts) {
    for (size_t i = 0; i < count; i++) counts[symbols[i]]++;
}
