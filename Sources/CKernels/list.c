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
// By a mask of eight lanes: the numbers of those that are in it, a byte each, the first lowest.
#define ONES 0x0101010101010101u
#define BEFORE(rest, mask, lane) (((rest) + ONES) << 8 * ((mask) >> (lane) & 1))
#define LANES4(mask) BEFORE(BEFORE(BEFORE(BEFORE((uint64_t)0, mask, 7), mask, 6), mask, 5), mask, 4)
#define LANES(mask) BEFORE(BEFORE(BEFORE(BEFORE(LANES4(mask), mask, 3), mask, 2), mask, 1), mask, 0)
#define FOUR(mask) LANES(mask), LANES((mask) + 1), LANES((mask) + 2), LANES((mask) + 3)
#define SIXTEEN(mask) FOUR(mask), FOUR((mask) + 4), FOUR((mask) + 8), FOUR((mask) + 12)
#define SIXTY_FOUR(mask) SIXTEEN(mask), SIXTEEN((mask) + 16), SIXTEEN((mask) + 32), SIXTEEN((mask) + 48)
static const uint64_t lanes_of[256] = {SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};

// Returns how far it came.
CK_VECTOR static size_t list_vector(const float *target, const float *previous, size_t count, uint32_t floor, ck_few *few,
                                    lanes_t *sums) {
    const __m256i magnitudes = _mm256_set1_epi32((int)MAGNITUDE);
    const __m256i below = _mm256_set1_epi32((int)((floor << 23) - 1)), sign = _mm256_set1_epi32(INT32_MIN);
    const __m256i step = _mm256_set1_epi32(8);
    __m256i negative = _mm256_setzero_si256(), places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    uint32_t *listed_places = few->places, *listed_deltas = few->deltas;
    float *listed_targets = few->targets;
    vector_lanes_t lanes = load_lanes(sums);
    size_t listed = few->count, i = 0;
    for (; i + 16 <= count; i += 16) {
#pragma clang loop unroll(full)
        for (size_t k = 0; k < 16; k += 8) {
            fetch_ahead(target + i + k, previous + i + k);
            __m256 live = _mm256_loadu_ps(target + i + k), old = _mm256_loadu_ps(previous + i + k);
            __m256 delta = _mm256_sub_ps(live, old);
            __m256 is_listed = _mm256_castsi256_ps(
                _mm256_cmpgt_epi32(_mm256_and_si256(_mm256_castps_si256(delta), magnitudes), below));
            add_squares(&lanes, k / 8, _mm256_andnot_ps(is_listed, delta), live);
            negative = _mm256_or_si256(negative, _mm256_cmpeq_epi32(_mm256_castps_si256(old), sign));
            const uint32_t mask = (uint32_t)_mm256_movemask_ps(is_listed);
            // As many as were looked at have room, so eight more are never too many.
            const __m256i chosen = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(lanes_of + mask)));
            _mm256_storeu_si256((__m256i *)(listed_places + listed), _mm256_permutevar8x32_epi32(places, chosen));
            _mm256_storeu_ps((float *)(listed_deltas + listed), _mm256_permutevar8x32_ps(delta, chosen));
            _mm256_storeu_ps(listed_targets + listed, _mm256_permutevar8x32_ps(live, chosen));
            listed += (size_t)_mm_popcnt_u32(mask);
            places = _mm256_add_epi32(places, step);
        }
    }
    store_lanes(sums, &lanes);
    few->count = listed;
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
        done = list_vector(target, previous, count, floor, few, &lanes);
        for (size_t k = 0; k < few->count; k++) see(few->deltas[k], ranges);
    }
#endif
    list_plain(target, previous, done, count, floor, ranges, few, &lanes);
    few->sums = sum_lanes(&lanes);
}
