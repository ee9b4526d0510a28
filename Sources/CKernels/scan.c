// What deltas occur: their range by exponent.

#include "scan.h"

// Deltas that are looked at together: they stay in the first cache.
#define CHUNK 1024
// The same where less is done for each.
#define WIDE_CHUNK 8192

void ck_ranges_clear(ck_ranges *ranges) {
    memset(ranges, 0, sizeof *ranges);
    memset(ranges->lowest, 0xff, sizeof ranges->lowest);
}

void ck_ranges_merge(ck_ranges *into, const ck_ranges *other) {
    for (int key = 0; key < 512; key++) {
        if (other->lowest[key] < into->lowest[key]) into->lowest[key] = other->lowest[key];
        if (other->highest[key] > into->highest[key]) into->highest[key] = other->highest[key];
        into->count[key] += other->count[key];
    }
    if (other->top > into->top) into->top = other->top;
    into->nonfinite += other->nonfinite;
}

// The exponent from which on deltas are noted, once the chunk's largest magnitude is known.
static inline uint32_t floor_of(uint32_t largest, uint32_t window, ck_ranges *ranges) {
    uint32_t exponent = largest >> 23;
    if (exponent > ranges->top) ranges->top = exponent;
    return ranges->top > window + 1 ? ranges->top - window : 1;
}

static void scan_plain(const float *target, const float *previous, size_t count, uint32_t window,
                       ck_ranges *ranges) {
    for (size_t start = 0; start < count; start += CHUNK) {
        size_t end = start + CHUNK < count ? start + CHUNK : count;
        uint32_t largest = 0;
        for (size_t i = start; i < end; i++) {
            uint32_t magnitude = bits_of(target[i] - previous[i]) & MAGNITUDE;
            if (magnitude >= INFINITE) ranges->nonfinite++;
            else if (magnitude > largest) largest = magnitude;
        }
        uint32_t floor = floor_of(largest, window, ranges) << 23;
        for (size_t i = start; i < end; i++) {
            uint32_t bits = bits_of(target[i] - previous[i]);
            uint32_t magnitude = bits & MAGNITUDE;
            if (magnitude >= floor && magnitude < INFINITE) note(bits, ranges);
        }
    }
}

#ifdef CK_VECTOR
// Notes what reaches the floor in a chunk; true if the chunk is dense, so that the next is better looked at at once.
CK_VECTOR static bool scan_few(const float *target, const float *previous, uint32_t window, ck_ranges *ranges) {
    const __m256i magnitudes = _mm256_set1_epi32((int)MAGNITUDE);
    // Whatever is larger than all before it reaches the floor, too.
    uint32_t exponent = floor_of(0, window, ranges);
    __m256i floor = _mm256_set1_epi32((int)((exponent << 23) - 1));
    uint32_t hits = 0;
    for (size_t i = 0; i < CHUNK; i += 16) {
        __m256i one = _mm256_castps_si256(_mm256_sub_ps(_mm256_loadu_ps(target + i), _mm256_loadu_ps(previous + i)));
        __m256i two = _mm256_castps_si256(
            _mm256_sub_ps(_mm256_loadu_ps(target + i + 8), _mm256_loadu_ps(previous + i + 8)));
        __m256i above = _mm256_cmpgt_epi32(_mm256_and_si256(one, magnitudes), floor);
        __m256i other = _mm256_cmpgt_epi32(_mm256_and_si256(two, magnitudes), floor);
        if (_mm256_testz_si256(_mm256_or_si256(above, other), _mm256_set1_epi32(-1))) continue;
        uint32_t bits[16];
        _mm256_storeu_si256((__m256i *)bits, one);
        _mm256_storeu_si256((__m256i *)(bits + 8), two);
        uint32_t mask = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(above))
            | (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(other)) << 8;
        while (mask != 0) {
            uint32_t delta = bits[__builtin_ctz(mask)];
            mask &= mask - 1;
            hits++;
            if ((delta & MAGNITUDE) >= INFINITE) {
                ranges->nonfinite++;
                continue;
            }
            note(delta, ranges);
            if ((delta >> 23 & 255) > ranges->top) {
                exponent = floor_of(delta & MAGNITUDE, window, ranges);
                floor = _mm256_set1_epi32((int)((exponent << 23) - 1));
            }
        }
    }
    return hits > CHUNK / 5;
}

// Ranges of up to eight exponents of both signs, as tables that fit registers: what lies within them is most of a dense
// chunk, and needs only to be counted.
typedef struct {
    uint32_t base;
    uint32_t keys;
    __m256i low[2];
    __m256i high[2];
} known_t;

CK_VECTOR static inline __m256i choose(const __m256i *tables, __m256i place, __m256 delta) {
    __m256 positive = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(tables[0], place));
    __m256 negative = _mm256_castsi256_ps(_mm256_permutevar8x32_epi32(tables[1], place));
    return _mm256_castps_si256(_mm256_blendv_ps(positive, negative, delta));
}

CK_VECTOR static void load_known(known_t *known, uint32_t base, const ck_ranges *ranges) {
    known->base = base;
    known->keys = ranges->top - base + 1;
    for (int sign = 0; sign < 2; sign++) {
        uint32_t low[8], high[8];
        for (uint32_t k = 0; k < 8; k++) {
            uint32_t key = (base + k > 255 ? 255 : base + k) + 256 * (uint32_t)sign;
            low[k] = ranges->lowest[key] & MAGNITUDE;
            high[k] = ranges->highest[key] & MAGNITUDE;
        }
        known->low[sign] = _mm256_loadu_si256((const __m256i *)low);
        known->high[sign] = _mm256_loadu_si256((const __m256i *)high);
    }
}

// Adds the lanes' tallies of each code: the exponent's place, and 8 for a negative delta. Returns their sum.
CK_VECTOR static inline uint64_t add_tallies(const __m256i *tallies, const known_t *known, ck_ranges *ranges) {
    uint64_t all = 0;
    for (uint32_t code = 0; code < 16; code++) {
        if ((code & 7) >= known->keys) continue;
        uint64_t lanes[4];
        _mm256_storeu_si256((__m256i *)lanes, _mm256_sad_epu8(tallies[code], _mm256_setzero_si256()));
        uint64_t sum = lanes[0] + lanes[1] + lanes[2] + lanes[3];
        ranges->count[known->base + (code & 7) + (code & 8) * 32] += sum;
        all += sum;
    }
    return all;
}

uint32_t ck_note_strange(const uint32_t *deltas, uint32_t mask, ck_ranges *ranges) {
    uint32_t most = 0;
    for (; mask != 0; mask &= mask - 1) {
        uint32_t delta = deltas[__builtin_ctz(mask)], exponent = delta >> 23 & 255;
        if (exponent == 255) {
            ranges->nonfinite++;
            continue;
        }
        if (exponent > ranges->top) note(delta, ranges);
        else widen(delta, ranges);
        if (exponent > most) most = exponent;
    }
    return most;
}

// A chunk of which most is within the window of up to `exponents` exponents; true if it was.
CK_VECTOR static inline __attribute__((always_inline)) bool scan_many(const float *target, const float *previous,
                                                                      uint32_t window, const uint32_t exponents,
                                                                      ck_ranges *ranges) {
    known_t known;
    load_known(&known, floor_of(0, window, ranges), ranges);
    const __m256i magnitudes = _mm256_set1_epi32((int)MAGNITUDE), eight = _mm256_set1_epi32(8);
    const __m256i floor = _mm256_set1_epi32((int)(known.base << 23));
    const __m256i last = _mm256_set1_epi32((int)(((ranges->top + 1) << 23) - 1));
    const __m256i base = _mm256_set1_epi32((int)known.base);
    __m256i tallies[16];
    for (uint32_t code = 0; code < 16; code++) tallies[code] = _mm256_setzero_si256();
    uint32_t most = 0;
    for (size_t i = 0; i < CHUNK; i += 32) {
        __m256i codes[4], deltas[4], strange[4], any = _mm256_setzero_si256();
#pragma clang loop unroll(full)
        for (size_t k = 0; k < 4; k++) {
            fetch_ahead(target + i + 8 * k, previous + i + 8 * k);
            __m256 delta =
                _mm256_sub_ps(_mm256_loadu_ps(target + i + 8 * k), _mm256_loadu_ps(previous + i + 8 * k));
            __m256i bits = _mm256_castps_si256(delta), magnitude = _mm256_and_si256(bits, magnitudes);
            __m256i above = _mm256_cmpgt_epi32(magnitude, last);
            __m256i left = _mm256_or_si256(_mm256_cmpgt_epi32(floor, magnitude), above);
            __m256i place = _mm256_sub_epi32(_mm256_srli_epi32(magnitude, 23), base);
            __m256i low = choose(known.low, place, delta), high = choose(known.high, place, delta);
            __m256i outside = _mm256_or_si256(_mm256_cmpgt_epi32(low, magnitude), _mm256_cmpgt_epi32(magnitude, high));
            deltas[k] = bits;
            strange[k] = _mm256_or_si256(_mm256_andnot_si256(left, outside), above);
            any = _mm256_or_si256(any, strange[k]);
            __m256i sign = _mm256_and_si256(_mm256_srli_epi32(bits, 28), eight);
            codes[k] = _mm256_or_si256(left, _mm256_or_si256(place, sign));
        }
        __m256i packed =
            _mm256_packs_epi16(_mm256_packs_epi32(codes[0], codes[1]), _mm256_packs_epi32(codes[2], codes[3]));
#pragma clang loop unroll(full)
        for (uint32_t code = 0; code < 16; code++) {
            if ((code & 7) >= exponents) continue;
            __m256i own = _mm256_cmpeq_epi8(packed, _mm256_set1_epi8((char)code));
            tallies[code] = _mm256_sub_epi8(tallies[code], own);
        }
        if (_mm256_testz_si256(any, any)) continue;
        for (size_t k = 0; k < 4; k++) {
            uint32_t bits[8];
            _mm256_storeu_si256((__m256i *)bits, deltas[k]);
            uint32_t lanes = (uint32_t)_mm256_movemask_ps(_mm256_castsi256_ps(strange[k]));
            uint32_t exponent = ck_note_strange(bits, lanes, ranges);
            if (exponent > most) most = exponent;
        }
        load_known(&known, known.base, ranges);
    }
    bool isDense = add_tallies(tallies, &known, ranges) > CHUNK / 8;
    floor_of(most << 23, window, ranges);
    return isDense;
}

CK_WIDE static bool scan_many_wide(const float *target, const float *previous, size_t count, uint32_t window,
                                   ck_ranges *ranges) {
    uint32_t base = floor_of(0, window, ranges), most = 0;
    bool is_dense = ck_scan_wide(target, previous, count, base, ranges, &most) > count / 8;
    floor_of(most << 23, window, ranges);
    return is_dense;
}

CK_VECTOR static void scan_vector(const float *target, const float *previous, size_t count, uint32_t window,
                                  ck_ranges *ranges) {
    const bool is_wide = ck_has_wide_vectors();
    bool is_dense = ranges->is_dense;
    size_t start = 0;
    for (size_t own = CHUNK; start + CHUNK <= count; start += own) {
        const float *live = target + start, *old = previous + start;
        own = is_dense && is_wide && window <= 7 && start + WIDE_CHUNK <= count ? WIDE_CHUNK : CHUNK;
        if (!is_dense || window > 7) is_dense = scan_few(live, old, window, ranges);
        else if (is_wide) is_dense = scan_many_wide(live, old, own, window, ranges);
        else if (window > 3) is_dense = scan_many(live, old, window, 8, ranges);
        else is_dense = scan_many(live, old, window, 4, ranges);
    }
    ranges->is_dense = is_dense;
    scan_plain(target + start, previous + start, count - start, window, ranges);
}
#endif

void ck_scan(const float *target, const float *previous, size_t count, uint32_t window, ck_ranges *ranges) {
#ifdef CK_VECTOR
    if (ck_has_vectors()) return scan_vector(target, previous, count, window, ranges);
#endif
    scan_plain(target, previous, count, window, ranges);
}
