// The dead-zone quantizer by vectors of 512 bits: two groups at a time.

#include "uniform.h"

#ifdef CK_VECTOR
// Levels whose sums stay in registers.
#define NEAR_LEVELS 3

typedef struct {
    __m512 offsets[NEAR_LEVELS + 1];
    __m512i counts[NEAR_LEVELS + 1];
} near_t;

// Lanes moved up within each group, zeros behind them.
#define UP(lanes, by, mask) _mm512_maskz_permutexvar_ps(mask, by, lanes)

CK_WIDE static inline __m512 scaled_sum(__m512 sum, float scale, __m512 term) {
    return _mm512_add_ps(sum, _mm512_mul_ps(_mm512_set1_ps(scale), term));
}

CK_WIDE static inline __m512 add_square(__m512 sum, __m512 value) {
    return _mm512_add_ps(sum, _mm512_mul_ps(value, value));
}

// Each group's sum of weights, which are whole numbers, in all of its lanes.
CK_WIDE static inline __m512 group_sums(__m512 weights) {
    __m512 sums = _mm512_add_ps(weights, _mm512_shuffle_f32x4(weights, weights, 0xb1));
    sums = _mm512_add_ps(sums, _mm512_permute_ps(sums, 0x4e));
    return _mm512_add_ps(sums, _mm512_permute_ps(sums, 0xb1));
}

CK_WIDE static void add_far_levels(__m512i slots, __m512 offset, tally_lanes_t *lanes) {
    for (int32_t slot = NEAR_LEVELS + 1; slot <= CK_LEVELS_SUMMED; slot++) {
        __mmask16 own = _mm512_cmpeq_epi32_mask(slots, _mm512_set1_epi32(slot));
        __m512i count = _mm512_loadu_si512(lanes->counts[slot]);
        _mm512_storeu_si512(lanes->counts[slot], _mm512_mask_add_epi32(count, own, count, _mm512_set1_epi32(1)));
        __m512 sum = _mm512_loadu_ps(lanes->offsets[slot]);
        _mm512_storeu_ps(lanes->offsets[slot], _mm512_mask_add_ps(sum, own, sum, offset));
    }
}

CK_WIDE static inline __attribute__((always_inline)) size_t
quantize_wide(const float *target, const float *previous, size_t count, const ck_uniform *rule, activity_t *activity,
              uint16_t *symbols, tally_lanes_t *lanes) {
    const __m512i by_one = _mm512_setr_epi32(0, 0, 1, 2, 3, 4, 5, 6, 8, 8, 9, 10, 11, 12, 13, 14);
    const __m512i by_two = _mm512_setr_epi32(0, 0, 0, 1, 2, 3, 4, 5, 8, 8, 8, 9, 10, 11, 12, 13);
    const __m512i by_four = _mm512_setr_epi32(0, 0, 0, 0, 0, 1, 2, 3, 8, 8, 8, 8, 8, 9, 10, 11);
    const __m512i row_starts = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 8, 8, 8, 8, 8, 8);
    const __m512i one = _mm512_set1_epi32(1), ends = _mm512_set1_epi32(GROUP_SIZE - 1);
    const __m512 inverse = _mm512_set1_ps(rule->inverse), lowest = _mm512_set1_ps(lowest_threshold(rule));
    float powers[LANES];
    for (size_t k = 0; k < LANES; k++) powers[k] = k % GROUP_SIZE == 0 ? 1 : powers[k - 1] * FAST;
    const __m512 decays = _mm512_loadu_ps(powers);
    near_t near;
    for (size_t slot = 1; slot <= NEAR_LEVELS; slot++) {
        near.offsets[slot] = _mm512_loadu_ps(lanes->offsets[slot]);
        near.counts[slot] = _mm512_loadu_si512(lanes->counts[slot]);
    }
    __m512 carried = _mm512_set1_ps(activity->fast), squares = _mm512_loadu_ps(lanes->squares);
    __m512i highest = _mm512_loadu_si512(lanes->highest);
    float slow = activity->slow;
    size_t i = 0;
    for (; i + 2 * GROUP_SIZE <= count; i += 2 * GROUP_SIZE) {
        fetch_ahead(target + i, previous == NULL ? target + i : previous + i);
        __m512 delta = _mm512_loadu_ps(target + i);
        if (previous != NULL) delta = _mm512_sub_ps(delta, _mm512_loadu_ps(previous + i));
        __m512 scaled = _mm512_mul_ps(delta, inverse), ratio = _mm512_abs_ps(scaled);
        if (_mm512_cmp_ps_mask(ratio, lowest, _CMP_NLT_UQ) == 0) {
            // Nothing happens.
            squares = add_square(squares, ratio);
            if (symbols != NULL) _mm256_storeu_si256((__m256i *)(symbols + i), _mm256_setzero_si256());
            carried = _mm512_mul_ps(_mm512_mul_ps(carried, _mm512_set1_ps(FAST8)), _mm512_set1_ps(FAST8));
            slow = slow * SLOW8 * SLOW8;
            continue;
        }
        __mmask16 inside = _mm512_cmp_ps_mask(ratio, _mm512_set1_ps(CK_UNIFORM_END), _CMP_LT_OQ);
        lanes->beyond += (uint32_t)__builtin_popcount(~(uint32_t)inside & 0xffff);
        ratio = _mm512_maskz_mov_ps(inside, ratio);
        __m512i level = _mm512_cvttps_epi32(_mm512_add_ps(ratio, _mm512_set1_ps(CK_UNIFORM_ROUNDING)));
        level = _mm512_max_epi32(level, one);
        __mmask16 is_usual = _mm512_cmp_ps_mask(ratio, _mm512_set1_ps(rule->usual), _CMP_GE_OQ);
        __m512 weight = _mm512_maskz_cvtepi32_ps(is_usual, _mm512_min_epi32(level, _mm512_set1_epi32(MOST_WEIGHT)));
        __m512 sum = UP(weight, by_one, 0xfefe);
        sum = scaled_sum(sum, FAST, UP(sum, by_one, 0xfefe));
        sum = scaled_sum(sum, FAST * FAST, UP(sum, by_two, 0xfcfc));
        sum = scaled_sum(sum, FAST * FAST * FAST * FAST, UP(sum, by_four, 0xf0f0));
        __m512 after = _mm512_add_ps(_mm512_mul_ps(_mm512_set1_ps(FAST), sum), weight);
        __m512 after_first = _mm512_permutexvar_ps(ends, after);
        __m512 after_second = _mm512_permutexvar_ps(_mm512_add_epi32(ends, _mm512_set1_epi32(GROUP_SIZE)), after);
        __m512 between = scaled_sum(after_first, FAST8, carried);
        __m512 fast = _mm512_add_ps(sum, _mm512_mul_ps(decays, _mm512_mask_mov_ps(carried, 0xff00, between)));
        carried = scaled_sum(after_second, FAST8, between);
        __m512 totals = group_sums(weight);
        float slow_between = SLOW8 * slow + _mm512_cvtss_f32(totals);
        const float *first_row = rule->thresholds + CK_ACTIVITY_CLASSES * class_of(slow);
        const float *second_row = rule->thresholds + CK_ACTIVITY_CLASSES * class_of(slow_between);
        slow = SLOW8 * slow_between + _mm256_cvtss_f32(_mm512_extractf32x8_ps(totals, 1));
        __m512i class = _mm512_srli_epi32(_mm512_castps_si512(_mm512_add_ps(fast, _mm512_set1_ps(CLASS_OFFSET))), 23);
        class = _mm512_sub_epi32(class, _mm512_set1_epi32(CLASS_EXPONENT));
        class = _mm512_min_epi32(class, _mm512_set1_epi32(CK_ACTIVITY_CLASSES - 1));
        __m512 rows = _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(first_row)), _mm256_loadu_ps(second_row), 1);
        __m512 threshold = _mm512_permutexvar_ps(_mm512_add_epi32(class, row_starts), rows);
        __mmask16 sent = _mm512_cmp_ps_mask(ratio, threshold, _CMP_GE_OQ);
        level = _mm512_maskz_mov_epi32(sent, level);
        highest = _mm512_max_epi32(highest, level);
        __m512 offset = _mm512_sub_ps(ratio, _mm512_cvtepi32_ps(level));
        squares = add_square(squares, offset);
        if (sent != 0) {
            __m512i slots = _mm512_min_epi32(level, _mm512_set1_epi32(CK_LEVELS_SUMMED));
#pragma clang loop unroll(full)
            for (int32_t slot = 1; slot <= NEAR_LEVELS; slot++) {
                __mmask16 own = _mm512_cmpeq_epi32_mask(slots, _mm512_set1_epi32(slot));
                near.counts[slot] = _mm512_mask_add_epi32(near.counts[slot], own, near.counts[slot], one);
                near.offsets[slot] = _mm512_mask_add_ps(near.offsets[slot], own, near.offsets[slot], offset);
            }
            if (_mm512_cmpgt_epi32_mask(slots, _mm512_set1_epi32(NEAR_LEVELS)) != 0) add_far_levels(slots, offset, lanes);
        }
        if (symbols == NULL) continue;
        __m512i symbol = _mm512_add_epi32(_mm512_slli_epi32(level, 1), _mm512_srli_epi32(_mm512_castps_si512(scaled), 31));
        symbol = _mm512_maskz_sub_epi32(sent, symbol, one);
        _mm256_storeu_si256((__m256i *)(symbols + i), _mm512_cvtepi32_epi16(symbol));
    }
    for (size_t slot = 1; slot <= NEAR_LEVELS; slot++) {
        _mm512_storeu_ps(lanes->offsets[slot], near.offsets[slot]);
        _mm512_storeu_si512(lanes->counts[slot], near.counts[slot]);
    }
    _mm512_storeu_ps(lanes->squares, squares);
    _mm512_storeu_si512(lanes->highest, highest);
    *activity = (activity_t){_mm512_cvtss_f32(carried), slow, 0};
    return i;
}

CK_WIDE size_t ck_quantize_uniform_wide(const float *target, const float *previous, size_t count, const ck_uniform *rule,
                                        activity_t *activity, uint16_t *symbols, tally_lanes_t *lanes) {
    if (previous == NULL) return quantize_wide(target, NULL, count, rule, activity, symbols, lanes);
    return quantize_wide(target, previous, count, rule, activity, symbols, lanes);
}
#endif
