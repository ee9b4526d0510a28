// Ranges and lists of deltas by vectors of 512 bits.

#include "scan.h"

#ifdef CK_VECTOR
CK_WIDE size_t ck_list_wide(const float *target, const float *previous, size_t count, uint32_t floor, ck_few *few,
                            lanes_t *lanes) {
    const __m512i magnitudes = _mm512_set1_epi32((int)MAGNITUDE), least = _mm512_set1_epi32((int)(floor << 23));
    const __m512i sign = _mm512_set1_epi32(INT32_MIN), step = _mm512_set1_epi32(16);
    __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __mmask16 negative = 0;
    uint32_t *listed_places = few->places, *listed_deltas = few->deltas;
    wide_lanes_t sums = load_wide_lanes(lanes);
    size_t listed = few->count, i = 0;
    for (; i + 16 <= count; i += 16) {
        fetch_ahead(target + i, previous + i);
        __m512 live = _mm512_loadu_ps(target + i), old = _mm512_loadu_ps(previous + i);
        __m512 delta = _mm512_sub_ps(live, old);
        __m512i bits = _mm512_castps_si512(delta);
        __mmask16 mask = _mm512_cmpge_epu32_mask(_mm512_and_si512(bits, magnitudes), least);
        add_wide_squares(&sums, _mm512_maskz_mov_ps((__mmask16)~mask, delta), live);
        negative |= _mm512_cmpeq_epi32_mask(_mm512_castps_si512(old), sign);
        // As many as were looked at have room, so sixteen more are never too many.
        _mm512_storeu_si512(listed_places + listed, _mm512_maskz_compress_epi32(mask, places));
        _mm512_storeu_si512(listed_deltas + listed, _mm512_maskz_compress_epi32(mask, bits));
        _mm512_storeu_ps(few->targets + listed, _mm512_maskz_compress_ps(mask, live));
        listed += (size_t)_mm_popcnt_u32(mask);
        places = _mm512_add_epi32(places, step);
    }
    store_wide_lanes(lanes, &sums);
    few->count = listed;
    few->has_negative_zero |= negative != 0;
    return i;
}

// Ranges of up to eight exponents of both signs: what lies within them is most of a dense chunk, and needs only to be counted.
typedef struct {
    __m512i low;
    // From the lowest to the highest.
    __m512i span;
} known_t;

CK_WIDE static known_t load_known(uint32_t base, const ck_ranges *ranges) {
    uint32_t low[16], span[16];
    for (uint32_t place = 0; place < 16; place++) {
        uint32_t exponent = base + (place & 7), key = (exponent > 255 ? 255 : exponent) + 256 * (place >> 3);
        bool is_met = ranges->lowest[key] <= ranges->highest[key];
        // No finite magnitude is within an empty one.
        low[place] = is_met ? ranges->lowest[key] & MAGNITUDE : MAGNITUDE;
        span[place] = is_met ? ranges->highest[key] - ranges->lowest[key] : 0;
    }
    return (known_t){_mm512_loadu_si512(low), _mm512_loadu_si512(span)};
}

// How often each place occurs: first in fields of four bits, eight in each lane, then in bytes.
//
// Four exponents of both signs fit a lane; of eight, each sign has lanes of its own.
#define FULL_FIELDS 12
#define FULL_BYTES 252
typedef struct {
    __m512i ones[2];
    __m512i fields[2];
    __m512i bytes[4];
    uint64_t counts[16];
} places_t;

CK_WIDE static inline places_t places_begin(const bool is_split) {
    uint32_t ones[2][16] = {{0}};
    for (uint32_t place = 0; place < 16; place++) {
        if (is_split) ones[place >> 3][place] = 1u << 4 * (place & 7);
        else if ((place & 7) < 4) ones[0][place] = 1u << (4 * (place & 3) + 2 * (place & 8));
    }
    places_t places = {{_mm512_loadu_si512(ones[0]), _mm512_loadu_si512(ones[1])}, {{0}}, {{0}}, {0}};
    return places;
}

CK_WIDE static inline void places_widen(places_t *places, const bool is_split) {
    const __m512i low = _mm512_set1_epi8(15);
    for (int part = 0; part < (is_split ? 2 : 1); part++) {
        __m512i own = places->fields[part];
        places->bytes[2 * part] = _mm512_add_epi8(places->bytes[2 * part], _mm512_and_si512(own, low));
        places->bytes[2 * part + 1] =
            _mm512_add_epi8(places->bytes[2 * part + 1], _mm512_and_si512(_mm512_srli_epi32(own, 4), low));
        places->fields[part] = _mm512_setzero_si512();
    }
}

CK_WIDE static void places_sum(places_t *places, const bool is_split) {
    for (uint32_t part = 0; part < (is_split ? 4 : 2); part++) {
        uint8_t bytes[64];
        _mm512_storeu_si512(bytes, places->bytes[part]);
        places->bytes[part] = _mm512_setzero_si512();
        for (uint32_t byte = 0; byte < 64; byte++) {
            uint32_t field = 2 * (byte % 4) + (part & 1);
            places->counts[is_split ? field + 8 * (part >> 1) : (field & 3) + 2 * (field & 4)] += bytes[byte];
        }
    }
}

// Of deltas where they are listed, without a previous state.
CK_WIDE static inline __attribute__((always_inline)) uint64_t scan_chunk(const float *target, const float *previous,
                                                                         const bool is_listed, const bool is_split,
                                                                         size_t count, uint32_t base, ck_ranges *ranges,
                                                                         uint32_t *most) {
    known_t known = load_known(base, ranges);
    places_t places = places_begin(is_split);
    const uint32_t top = ranges->top;
    const __m512i magnitudes = _mm512_set1_epi32((int)MAGNITUDE), lowest = _mm512_set1_epi32((int)(base << 23));
    const __m512i keys = _mm512_set1_epi32((int)((top - base + 1) << 23));
    const __m512i last = _mm512_set1_epi32((int)(((top + 1) << 23) - 1));
    uint32_t in_fields = 0, in_bytes = 0;
    for (size_t i = 0; i < count; i += 64) {
        __m512i deltas[4], largest = _mm512_setzero_si512();
        __mmask16 strange[4], any = 0;
#pragma clang loop unroll(full)
        for (size_t k = 0; k < 4; k++) {
            __m512 delta = _mm512_loadu_ps(target + i + 16 * k);
            if (!is_listed) {
                fetch_ahead(target + i + 16 * k, previous + i + 16 * k);
                delta = _mm512_sub_ps(delta, _mm512_loadu_ps(previous + i + 16 * k));
            }
            __m512i bits = _mm512_castps_si512(delta), magnitude = _mm512_and_si512(bits, magnitudes);
            // Below the lowest it wraps around.
            __m512i shifted = _mm512_sub_epi32(magnitude, lowest), place = place_of(bits, shifted);
            __mmask16 inside = _mm512_cmplt_epu32_mask(shifted, keys);
            __m512i above = _mm512_sub_epi32(magnitude, _mm512_permutexvar_epi32(place, known.low));
            strange[k] = _mm512_mask_cmpgt_epu32_mask(inside, above, _mm512_permutexvar_epi32(place, known.span));
            any |= strange[k];
            largest = _mm512_max_epu32(largest, magnitude);
            deltas[k] = bits;
            for (int part = 0; part < (is_split ? 2 : 1); part++)
                places.fields[part] = _mm512_add_epi32(places.fields[part],
                                                       _mm512_maskz_permutexvar_epi32(inside, place, places.ones[part]));
        }
        in_fields += 4;
        if (in_fields == FULL_FIELDS) {
            places_widen(&places, is_split);
            in_bytes += in_fields;
            in_fields = 0;
            if (in_bytes == FULL_BYTES) {
                places_sum(&places, is_split);
                in_bytes = 0;
            }
        }
        if (any == 0 && _mm512_cmpgt_epu32_mask(largest, last) == 0) continue;
        for (size_t k = 0; k < 4; k++) {
            uint32_t bits[16];
            _mm512_storeu_si512(bits, deltas[k]);
            uint32_t lanes = strange[k] | _mm512_cmpgt_epu32_mask(_mm512_and_si512(deltas[k], magnitudes), last);
            uint32_t exponent = ck_note_strange(bits, lanes, ranges);
            if (exponent > *most) *most = exponent;
        }
        known = load_known(base, ranges);
    }
    places_widen(&places, is_split);
    places_sum(&places, is_split);
    uint64_t all = 0;
    for (uint32_t place = 0; place < 16; place++) {
        if (base + (place & 7) > top) continue;
        ranges->count[base + (place & 7) + 256 * (place >> 3)] += places.counts[place];
        all += places.counts[place];
    }
    return all;
}

CK_WIDE uint64_t ck_scan_wide(const float *target, const float *previous, size_t count, uint32_t base,
                              ck_ranges *ranges, uint32_t *most) {
    if (ranges->top - base < 4) return scan_chunk(target, previous, false, false, count, base, ranges, most);
    return scan_chunk(target, previous, false, true, count, base, ranges, most);
}

CK_WIDE void ck_note_wide(const uint32_t *deltas, size_t count, uint32_t floor, ck_ranges *ranges) {
    uint32_t most = 0;
    scan_chunk((const float *)deltas, NULL, true, true, count, floor, ranges, &most);
    if (most > ranges->top) ranges->top = most;
}
#endif
