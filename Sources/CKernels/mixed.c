// Mixed contexts: each element is asked about bit by bit, and each answer is coded with the probability that the counters of several
// contexts give it together. docs/formats/auto.md lays down every step.
//
// Counters' logits are summed with weights that learn online (Mahoney 2005, "Adaptive weighing of context models"). Writer and
// reader walk through the elements by the same code; all of it is in whole numbers.

#include "mixed.h"

#define MIXED_TARGET

// Moves a counter (22 bits of probability, 10 of how often it was seen) towards what happened.
static inline uint32_t learned(uint32_t counter, uint32_t bit, const uint16_t *reciprocals) {
    uint32_t seen = counter & 1023;
    int32_t probability = (int32_t)(counter >> 10), goal = bit ? 0x3fffff : 0;
    int32_t moved = probability + (int32_t)((int64_t)(goal - probability) * reciprocals[seen] >> 16);
    return (uint32_t)moved << 10 | least(seen + 1, SEEN_MOST);
}

// Codes a bit under the contexts at hand: what it is if it is written, what it was if it is read.
static inline __attribute__((always_inline)) uint32_t ask(const ck_mixer *mixer, interval_t *interval,
                                                          const places_t *places, uint32_t node, uint32_t set,
                                                          uint32_t bit, const bool is_writer, const bool has_previous) {
    const int inputs = has_previous ? 4 : 2;
    int32_t *weights = mixer->weights + 4 * set;
    int32_t logits[4];
    uint32_t seen[4];
    int64_t sum = 0;
#pragma clang loop unroll(full)
    for (int i = 0; i < inputs; i++) {
        seen[i] = places->of[i][node];
        logits[i] = mixer->stretch[seen[i] >> 20];
        sum += (int64_t)weights[i] * logits[i];
    }
    sum >>= 16;
    int32_t logit = sum > 2047 ? 2047 : sum < -2047 ? -2047 : (int32_t)sum;
    uint32_t probability = mixer->squash[logit + 2048];
    bit = code_bit(interval, bit, probability, is_writer);
    int32_t miss = (int32_t)(bit << 16) - (int32_t)probability;
#pragma clang loop unroll(full)
    for (int i = 0; i < inputs; i++) {
        weights[i] = (int32_t)((uint32_t)weights[i] + (uint32_t)((logits[i] * miss + 0x2000) >> 14));
        places->of[i][node] = learned(seen[i], bit, mixer->reciprocals);
    }
    return bit;
}

#include "mixed_walk.h"

void ck_mixer_begin(ck_mixer *mixer, bool has_previous) {
    // One half, never seen.
    for (size_t k = 0; k < CK_MIXED_COUNTERS; k++) mixer->counters[k] = 0x80000000u;
    for (size_t k = 0; k < CK_MIXED_WEIGHTS; k++) mixer->weights[k] = has_previous ? 19660 : 32768;
    mixer->fast = mixer->slow = mixer->last[0] = mixer->last[1] = mixer->last[2] = 0;
    mixer->next = 0;
    mixer->stretches = (ck_stretches){0};
    mixer->low = 0;
    mixer->range = UINT32_MAX;
}

size_t ck_mixed_encode(ck_mixer *mixer, const ck_sparse *block, uint32_t alphabet, uint8_t *bytes, size_t room) {
#ifdef CK_VECTOR
    if (ck_has_vectors()) return ck_mixed_encode_vector(mixer, block, alphabet, bytes, room);
#endif
    return encode(mixer, block, alphabet, bytes, room);
}

size_t ck_mixed_finish(const ck_mixer *mixer, uint8_t *bytes) {
    const interval_t interval = {.low = mixer->low, .range = mixer->range};
    return finish(&interval, bytes);
}

bool ck_mixed_decode(ck_mixer *mixer, const uint8_t *bytes, size_t length, const uint8_t *previous, uint32_t alphabet,
                     uint16_t *symbols, size_t count) {
#ifdef CK_VECTOR
    if (ck_has_vectors()) return ck_mixed_decode_vector(mixer, bytes, length, previous, alphabet, symbols, count);
#endif
    return decode(mixer, bytes, length, previous, alphabet, symbols, count);
}
