// The loops over deltas by vectors of 512 bits: what they do is also there in plain C.

#include "delta.h"

#ifdef CK_VECTOR
CK_WIDE size_t ck_quantize_wide(const float *target, float *reconstruction, size_t count, const ck_buckets *buckets,
                                uint16_t *symbols, lanes_t *lanes) {
    float values[16];
    int32_t codes[16];
    fill_tables(buckets, values, codes);
    const __m512 value_table = _mm512_loadu_ps(values);
    const __m512i code_table = _mm512_loadu_si512(codes);
    const __m512i magnitudes = _mm512_set1_epi32((int)MAGNITUDE);
    const __m512i lowest = _mm512_set1_epi32((int)(buckets->lowest << 23));
    const __m512i kept = _mm512_set1_epi32((int)((buckets->highest + 1 - buckets->lowest) << 23));
    wide_lanes_t sums = load_wide_lanes(lanes);
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        fetch_ahead(target + i, reconstruction + i);
        __m512 live = _mm512_loadu_ps(target + i), old = _mm512_loadu_ps(reconstruction + i);
        __m512i bits = _mm512_castps_si512(_mm512_sub_ps(live, old));
        // Below the lowest it wraps around.
        __m512i shifted = _mm512_sub_epi32(_mm512_and_si512(bits, magnitudes), lowest);
        __mmask16 is_kept = _mm512_cmplt_epu32_mask(shifted, kept);
        __m512i place = place_of(bits, shifted);
        __m512 restored = _mm512_add_ps(old, _mm512_maskz_permutexvar_ps(is_kept, place, value_table));
        __m512i code = _mm512_maskz_permutexvar_epi32(is_kept, place, code_table);
        _mm512_storeu_ps(reconstruction + i, restored);
        _mm256_storeu_si256((__m256i *)(symbols + i), _mm512_cvtepi32_epi16(code));
        add_wide_squares(&sums, _mm512_sub_ps(live, restored), live);
    }
    store_wide_lanes(lanes, &sums);
    return i;
}

CK_WIDE size_t ck_deltas_wide(const float *target, const float *previous, size_t count, float *deltas, lanes_t *lanes) {
    wide_lanes_t sums = load_wide_lanes(lanes);
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        fetch_ahead(target + i, previous + i);
        __m512 live = _mm512_loadu_ps(target + i), delta = _mm512_sub_ps(live, _mm512_loadu_ps(previous + i));
        if (deltas != NULL) _mm512_storeu_ps(deltas + i, delta);
        add_wide_squares(&sums, delta, live);
    }
    store_wide_lanes(lanes, &sums);
    return i;
}
#endif
