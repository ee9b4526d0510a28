// Binary arithmetic coding. docs/formats/auto.md defines it.
#ifndef CK_INTERVAL_H
#define CK_INTERVAL_H
#include "CKernels.h"

// An interval of 32 bits, which sheds its leading byte when both ends share it.
typedef struct {
    uint32_t low;
    // From the low end to the high one.
    uint32_t range;
    // What is read, and where bytes go or come from.
    uint32_t value;
    uint8_t *to;
    // The last place from where there is room to write an element.
    uint8_t *last;
    const uint8_t *from;
    const uint8_t *end;
} interval_t;

// Up to where the part reaches that stands for 1, from the low end on: at least 0, below the range.
static inline uint32_t split(const interval_t *interval, uint32_t probability) {
    return (uint32_t)((uint64_t)interval->range * probability >> 16);
}

// Takes that part, or the rest.
static inline void take(interval_t *interval, uint32_t bit, uint32_t middle) {
    if (bit) {
        interval->range = middle;
    } else {
        interval->low += middle + 1;
        interval->range -= middle + 1;
    }
}

// Seldom, which is foreseen sooner than it is computed.
static inline bool sheds(const interval_t *interval) {
    return __builtin_expect(((interval->low ^ (interval->low + interval->range)) & 0xff000000u) == 0, 0);
}

static inline void shed(interval_t *interval) {
    interval->low <<= 8;
    interval->range = interval->range << 8 | 255;
}

static inline __attribute__((always_inline)) uint32_t write_bit(interval_t *interval, uint32_t bit, uint32_t probability) {
    take(interval, bit, split(interval, probability));
    while (sheds(interval)) {
        *interval->to++ = (uint8_t)(interval->low >> 24);
        shed(interval);
    }
    return bit;
}

// Past the end there are zeros.
static inline void shift_in(interval_t *interval) {
    interval->value <<= 8;
    if (interval->from < interval->end) interval->value |= *interval->from++;
}

static inline __attribute__((always_inline)) uint32_t read_bit(interval_t *interval, uint32_t probability) {
    const uint32_t middle = split(interval, probability), bit = interval->value - interval->low <= middle;
    take(interval, bit, middle);
    while (sheds(interval)) {
        shed(interval);
        shift_in(interval);
    }
    return bit;
}

// What a bit is if it is written, what it was if it is read.
static inline __attribute__((always_inline)) uint32_t code_bit(interval_t *interval, uint32_t bit, uint32_t probability,
                                                               const bool is_writer) {
    return is_writer ? write_bit(interval, bit, probability) : read_bit(interval, probability);
}

// The lower bits of a number, most significant first, each as likely as not, behind those that are known.
static inline __attribute__((always_inline)) uint32_t code_low_bits(interval_t *interval, uint32_t known, uint32_t number,
                                                                    uint32_t count, const bool is_writer) {
    while (count-- > 0) known = known << 1 | code_bit(interval, number >> count & 1, 0x8000, is_writer);
    return known;
}

static inline void begin_reading(interval_t *interval) {
    for (int k = 0; k < 4; k++) shift_in(interval);
}

// The shortest tail that, followed by zeros, lies within the interval: at most four bytes.
static inline size_t finish(const interval_t *interval, uint8_t *bytes) {
    const uint32_t high = interval->low + interval->range;
    size_t count = 0;
    uint32_t mask = 0;
    while ((high & mask) < interval->low) {
        count++;
        mask = count == 4 ? UINT32_MAX : ~(UINT32_MAX >> 8 * count);
    }
    for (size_t k = 0; k < count; k++) bytes[k] = (uint8_t)(high >> (24 - 8 * k));
    return count;
}

#endif
