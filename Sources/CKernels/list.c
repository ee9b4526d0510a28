// Deltas that are few enough to be listed.

#include "scan.h"

static inline void see(uint32_t bits, ck_ranges *ranges) {
    if ((bits & MAGNITUDE) >= INFINITE) {
        ranges->nonfinite++;
        return;
    }
    note(bits, ranges);
    uint32_t exponent = bits >> 23 & 255;
    if (exponent > ranges->top) ranges->top = exponent;
}

static inline void list(ck_few *few, size_t place, float target, uint32_t bits, ck_ranges *ranges) {
    few->places[few->count] = (uint32_t)place;
    few->targets[few->count] = target;
    few->deltas[few->count++] = bits;
    see(bits, ranges);
}

static void list_plain(const float *target, const float *previous, size_t start, size_t count, uint32_t floor,
                       ck_ranges *ranges, ck_few *few, lanes_t *lanes) {
    for (size_t i = start; i < count; i++) {
        float delta = target[i] - previous[i];
        bool is_listed = (bits_of(delta) & MAGNITUDE) >= floor << 23;
        add_element(lanes, i, is_listed ? 0 : delta, target[i]);
        few->has_negative_zero |= bits_of(previous[i]) == 0x80000000u;
        if (is_listed) list(few, i, target[i], bits_of(delta), ranges);
    }
}

#ifdef CK_VECTOR
// Returns how far it came.
CK_VECTOR static size_t list_vector(const float *target, const float *previous, size_t count, uint32_t floor,
                                    ck_ranges *ranges, ck_few *few, lanes_t *sums) {
    const __m256i magnitudes = _mm256_set1_epi32((int)MAGNITUDE);
    const __m256i below = _mm256_set1_epi32((int)((floor << 23) - 1)), sign = _mm256_set1_epi32(INT32_MIN);
    __m256i negative = _mm256_setzero_si256();
    vector_lanes_t lanes = load_lanes(sums);
    size_t i = 0;
    for (; i + 64 <= count; i += 64) {
        uint64_t mask = 0;
#pragma clang loop unroll(full)
        for (size_t k = 0; k < 64; k += 8) {
            fetch_ahead(target + i + k, previous + i + k);
            __m256 live = _mm256_loadu_ps(target + i + k), old = _mm256_loadu_ps(previous + i + k);
            __m256 delta = _mm256_sub_ps(live, old);
            __m256 listed = _mm256_castsi256_ps(
                _mm256_cmpgt_epi32(_mm256_and_si256(_mm256_castps_si256(delta), magnitudes), below));
            add_squares(&lanes, k / 8 % 2, _mm256_andnot_ps(listed, delta), live);
            negative = _mm256_or_si256(negative, _mm256_cmpeq_epi32(_mm256_castps_si256(old), sign));
            mask |= (uint64_t)(uint32_t)_mm256_movemask_ps(listed) << k;
        }
        for (; mask != 0; mask &= mask - 1) {
            size_t place = i + (size_t)__builtin_ctzll(mask);
            list(few, place, target[place], bits_of(target[place] - previous[place]), ranges);
        }
    }
    store_lanes(sums, &lanes);
    few->has_negative_zero |= !_mm256_testz_si256(negative, negative);
    return i;
}
#endif

void ck_list(const float *target, const float *previous, size_t count, uint32_t floor, ck_ranges *ranges,
             ck_few *few) {
    lanes_t lanes = {{0}, {0}};
    size_t done = 0;
    few->count = 0;
    few->has_negative_zero = false;
#ifdef CK_VECTOR
    if (ck_has_wide_vectors()) {
        done = ck_list_wide(target, previous, count, floor, few, &lanes);
        size_t noted = 0;
        if (ranges->top - floor < 8) {
            // Whole groups.
            noted = few->count / 64 * 64;
            if (noted > 0) ck_note_wide(few->deltas, noted, floor, ranges);
        }
        for (; noted < few->count; noted++) see(few->deltas[noted], ranges);
    } else if (ck_has_vectors()) {
        done = list_vector(target, previous, count, floor, ranges, few, &lanes);
    }
#endif
    list_plain(target, previous, done, count, floor, ranges, few, &lanes);
    few->sums = sum_lanes(&lanes);
}
