// The dead-zone quantizer: thresholds follow the recent activity, which the coder of the levels sees, too.
//
// Activity counts what a usual threshold would send, not what is sent: so no element waits for the decision about the one
// before it, and eight are decided at once. Vectors and plain code do the same operations on floats, in the same order.

#include "uniform.h"

// Elements whose sums are kept in single precision.
#define FLUSH 4096
// No sum of weights is so small that less would change it, or its class.
#define FADED 0x1p-30f

static void flush(tally_lanes_t *lanes, ck_tally *tally) {
    for (int lane = 0; lane < LANES; lane++) {
        tally->squares += (double)lanes->squares[lane];
        if ((uint32_t)lanes->highest[lane] > tally->highest) tally->highest = (uint32_t)lanes->highest[lane];
    }
    for (int slot = 1; slot <= CK_LEVELS_SUMMED; slot++) {
        for (int lane = 0; lane < LANES; lane++) {
            tally->offsets[slot] += (double)lanes->offsets[slot][lane];
            tally->counts[slot] += (uint32_t)lanes->counts[slot][lane];
        }
    }
    tally->beyond += lanes->beyond;
    memset(lanes, 0, sizeof *lanes);
}

// By kind of activity, in a group: how many are seen, and which of them sent.
static inline void count_kinds(uint32_t slow, const uint32_t *fast, uint32_t sent, size_t count, ck_tally *tally) {
    for (size_t k = 0; k < count; k++) {
        uint32_t kind = CK_ACTIVITY_CLASSES * slow + fast[k];
        tally->seen[kind]++;
        tally->sent[kind] += sent >> k & 1;
    }
}

// What is left of the activity once groups have passed in which nothing happens. Sums that no longer change any that they are added
// to are gone: so a long wait takes no longer than a short one.
static activity_t fade(activity_t activity, size_t groups, bool counts_kinds, ck_tally *tally) {
    for (; groups > 0 && (activity.fast > 0 || activity.slow > 0); groups--) {
        if (counts_kinds) {
            const uint32_t slow = class_of(activity.slow);
            float fast = activity.fast;
            for (size_t k = 0; k < GROUP_SIZE; k++, fast *= FAST) tally->seen[CK_ACTIVITY_CLASSES * slow + class_of(fast)]++;
        }
        activity.fast *= FAST8;
        activity.slow *= SLOW8;
        if (activity.fast < FADED) activity.fast = 0;
        if (activity.slow < FADED) activity.slow = 0;
    }
    if (counts_kinds) tally->seen[0] += GROUP_SIZE * groups;
    return activity;
}

// Passes over the groups up to the one at hand.
static inline void pass_quiet(uint32_t group, activity_t *activity, bool counts_kinds, ck_tally *tally) {
    if (group != activity->next) *activity = fade(*activity, group - activity->next, counts_kinds, tally);
    activity->next = group + 1;
}

// A group of which only `count` elements are there: the others are zeros. Its sums are those of half of the lanes.
static void group_plain(const float *target, const float *previous, size_t count, const ck_uniform *rule,
                        activity_t *activity, uint16_t *symbols, bool counts_kinds, size_t first_lane, tally_lanes_t *lanes,
                        ck_tally *tally) {
    float ratio[GROUP_SIZE], weight[GROUP_SIZE], sum[GROUP_SIZE], next[GROUP_SIZE];
    int32_t level[GROUP_SIZE];
    uint32_t sign[GROUP_SIZE];
    for (size_t k = 0; k < GROUP_SIZE; k++) {
        float delta = k >= count ? 0 : previous == NULL ? target[k] : target[k] - previous[k];
        uint32_t bits = bits_of(delta * rule->inverse), size = bits & MAGNITUDE;
        sign[k] = bits >> 31;
        memcpy(&ratio[k], &size, sizeof size);
        if (!(ratio[k] < CK_UNIFORM_END)) {
            lanes->beyond++;
            ratio[k] = 0;
        }
        level[k] = (int32_t)(ratio[k] + CK_UNIFORM_ROUNDING);
        level[k] += level[k] == 0;
        weight[k] = ratio[k] >= rule->usual ? (float)(level[k] < MOST_WEIGHT ? level[k] : MOST_WEIGHT) : 0;
    }
    // Before each element: Σ weights · FAST^distance, by doubling.
    for (size_t k = 0; k < GROUP_SIZE; k++) sum[k] = k < 1 ? 0 : weight[k - 1];
    float decay = FAST;
    for (size_t reach = 1; reach < GROUP_SIZE; reach *= 2, decay *= decay) {
        for (size_t k = 0; k < GROUP_SIZE; k++) next[k] = sum[k] + decay * (k < reach ? 0 : sum[k - reach]);
        memcpy(sum, next, sizeof sum);
    }
    uint32_t slow = class_of(activity->slow), fast[GROUP_SIZE], sent = 0;
    float power = 1, total = 0;
    for (size_t k = 0; k < GROUP_SIZE; k++, power *= FAST) {
        fast[k] = class_of(sum[k] + power * activity->fast);
        bool is_sent = ratio[k] >= rule->thresholds[CK_ACTIVITY_CLASSES * slow + fast[k]];
        sent |= (uint32_t)is_sent << k;
        if (!is_sent) level[k] = 0;
        const size_t lane = first_lane + k;
        float offset = ratio[k] - (float)level[k];
        lanes->squares[lane] += offset * offset;
        if (level[k] > lanes->highest[lane]) lanes->highest[lane] = level[k];
        int32_t slot = level[k] < CK_LEVELS_SUMMED ? level[k] : CK_LEVELS_SUMMED;
        if (is_sent) {
            lanes->offsets[slot][lane] += offset;
            lanes->counts[slot][lane]++;
        }
        if (symbols != NULL && k < count)
            symbols[k] = is_sent ? (uint16_t)(2 * level[k] - 1 + (int32_t)sign[k]) : 0;
        total += weight[k];
    }
    if (counts_kinds) count_kinds(slow, fast, sent, count, tally);
    activity->fast = FAST8 * activity->fast + (FAST * sum[GROUP_SIZE - 1] + weight[GROUP_SIZE - 1]);
    activity->slow = SLOW8 * activity->slow + total;
}

#ifdef CK_VECTOR
// Lanes moved up, zeros behind them.
CK_VECTOR static inline __m256 up_one(__m256 lanes) {
    const __m256i places = _mm256_setr_epi32(0, 0, 1, 2, 3, 4, 5, 6);
    return _mm256_blend_ps(_mm256_permutevar8x32_ps(lanes, places), _mm256_setzero_ps(), 0x01);
}

CK_VECTOR static inline __m256 up_two(__m256 lanes) {
    const __m256i places = _mm256_setr_epi32(0, 0, 0, 1, 2, 3, 4, 5);
    return _mm256_blend_ps(_mm256_permutevar8x32_ps(lanes, places), _mm256_setzero_ps(), 0x03);
}

CK_VECTOR static inline __m256 up_four(__m256 lanes) { return _mm256_permute2f128_ps(lanes, lanes, 0x08); }

CK_VECTOR static inline __m256 scaled_sum(__m256 sum, float scale, __m256 term) {
    return _mm256_add_ps(sum, _mm256_mul_ps(_mm256_set1_ps(scale), term));
}

CK_VECTOR static inline void add_level(int32_t slot, __m256i slots, __m256 offset, size_t lane, tally_lanes_t *lanes) {
    __m256i own = _mm256_cmpeq_epi32(slots, _mm256_set1_epi32(slot));
    __m256i *count = (__m256i *)(lanes->counts[slot] + lane);
    _mm256_storeu_si256(count, _mm256_sub_epi32(_mm256_loadu_si256(count), own));
    float *sum = lanes->offsets[slot] + lane;
    _mm256_storeu_ps(sum, _mm256_add_ps(_mm256_loadu_ps(sum), _mm256_and_ps(_mm256_castsi256_ps(own), offset)));
}

// Whole groups; returns how far it came.
CK_VECTOR static inline __attribute__((always_inline)) size_t
quantize_groups(const float *target, const float *previous, const uint32_t *groups, size_t count, const ck_uniform *rule,
                activity_t *activity, uint16_t *symbols, const bool counts_kinds, tally_lanes_t *lanes, ck_tally *tally) {
    const __m256 magnitudes = _mm256_castsi256_ps(_mm256_set1_epi32((int)MAGNITUDE));
    const __m256 inverse = _mm256_set1_ps(rule->inverse), usual = _mm256_set1_ps(rule->usual);
    const __m256 lowest = _mm256_set1_ps(lowest_threshold(rule)), end = _mm256_set1_ps(CK_UNIFORM_END);
    const __m256i one = _mm256_set1_epi32(1), most = _mm256_set1_epi32(MOST_WEIGHT);
    const __m256i last = _mm256_set1_epi32(CK_ACTIVITY_CLASSES - 1), summed = _mm256_set1_epi32(CK_LEVELS_SUMMED);
    float powers[GROUP_SIZE] = {1};
    for (size_t k = 1; k < GROUP_SIZE; k++) powers[k] = powers[k - 1] * FAST;
    const __m256 decays = _mm256_loadu_ps(powers);
    __m256 carried = _mm256_set1_ps(activity->fast), squares[2];
    for (size_t half = 0; half < 2; half++) squares[half] = _mm256_loadu_ps(lanes->squares + 8 * half);
    __m256i highest = _mm256_loadu_si256((const __m256i *)lanes->highest);
    float slow = activity->slow;
    uint32_t next = activity->next;
    size_t i = 0;
    for (; i + GROUP_SIZE <= count; i += GROUP_SIZE) {
        if (groups != NULL) {
            activity_t rest = {_mm256_cvtss_f32(carried), slow, next};
            pass_quiet(groups[i / GROUP_SIZE], &rest, counts_kinds, tally);
            carried = _mm256_set1_ps(rest.fast), slow = rest.slow, next = rest.next;
        }
        const size_t half = i / GROUP_SIZE % 2, lane = GROUP_SIZE * half;
        __m256 delta = _mm256_loadu_ps(target + i);
        if (previous != NULL) delta = _mm256_sub_ps(delta, _mm256_loadu_ps(previous + i));
        __m256 scaled = _mm256_mul_ps(delta, inverse);
        __m256 ratio = _mm256_and_ps(scaled, magnitudes);
        if (!counts_kinds && _mm256_testz_ps(_mm256_cmp_ps(ratio, lowest, _CMP_NLT_UQ), _mm256_set1_ps(-1))) {
            // Nothing happens.
            squares[half] = _mm256_add_ps(squares[half], _mm256_mul_ps(ratio, ratio));
            if (symbols != NULL) _mm_storeu_si128((__m128i *)(symbols + i), _mm_setzero_si128());
            carried = _mm256_mul_ps(carried, _mm256_set1_ps(FAST8));
            slow *= SLOW8;
            continue;
        }
        __m256 inside = _mm256_cmp_ps(ratio, end, _CMP_LT_OQ);
        lanes->beyond += (uint32_t)__builtin_popcount(~(uint32_t)_mm256_movemask_ps(inside) & 0xff);
        ratio = _mm256_and_ps(ratio, inside);
        __m256i level = _mm256_cvttps_epi32(_mm256_add_ps(ratio, _mm256_set1_ps(CK_UNIFORM_ROUNDING)));
        level = _mm256_max_epi32(level, one);
        __m256 weight = _mm256_and_ps(_mm256_cvtepi32_ps(_mm256_min_epi32(level, most)),
                                      _mm256_cmp_ps(ratio, usual, _CMP_GE_OQ));
        __m256 sum = up_one(weight);
        sum = scaled_sum(sum, FAST, up_one(sum));
        sum = scaled_sum(sum, FAST * FAST, up_two(sum));
        sum = scaled_sum(sum, FAST * FAST * FAST * FAST, up_four(sum));
        __m256 fast = _mm256_add_ps(sum, _mm256_mul_ps(decays, carried));
        __m256i class = _mm256_srli_epi32(_mm256_castps_si256(_mm256_add_ps(fast, _mm256_set1_ps(CLASS_OFFSET))), 23);
        class = _mm256_min_epi32(_mm256_sub_epi32(class, _mm256_set1_epi32(CLASS_EXPONENT)), last);
        uint32_t slow_class = class_of(slow);
        __m256 row = _mm256_loadu_ps(rule->thresholds + CK_ACTIVITY_CLASSES * slow_class);
        __m256 sent = _mm256_cmp_ps(ratio, _mm256_permutevar8x32_ps(row, class), _CMP_GE_OQ);
        level = _mm256_and_si256(level, _mm256_castps_si256(sent));
        highest = _mm256_max_epi32(highest, level);
        __m256 offset = _mm256_sub_ps(ratio, _mm256_cvtepi32_ps(level));
        squares[half] = _mm256_add_ps(squares[half], _mm256_mul_ps(offset, offset));
        uint32_t mask = (uint32_t)_mm256_movemask_ps(sent);
        if (mask != 0) {
            __m256i slots = _mm256_min_epi32(level, summed);
            for (int32_t slot = 1; slot <= 3; slot++) add_level(slot, slots, offset, lane, lanes);
            __m256i high = _mm256_cmpgt_epi32(slots, _mm256_set1_epi32(3));
            if (!_mm256_testz_si256(high, high))
                for (int32_t slot = 4; slot <= CK_LEVELS_SUMMED; slot++) add_level(slot, slots, offset, lane, lanes);
        }
        if (symbols != NULL) {
            __m256i sign = _mm256_srli_epi32(_mm256_castps_si256(scaled), 31);
            __m256i symbol = _mm256_sub_epi32(_mm256_add_epi32(_mm256_add_epi32(level, level), sign), one);
            symbol = _mm256_and_si256(symbol, _mm256_castps_si256(sent));
            _mm_storeu_si128((__m128i *)(symbols + i), _mm_packus_epi32(_mm256_castsi256_si128(symbol),
                                                                         _mm256_extracti128_si256(symbol, 1)));
        }
        if (counts_kinds) {
            uint32_t classes[GROUP_SIZE];
            _mm256_storeu_si256((__m256i *)classes, class);
            count_kinds(slow_class, classes, mask, GROUP_SIZE, tally);
        }
        __m256 after = _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(FAST), sum), weight);
        after = _mm256_permutevar8x32_ps(after, _mm256_set1_epi32(GROUP_SIZE - 1));
        carried = _mm256_add_ps(_mm256_mul_ps(carried, _mm256_set1_ps(FAST8)), after);
        // Whole numbers: their sum is the same in any order.
        __m128 part = _mm_add_ps(_mm256_castps256_ps128(weight), _mm256_extractf128_ps(weight, 1));
        part = _mm_add_ps(part, _mm_movehl_ps(part, part));
        float total = _mm_cvtss_f32(_mm_add_ss(part, _mm_movehdup_ps(part)));
        slow = SLOW8 * slow + total;
    }
    for (size_t half = 0; half < 2; half++) _mm256_storeu_ps(lanes->squares + 8 * half, squares[half]);
    _mm256_storeu_si256((__m256i *)lanes->highest, highest);
    *activity = (activity_t){_mm256_cvtss_f32(carried), slow, next};
    return i;
}

CK_VECTOR static size_t quantize_vector(const float *target, const float *previous, const uint32_t *groups, size_t count,
                                        const ck_uniform *rule, activity_t *activity, uint16_t *symbols,
                                        bool counts_kinds, tally_lanes_t *lanes, ck_tally *tally) {
    if (groups != NULL && counts_kinds)
        return quantize_groups(target, previous, groups, count, rule, activity, symbols, true, lanes, tally);
    if (groups != NULL) return quantize_groups(target, previous, groups, count, rule, activity, symbols, false, lanes, tally);
    if (counts_kinds) return quantize_groups(target, previous, NULL, count, rule, activity, symbols, true, lanes, tally);
    if (previous == NULL) return quantize_groups(target, NULL, NULL, count, rule, activity, symbols, false, lanes, tally);
    return quantize_groups(target, previous, NULL, count, rule, activity, symbols, false, lanes, tally);
}
#endif

// All groups, or those with the given numbers.
static void quantize(const float *target, const float *previous, const uint32_t *groups, size_t count, const ck_uniform *rule,
                     activity_t *activity, uint16_t *symbols, bool counts_kinds, ck_tally *tally) {
    tally_lanes_t lanes;
    memset(&lanes, 0, sizeof lanes);
    for (size_t start = 0; start < count; start += FLUSH) {
        size_t end = start + FLUSH < count ? start + FLUSH : count, i = start;
#ifdef CK_VECTOR
        const float *own = previous == NULL ? NULL : previous + i;
        uint16_t *out = symbols == NULL ? NULL : symbols + i;
        if (ck_has_wide_vectors() && !counts_kinds && groups == NULL)
            i += ck_quantize_uniform_wide(target + i, own, end - i, rule, activity, out, &lanes);
        else if (ck_has_vectors())
            i += quantize_vector(target + i, own, groups == NULL ? NULL : groups + i / GROUP_SIZE, end - i, rule, activity, out,
                                 counts_kinds, &lanes, tally);
#endif
        for (; i < end; i += GROUP_SIZE) {
            if (groups != NULL) pass_quiet(groups[i / GROUP_SIZE], activity, counts_kinds, tally);
            group_plain(target + i, previous == NULL ? NULL : previous + i, end - i < GROUP_SIZE ? end - i : GROUP_SIZE,
                        rule, activity, symbols == NULL ? NULL : symbols + i, counts_kinds, i % LANES, &lanes, tally);
        }
        flush(&lanes, tally);
    }
}

void ck_quantize_uniform(const float *target, const float *previous, size_t count, const ck_uniform *rule,
                         uint16_t *symbols, bool counts_kinds, ck_tally *tally) {
    activity_t activity = {0, 0, 0};
    quantize(target, previous, NULL, count, rule, &activity, symbols, counts_kinds, tally);
}

// The first packed group whose number isn't below `group`.
static size_t loud_from(const ck_loud *loud, size_t group) {
    size_t low = 0, high = loud->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (loud->groups[middle] < group) low = middle + 1;
        else high = middle;
    }
    return low;
}

void ck_quantize_loud(const ck_loud *loud, size_t first, size_t end, const ck_uniform *rule, bool writes, bool counts_kinds,
                      ck_tally *tally) {
    const size_t from = loud_from(loud, first), to = loud_from(loud, end), start = from * GROUP_SIZE;
    if (from == to && !counts_kinds) return;
    activity_t activity = {0, 0, (uint32_t)first};
    quantize(loud->targets + start, loud->previous + start, loud->groups + from, GROUP_SIZE * (to - from), rule, &activity,
             writes ? loud->symbols + start : NULL, counts_kinds, tally);
    if (counts_kinds) fade(activity, end - activity.next, true, tally);
}

void ck_tally_merge(ck_tally *into, const ck_tally *other) {
    for (int slot = 1; slot <= CK_LEVELS_SUMMED; slot++) {
        into->offsets[slot] += other->offsets[slot];
        into->counts[slot] += other->counts[slot];
    }
    into->squares += other->squares;
    for (int kind = 0; kind < CK_ACTIVITY_KINDS; kind++) {
        into->seen[kind] += other->seen[kind];
        into->sent[kind] += other->sent[kind];
    }
    into->beyond += other->beyond;
    if (other->highest > into->highest) into->highest = other->highest;
}
