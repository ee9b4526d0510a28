// Mixed contexts by vectors: what four counters and their weights do is done at once. The rest of the walk is that of mixed.c.

#include "mixed.h"

#ifdef CK_VECTOR
#define MIXED_TARGET CK_VECTOR

CK_VECTOR static inline __attribute__((always_inline)) uint32_t ask(const ck_mixer *mixer, interval_t *interval,
                                                                    const places_t *places, uint32_t node, uint32_t set,
                                                                    uint32_t bit, const bool is_writer,
                                                                    const bool has_previous) {
    int32_t *const weights = mixer->weights + 4 * set;
    uint32_t *const one = places->of[0] + node, *const two = places->of[1] + node;
    uint32_t *const three = places->of[2] + node, *const four = places->of[3] + node;
    const uint32_t seen1 = *one, seen2 = *two, seen3 = has_previous ? *three : 0, seen4 = has_previous ? *four : 0;
    const int32_t logit1 = mixer->stretch[seen1 >> 20], logit2 = mixer->stretch[seen2 >> 20];
    const int32_t logit3 = has_previous ? mixer->stretch[seen3 >> 20] : 0;
    const int32_t logit4 = has_previous ? mixer->stretch[seen4 >> 20] : 0;
    int64_t sum = (int64_t)weights[0] * logit1 + (int64_t)weights[1] * logit2;
    if (has_previous) sum += (int64_t)weights[2] * logit3 + (int64_t)weights[3] * logit4;
    sum >>= 16;
    sum = sum > 2047 ? 2047 : sum;
    sum = sum < -2047 ? -2047 : sum;
    const uint32_t probability = mixer->squash[sum + 2048];
    bit = code_bit(interval, bit, probability, is_writer);
    const int32_t miss = (int32_t)(bit << 16) - (int32_t)probability;

    const __m128i logits = _mm_setr_epi32(logit1, logit2, logit3, logit4);
    __m128i move = _mm_add_epi32(_mm_mullo_epi32(logits, _mm_set1_epi32(miss)), _mm_set1_epi32(0x2000));
    __m128i weight = _mm_loadu_si128((const __m128i *)weights);
    _mm_storeu_si128((__m128i *)weights, _mm_add_epi32(weight, _mm_srai_epi32(move, 14)));

    const __m128i counters = _mm_setr_epi32((int)seen1, (int)seen2, (int)seen3, (int)seen4);
    const __m128i times = _mm_and_si128(counters, _mm_set1_epi32(1023)), probabilities = _mm_srli_epi32(counters, 10);
    // 131072 / (2 * times + 3), of which the fraction is never so near to 1 that a float would round it up.
    const __m128 divisor = _mm_cvtepi32_ps(_mm_add_epi32(_mm_add_epi32(times, times), _mm_set1_epi32(3)));
    const __m128i reciprocal = _mm_cvttps_epi32(_mm_div_ps(_mm_set1_ps(131072), divisor));
    const __m128i far = _mm_sub_epi32(_mm_set1_epi32(bit ? 0x3fffff : 0), probabilities);
    const __m128i even = _mm_srli_epi64(_mm_mul_epi32(far, reciprocal), 16);
    const __m128i odd = _mm_slli_epi64(_mm_mul_epi32(_mm_srli_epi64(far, 32), _mm_srli_epi64(reciprocal, 32)), 16);
    const __m128i moved = _mm_add_epi32(probabilities, _mm_blend_epi16(even, odd, 0xcc));
    const __m128i more = _mm_min_epu32(_mm_add_epi32(times, _mm_set1_epi32(1)), _mm_set1_epi32(SEEN_MOST));
    const __m128i learned = _mm_or_si128(_mm_slli_epi32(moved, 10), more);
    *one = (uint32_t)_mm_cvtsi128_si32(learned);
    *two = (uint32_t)_mm_extract_epi32(learned, 1);
    if (has_previous) {
        *three = (uint32_t)_mm_extract_epi32(learned, 2);
        *four = (uint32_t)_mm_extract_epi32(learned, 3);
    }
    return bit;
}

#include "mixed_walk.h"

CK_VECTOR size_t ck_mixed_encode_vector(ck_mixer *mixer, const ck_sparse *block, uint32_t alphabet, uint8_t *bytes, size_t room) {
    return encode(mixer, block, alphabet, bytes, room);
}

CK_VECTOR bool ck_mixed_decode_vector(ck_mixer *mixer, const uint8_t *bytes, size_t length, const uint8_t *previous,
                                      uint32_t alphabet, uint16_t *symbols, size_t count) {
    return decode(mixer, bytes, length, previous, alphabet, symbols, count);
}
#endif
