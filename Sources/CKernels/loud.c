// Where little is worth a level: groups of neighbours in which a delta isn't small are packed, and no other is looked at again.

#include "delta.h"

#define GROUP CK_LOUD_GROUP

static void list_plain(const float *target, const float *previous, size_t start, size_t count, float floor, ck_loud *loud,
                       lanes_t *lanes) {
    for (size_t i = start; i < count; i += GROUP) {
        const size_t own = count - i < GROUP ? count - i : GROUP;
        float *targets = loud->targets + GROUP * loud->count, *old = loud->previous + GROUP * loud->count;
        bool is_loud = false;
        for (size_t k = 0; k < GROUP; k++) {
            targets[k] = k < own ? target[i + k] : 0;
            old[k] = k < own ? previous[i + k] : 0;
            const float delta = targets[k] - old[k];
            is_loud |= !(delta < floor && -delta < floor);
            loud->has_negative_zero |= bits_of(old[k]) == 0x80000000u;
        }
        for (size_t k = 0; k < own; k++) add_element(lanes, i + k, is_loud ? 0 : targets[k] - old[k], targets[k]);
        loud->groups[loud->count] = (uint32_t)(i / GROUP);
        loud->count += is_loud;
    }
}

#ifdef CK_VECTOR
// Returns how far it came.
CK_VECTOR static size_t list_vector(const float *target, const float *previous, size_t count, float floor, ck_loud *loud,
                                    lanes_t *sums) {
    const __m256 magnitudes = _mm256_castsi256_ps(_mm256_set1_epi32((int)MAGNITUDE)), least = _mm256_set1_ps(floor);
    const __m256i sign = _mm256_set1_epi32(INT32_MIN);
    __m256i negative = _mm256_setzero_si256();
    float *targets = loud->targets, *listed = loud->previous;
    uint32_t *groups = loud->groups;
    vector_lanes_t lanes = load_lanes(sums);
    size_t met = loud->count, i = 0;
    for (; i + 2 * GROUP <= count; i += 2 * GROUP) {
        fetch_ahead(target + i, previous + i);
#pragma clang loop unroll(full)
        for (size_t k = 0; k < 2; k++) {
            const size_t at = i + GROUP * k;
            const __m256 live = _mm256_loadu_ps(target + at), old = _mm256_loadu_ps(previous + at);
            const __m256 delta = _mm256_sub_ps(live, old);
            const int mask = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_and_ps(delta, magnitudes), least, _CMP_NLT_UQ));
            const __m256 quiet = _mm256_castsi256_ps(_mm256_set1_epi32(-(mask == 0)));
            add_squares(&lanes, k, _mm256_and_ps(delta, quiet), live);
            negative = _mm256_or_si256(negative, _mm256_cmpeq_epi32(_mm256_castps_si256(old), sign));
            // As many as were looked at have room. Whether one is loud can't be foreseen, so it isn't branched on.
            _mm256_storeu_ps(targets + GROUP * met, live);
            _mm256_storeu_ps(listed + GROUP * met, old);
            groups[met] = (uint32_t)(at / GROUP);
            met += mask != 0;
        }
    }
    store_lanes(sums, &lanes);
    loud->count = met;
    loud->has_negative_zero |= !_mm256_testz_si256(negative, negative);
    return i;
}
#endif

void ck_list_loud(const float *target, const float *previous, size_t count, float floor, ck_loud *loud) {
    lanes_t lanes = {{0}, {0}};
    size_t done = 0;
    loud->count = 0;
    loud->has_negative_zero = false;
#ifdef CK_VECTOR
    if (ck_has_vectors()) done = list_vector(target, previous, count, floor, loud, &lanes);
#endif
    list_plain(target, previous, done, count, floor, loud, &lanes);
    loud->sums = sum_lanes(&lanes);
}

static inline bool is_sent(const uint16_t *symbols) {
    uint64_t halves[2];
    memcpy(halves, symbols, sizeof halves);
    return (halves[0] | halves[1]) != 0;
}

void ck_spread_loud(const ck_loud *loud, uint16_t *symbols, uint64_t *nonzero) {
    for (size_t k = 0; k < loud->count; k++) {
        const uint16_t *own = loud->symbols + GROUP * k;
        if (!is_sent(own)) continue;
        const size_t start = GROUP * (size_t)loud->groups[k];
        for (size_t lane = 0; lane < GROUP; lane++) nonzero[start / 64] |= (uint64_t)(own[lane] != 0) << (start % 64 + lane);
        memcpy(symbols + start, own, GROUP * sizeof *own);
    }
}

void ck_apply_loud(const ck_loud *loud, const float *values, float *reconstruction, size_t count) {
    if (loud->has_negative_zero) ck_add_zero(reconstruction, count);
    for (size_t k = 0; k < loud->count; k++) {
        const uint16_t *own = loud->symbols + GROUP * k;
        if (!is_sent(own)) continue;
        const size_t start = GROUP * (size_t)loud->groups[k], left = count - start;
        for (size_t lane = 0; lane < GROUP && lane < left; lane++) reconstruction[start + lane] += values[own[lane]];
    }
}
