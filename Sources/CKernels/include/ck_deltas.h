// Deltas: their ranges, their quantization by exponent, what symbols restore; exact elements as bytes of words.
#ifndef CKERNELS_DELTAS_H
#define CKERNELS_DELTAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

/// What is known of the deltas by key, the top nine bits of a delta.
typedef struct {
    uint32_t lowest[512];
    uint32_t highest[512];
    uint64_t count[512];
    // The largest exponent field of a finite delta so far.
    uint32_t top;
    // Deltas that aren't finite.
    uint64_t nonfinite;
    // For ck_scan alone: of what it looked at last much lay within the window, and more of it is better only counted.
    bool is_dense;
} ck_ranges;

void ck_ranges_clear(ck_ranges *ranges);
void ck_ranges_merge(ck_ranges *into, const ck_ranges *other);

/// Adds the deltas target - previous to `ranges`. What it holds is complete for exponents from top - window on.
void ck_scan(const float *target, const float *previous, size_t count, uint32_t window, ck_ranges *ranges);

/// Squares summed in double precision: of what is missed, and of the target.
typedef struct {
    double error;
    double norm;
} ck_sums;

/// The deltas of a piece that aren't small, and what else there is to know of it.
typedef struct {
    // Where they are, their bits, and the elements of the target.
    uint32_t *places;
    uint32_t *deltas;
    float *targets;
    size_t count;
    // The small deltas' squares, and the target's.
    ck_sums sums;
    // An element of the previous state is -0.0.
    bool has_negative_zero;
} ck_few;

/// Lists the deltas target - previous whose exponent is `floor` (at least 1) or more, and adds them to `ranges`. There is room for
/// all.
void ck_list(const float *target, const float *previous, size_t count, uint32_t floor, ck_ranges *ranges, ck_few *few);

/// How a delta becomes a symbol, and a symbol a value.
typedef struct {
    // By key.
    const uint16_t *symbols;
    const float *values;
    // The exponents that are kept: lowest and highest; lowest > highest when none is.
    uint32_t lowest;
    uint32_t highest;
} ck_buckets;

/// Writes symbols, adds their values to the reconstruction.
ck_sums ck_quantize(const float *target, float *reconstruction, size_t count, const ck_buckets *buckets,
                    uint16_t *symbols);
/// The same for listed deltas, the others being zero: afterwards `few` lists the places of what isn't zero, with symbols for
/// deltas, and its targets mean nothing.
ck_sums ck_quantize_few(float *reconstruction, size_t count, const ck_buckets *buckets, ck_few *few);
/// Squares of the deltas target - previous, as `error`, and of the target. Deltas are rounded to floats first, and are written if
/// wanted.
ck_sums ck_deltas(const float *target, const float *previous, size_t count, float *_Nullable deltas);
/// Adds each symbol's value to the reconstruction. Every symbol is below `alphabet`.
void ck_apply(const uint16_t *symbols, size_t count, const float *values, uint32_t alphabet,
              float *reconstruction);
/// The same for symbols at a few places, in order and below `end`; reconstruction[0] is at place `first`. Zeros are not
/// added elsewhere: see ck_add_zero. Returns how many were below the end.
size_t ck_apply_few(const uint32_t *places, const uint32_t *symbols, size_t count, size_t first, size_t end,
                    const float *values, float *reconstruction);
/// Makes -0.0 +0.0, as adding zero does.
void ck_add_zero(float *reconstruction, size_t count);
/// Whether a symbol isn't zero.
bool ck_any(const uint16_t *symbols, size_t count);
/// Copies symbols clipped to 255.
void ck_clip(const uint16_t *symbols, size_t count, uint8_t *bytes);

/// Elements of `width` bytes (1, 2, 4, 8) as words: zigzag of their difference from the previous ones, or as they are.
void ck_exact_words(const uint8_t *target, const uint8_t *_Nullable previous, size_t count, size_t width,
                    uint64_t *words);
/// The inverse: `bytes` are the previous elements, and become those that the words stand for.
void ck_exact_restore(const uint64_t *words, bool is_base, size_t count, size_t width, uint8_t *bytes);
/// The bytes of one significance, 0 the least.
void ck_plane(const uint64_t *words, size_t count, uint32_t plane, uint16_t *symbols);
void ck_add_plane(const uint16_t *symbols, size_t count, uint32_t plane, uint64_t *words);
/// The largest alphabet whose symbols are counted side by side.
#define CK_COUNTED_FEW 16
/// Adds how often each symbol below `alphabet`, which is at most that large, occurs; `counts` has room for the largest.
void ck_count_few(const uint16_t *symbols, size_t count, uint32_t alphabet, uint64_t *counts);
/// Adds how often each symbol occurs to one or the other of its four counts; at most 2^30 symbols.
void ck_count_many(const uint16_t *symbols, size_t count, uint32_t *tables);
/// How many symbols aren't zero.
size_t ck_nonzero(const uint16_t *symbols, size_t count);
/// Counts symbols.
void ck_count(const uint16_t *symbols, size_t count, ptrdiff_t *counts);

#pragma clang assume_nonnull end

#endif
