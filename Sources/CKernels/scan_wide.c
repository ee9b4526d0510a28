// Ranges and lists of deltas by vectors of 512 bits.

#include "scan.h"

#ifdef CK_VECTOR
CK_WIDE size_t ck_list_wide(const float *target, const float *previous, size_t count, uint32_t floor, ck_few *few,
                            lanes_t *lanes) {
    const __m512i magnitudes = _mm512_set1_epi32((int)MAGNITUDE), least = _mm512_set1_epi32((int)(floor << 23));
    const __m512i sign = _mm512_set1_epi32(INT32_MIN), step = _mm512_set1_epi32(16);
    __m512i places = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    // Zero where an element was -0.0.
    __m512i signs = _mm512_set1_epi32(-1);
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
        signs = _mm512_min_epu32(signs, _mm512_xor_si512(_mm512_castps_si512(old), sign));
        // As many as were looked at have room, so sixteen more are never too many.
        _mm512_storeu_si512(listed_places + listed, _mm512_maskz_compress_epi32(mask, places));
        _mm512_storeu_si512(listed_deltas + listed, _mm512_maskz_compress_epi32(mask, bits));
        _mm512_storeu_ps(few->targets + listed, _mm512_maskz_compress_ps(mask, live));
        listed += (size_t)_mm_popcnt_u32(mask);
        places = _mm512_add_epi32(places, step);
    }
    store_wide_lanes(lanes, &sums);
    few->count = listed;
    few->has_negative_zero |= _mm512_test_epi32_mask(signs, signs) != 0xffff;
    return i;
}

// Ranges of up to eight exponents of both signs: what lies within them is most of a dense chunk, and needs only to be counted.
typedef struct {
    __m512i low;
    __m512i high;
} known_t;

CK_WIDE static known_t load_known(uint32_t base, const ck_ranges *ranges) {
    uint32_t low[16], high[16];
    for (uint32_t place = 0; place < 16; place++) {
        uint32_t exponent = base + (place & 7), key = (exponent > 255 ? 255 : exponent) + 256 * (place >> 3);
        low[place] = ranges->lowest[key] & MAGNITUDE;
        high[place] = ranges->highest[key] & MAGNITUDE;
    }
    return (known_t){_mm512_loadu_si512(low), _mm512_loadu_si512(high)};
}

CK_WIDE static inline __attribute__((always_inline)) uint64_t scan_chunk(const float *target, const float *previous,
                                                                         size_t count, uint32_t base,
                                                                         const uint32_t exponents, ck_ranges *ranges,
                                                                         uint32_t *most) {
    known_t known = load_known(base, ranges);
    const __m512i magnitudes = _mm512_set1_epi32((int)MAGNITUDE), lowest = _mm512_set1_epi32((int)(base << 23));
    const __m512i keys = _mm512_set1_epi32((int)((ranges->top - base + 1) << 23)), none = _mm512_set1_epi32(255);
    const __m512i last = _mm512_set1_epi32((int)(((ranges->top + 1) << 23) - 1)), one = _mm512_set1_epi8(1);
    __m512i tallies[16];
    for (uint32_t code = 0; code < 16; code++) tallies[code] = _mm512_setzero_si512();
    for (size_t i = 0; i < count; i += 64) {
        __m512i deltas[4], places[4];
        __mmask16 strange[4], any = 0;
#pragma clang loop unroll(full)
        for (size_t k = 0; k < 4; k++) {
            fetch_ahead(target + i + 16 * k, previous + i + 16 * k);
            __m512 delta = _mm512_sub_ps(_mm512_loadu_ps(target + i + 16 * k), _mm512_loadu_ps(previous + i + 16 * k));
            __m512i bits = _mm512_castps_si512(delta), magnitude = _mm512_and_si512(bits, magnitudes);
            // Below the lowest it wraps around.
            __m512i shifted = _mm512_sub_epi32(magnitude, lowest), place = place_of(bits, shifted);
            __mmask16 inside = _mm512_cmplt_epu32_mask(shifted, keys);
            __mmask16 below = _mm512_mask_cmplt_epu32_mask(inside, magnitude, _mm512_permutexvar_epi32(place, known.low));
            __mmask16 above = _mm512_mask_cmpgt_epu32_mask(inside, magnitude, _mm512_permutexvar_epi32(place, known.high));
            strange[k] = below | above | _mm512_cmpgt_epu32_mask(magnitude, last);
            any |= strange[k];
            deltas[k] = bits;
            places[k] = _mm512_mask_mov_epi32(none, inside, place);
        }
        // Bytes; their order doesn't matter.
        __m512i packed = _mm512_packus_epi16(_mm512_packs_epi32(places[0], places[1]),
                                             _mm512_packs_epi32(places[2], places[3]));
#pragma clang loop unroll(full)
        for (uint32_t code = 0; code < 16; code++) {
            if ((code & 7) >= exponents) continue;
            __mmask64 own = _mm512_cmpeq_epi8_mask(packed, _mm512_set1_epi8((char)code));
            tallies[code] = _mm512_mask_add_epi8(tallies[code], own, tallies[code], one);
        }
        if (any == 0) continue;
        for (size_t k = 0; k < 4; k++) {
            uint32_t bits[16];
            _mm512_storeu_si512(bits, deltas[k]);
            uint32_t exponent = ck_note_strange(bits, strange[k], ranges);
            if (exponent > *most) *most = exponent;
        }
        known = load_known(base, ranges);
    }
    uint64_t all = 0;
    for (uint32_t code = 0; code < 16; code++) {
        if ((code & 7) >= exponents || base + (code & 7) > ranges->top) continue;
        uint64_t sum = (uint64_t)_mm512_reduce_add_epi64(_mm512_sad_epu8(tallies[code], _mm512_setzero_si512()));
        ranges->count[base + (code & 7) + 256 * (code >> 3)] += sum;
        all += sum;
    }
    return all;
}

CK_WIDE uint64_t ck_scan_wide(const float *target, const float *previous, size_t count, uint32_t base,
                              ck_ranges *ranges, uint32_t *most) {
    if (ranges->top - base < 4) return scan_chunk(target, previous, count, base, 4, ranges, most);
    return scan_chunk(target, previous, count, base, 8, ranges, most);
}
#endif
