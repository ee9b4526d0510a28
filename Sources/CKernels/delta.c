// Deltas: their range by exponent, their quantization, and their application.

#include "CKernels.h"
#include "dispatch.h"
#include <string.h>

// Sums are rounded after each product here as in the vectors.
#pragma STDC FP_CONTRACT OFF

atomic_bool ck_plain_only = false;

void ck_force_plain(bool plain) { atomic_store(&ck_plain_only, plain); }

#define MAGNITUDE 0x7fffffffu
#define INFINITE 0x7f800000u
// Deltas that are looked at together: they stay in the first cache.
#define CHUNK 1024

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits;
}

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

static inline void note(uint32_t bits, ck_ranges *ranges) {
    uint32_t key = bits >> 23;
    if (bits < ranges->lowest[key]) ranges->lowest[key] = bits;
    if (bits > ranges->highest[key]) ranges->highest[key] = bits;
    ranges->count[key]++;
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
// Counts and extremes of a few keys in a chunk of deltas, key by key.
CK_VECTOR static void scan_window(const uint32_t *deltas, uint32_t from, uint32_t to, ck_ranges *ranges) {
    for (uint32_t key = from; key <= to + 256; key++) {
        if (key > to && key < from + 256) key = from + 256;
        __m256i wanted = _mm256_set1_epi32((int)key);
        __m256i number = _mm256_setzero_si256(), high = number, low = number;
        for (int i = 0; i < CHUNK; i += 8) {
            __m256i bits = _mm256_load_si256((const __m256i *)(deltas + i));
            __m256i own = _mm256_cmpeq_epi32(_mm256_srli_epi32(bits, 23), wanted);
            number = _mm256_sub_epi32(number, own);
            high = _mm256_max_epu32(high, _mm256_and_si256(own, bits));
            low = _mm256_max_epu32(low, _mm256_andnot_si256(bits, own));
        }
        uint32_t numbers[8], highs[8], lows[8];
        _mm256_storeu_si256((__m256i *)numbers, number);
        _mm256_storeu_si256((__m256i *)highs, high);
        _mm256_storeu_si256((__m256i *)lows, low);
        for (int lane = 0; lane < 8; lane++) {
            if (numbers[lane] == 0) continue;
            ranges->count[key] += numbers[lane];
            if (highs[lane] > ranges->highest[key]) ranges->highest[key] = highs[lane];
            if (~lows[lane] < ranges->lowest[key]) ranges->lowest[key] = ~lows[lane];
        }
    }
}

// Notes what reaches the floor in a chunk; true if the chunk is dense, so that the next is better looked at key by key.
CK_VECTOR static bool scan_sparse(const float *target, const float *previous, uint32_t window, ck_ranges *ranges) {
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

// The same key by key; true if that was worth it.
CK_VECTOR static bool scan_dense(const float *target, const float *previous, uint32_t window, ck_ranges *ranges) {
    const __m256i magnitudes = _mm256_set1_epi32((int)MAGNITUDE);
    _Alignas(32) uint32_t deltas[CHUNK];
    __m256i most = _mm256_setzero_si256();
    for (size_t i = 0; i < CHUNK; i += 8) {
        __m256 one = _mm256_sub_ps(_mm256_loadu_ps(target + i), _mm256_loadu_ps(previous + i));
        _mm256_store_si256((__m256i *)(deltas + i), _mm256_castps_si256(one));
        most = _mm256_max_epi32(most, _mm256_and_si256(_mm256_castps_si256(one), magnitudes));
    }
    uint32_t lanes[8], largest = 0;
    _mm256_storeu_si256((__m256i *)lanes, most);
    for (int lane = 0; lane < 8; lane++)
        if (lanes[lane] > largest) largest = lanes[lane];
    if (largest >= INFINITE) {
        scan_plain(target, previous, CHUNK, window, ranges);
        return true;
    }
    uint32_t exponent = floor_of(largest, window, ranges);
    if (ranges->top - exponent >= 6) return scan_sparse(target, previous, window, ranges) && false;
    scan_window(deltas, exponent, ranges->top, ranges);
    return true;
}

CK_VECTOR static void scan_vector(const float *target, const float *previous, size_t count, uint32_t window,
                                  ck_ranges *ranges) {
    bool dense = false;
    uint32_t looked = 0;
    size_t start = 0;
    for (; start + CHUNK <= count; start += CHUNK) {
        // Now and then a dense vector is looked at again: it may have become sparse.
        if (dense && ++looked % 64 != 0) dense = scan_dense(target + start, previous + start, window, ranges);
        else dense = scan_sparse(target + start, previous + start, window, ranges);
    }
    scan_plain(target + start, previous + start, count - start, window, ranges);
}
#endif

void ck_scan(const float *target, const float *previous, size_t count, uint32_t window, ck_ranges *ranges) {
#ifdef CK_VECTOR
    if (ck_has_vectors()) return scan_vector(target, previous, count, window, ranges);
#endif
    scan_plain(target, previous, count, window, ranges);
}

// Squares are summed in eight lanes of floats over 64 elements, and those sums in double precision; both paths do the
// same additions. A sum that overflows or vanishes isn't finite or is tiny, and the caller looks again.
#define GROUP 64

static inline ck_sums group_sums(const float *target, const float *reconstruction, size_t count) {
    float error[8] = {0}, norm[8] = {0};
    for (size_t i = 0; i < count; i++) {
        float miss = target[i] - reconstruction[i];
        error[i & 7] += miss * miss;
        norm[i & 7] += target[i] * target[i];
    }
    double errors = 0, norms = 0;
    for (int lane = 0; lane < 8; lane++) {
        errors += error[lane];
        norms += norm[lane];
    }
    return (ck_sums){errors, norms};
}

static ck_sums error_plain(const float *target, const float *reconstruction, size_t count) {
    ck_sums sums = {0, 0};
    for (size_t i = 0; i < count; i += GROUP) {
        ck_sums own = group_sums(target + i, reconstruction + i, count - i < GROUP ? count - i : GROUP);
        sums.error += own.error;
        sums.norm += own.norm;
    }
    return sums;
}

static void quantize_plain(const float *target, float *reconstruction, size_t count, const ck_buckets *buckets,
                           uint16_t *symbols) {
    for (size_t i = 0; i < count; i++) {
        uint32_t key = bits_of(target[i] - reconstruction[i]) >> 23;
        symbols[i] = buckets->symbols[key];
        reconstruction[i] += buckets->values[key];
    }
}

#ifdef CK_VECTOR
typedef struct {
    __m256 error;
    __m256 norm;
} lanes_t;

CK_VECTOR static inline void add_squares(lanes_t *lanes, __m256 live, __m256 restored) {
    __m256 miss = _mm256_sub_ps(live, restored);
    lanes->error = _mm256_add_ps(lanes->error, _mm256_mul_ps(miss, miss));
    lanes->norm = _mm256_add_ps(lanes->norm, _mm256_mul_ps(live, live));
}

// In the order in which the plain path adds them.
CK_VECTOR static inline void add_lanes(ck_sums *sums, lanes_t *lanes) {
    float error[8], norm[8];
    _mm256_storeu_ps(error, lanes->error);
    _mm256_storeu_ps(norm, lanes->norm);
    double errors = 0, norms = 0;
    for (int lane = 0; lane < 8; lane++) {
        errors += error[lane];
        norms += norm[lane];
    }
    sums->error += errors;
    sums->norm += norms;
    lanes->error = lanes->norm = _mm256_setzero_ps();
}

// Up to eight exponents, hence sixteen keys: the tables fit registers.
CK_VECTOR static size_t quantize_vector(const float *target, float *reconstruction, size_t count,
                                        const ck_buckets *buckets, uint16_t *symbols, ck_sums *sums) {
    float values[16] = {0};
    int32_t codes[16] = {0};
    for (uint32_t exponent = buckets->lowest; exponent <= buckets->highest; exponent++) {
        for (uint32_t sign = 0; sign < 2; sign++) {
            // The sign in bit 3: it is at hand in the delta's own sign bit.
            uint32_t index = (exponent - buckets->lowest) + 8 * sign;
            values[index] = buckets->values[exponent + 256 * sign];
            codes[index] = buckets->symbols[exponent + 256 * sign];
        }
    }
    const __m256 positive = _mm256_loadu_ps(values), negative = _mm256_loadu_ps(values + 8);
    const __m256 codes0 = _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)codes));
    const __m256 codes1 = _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(codes + 8)));
    const __m256i magnitudes = _mm256_set1_epi32((int)MAGNITUDE);
    const __m256i cutoff = _mm256_set1_epi32((int)((buckets->lowest << 23) - 1));
    const __m256i ceiling = _mm256_set1_epi32((int)((buckets->highest + 1) << 23));
    const __m256i lowest = _mm256_set1_epi32((int)buckets->lowest);
    lanes_t lanes = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    size_t i = 0;
    for (size_t end = count / GROUP * GROUP; i < end; i += 8) {
        __m256 live = _mm256_loadu_ps(target + i);
        __m256 old = _mm256_loadu_ps(reconstruction + i);
        __m256 delta = _mm256_sub_ps(live, old);
        __m256i magnitude = _mm256_and_si256(_mm256_castps_si256(delta), magnitudes);
        __m256i kept =
            _mm256_and_si256(_mm256_cmpgt_epi32(magnitude, cutoff), _mm256_cmpgt_epi32(ceiling, magnitude));
        __m256 value = _mm256_setzero_ps();
        __m128i code = _mm_setzero_si128();
        if (!_mm256_testz_si256(kept, kept)) {
            __m256i index = _mm256_sub_epi32(_mm256_srli_epi32(magnitude, 23), lowest);
            __m256 mask = _mm256_castsi256_ps(kept);
            value = _mm256_and_ps(
                mask, _mm256_blendv_ps(_mm256_permutevar8x32_ps(positive, index),
                                       _mm256_permutevar8x32_ps(negative, index), delta));
            __m256i wide = _mm256_castps_si256(_mm256_and_ps(
                mask, _mm256_blendv_ps(_mm256_permutevar8x32_ps(codes0, index),
                                       _mm256_permutevar8x32_ps(codes1, index), delta)));
            code = _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
        }
        __m256 restored = _mm256_add_ps(old, value);
        _mm256_storeu_ps(reconstruction + i, restored);
        _mm_storeu_si128((__m128i *)(symbols + i), code);
        add_squares(&lanes, live, restored);
        if (i % GROUP == GROUP - 8) add_lanes(sums, &lanes);
    }
    return i;
}

CK_VECTOR static size_t error_vector(const float *target, const float *reconstruction, size_t count,
                                     ck_sums *sums) {
    lanes_t lanes = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    size_t i = 0;
    for (size_t end = count / GROUP * GROUP; i < end; i += 8) {
        add_squares(&lanes, _mm256_loadu_ps(target + i), _mm256_loadu_ps(reconstruction + i));
        if (i % GROUP == GROUP - 8) add_lanes(sums, &lanes);
    }
    return i;
}
#endif

ck_sums ck_quantize(const float *target, float *reconstruction, size_t count, const ck_buckets *buckets,
                    uint16_t *symbols) {
    ck_sums sums = {0, 0};
    size_t done = 0;
#ifdef CK_VECTOR
    bool narrow = buckets->lowest > buckets->highest || buckets->highest - buckets->lowest < 8;
    if (narrow && ck_has_vectors()) {
        ck_buckets own = *buckets;
        // Nothing is kept: an empty range that no delta falls into.
        if (own.lowest > own.highest) own.lowest = 255, own.highest = 254;
        done = quantize_vector(target, reconstruction, count, &own, symbols, &sums);
    }
#endif
    quantize_plain(target + done, reconstruction + done, count - done, buckets, symbols + done);
    ck_sums rest = ck_error(target + done, reconstruction + done, count - done);
    return (ck_sums){sums.error + rest.error, sums.norm + rest.norm};
}

ck_sums ck_error(const float *target, const float *reconstruction, size_t count) {
    ck_sums sums = {0, 0};
    size_t done = 0;
#ifdef CK_VECTOR
    if (ck_has_vectors()) done = error_vector(target, reconstruction, count, &sums);
#endif
    ck_sums rest = error_plain(target + done, reconstruction + done, count - done);
    return (ck_sums){sums.error + rest.error, sums.norm + rest.norm};
}

#ifdef CK_VECTOR
CK_VECTOR static size_t apply_vector(const uint16_t *symbols, size_t count, const float *values, uint32_t alphabet,
                                     float *reconstruction) {
    float table[16] = {0};
    memcpy(table, values, alphabet * sizeof(float));
    const __m256 low = _mm256_loadu_ps(table), high = _mm256_loadu_ps(table + 8);
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m128i codes = _mm_loadu_si128((const __m128i *)(symbols + i));
        __m256 value = _mm256_setzero_ps();
        if (!_mm_testz_si128(codes, codes)) {
            __m256i index = _mm256_cvtepu16_epi32(codes);
            value = _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, index), _mm256_permutevar8x32_ps(high, index),
                                     _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
        }
        _mm256_storeu_ps(reconstruction + i, _mm256_add_ps(_mm256_loadu_ps(reconstruction + i), value));
    }
    return i;
}
#endif

void ck_apply(const uint16_t *symbols, size_t count, const float *values, uint32_t alphabet,
              float *reconstruction) {
    size_t i = 0;
#ifdef CK_VECTOR
    if (alphabet <= 16 && ck_has_vectors()) i = apply_vector(symbols, count, values, alphabet, reconstruction);
#endif
    for (; i < count; i++) reconstruction[i] += values[symbols[i]];
}

bool ck_any(const uint16_t *symbols, size_t count) {
    for (size_t start = 0; start < count; start += CHUNK) {
        size_t end = start + CHUNK < count ? start + CHUNK : count;
        uint16_t all = 0;
        for (size_t i = start; i < end; i++) all |= symbols[i];
        if (all != 0) return true;
    }
    return false;
}

void ck_clip(const uint16_t *symbols, size_t count, uint8_t *bytes) {
    for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)(symbols[i] < 255 ? symbols[i] : 255);
}
