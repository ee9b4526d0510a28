// What dense and sparse blocks share: states, steps, contexts.
//
// Range asymmetric numeral systems (Duda 2013, arXiv 1311.2540) with static frequencies that sum to 2^12. States lie
// in [2^15, 2^31) and shed 16 bits at a time.
#ifndef CK_CODER_H
#define CK_CODER_H

#include "CKernels.h"
#include <string.h>

#define LOWEST (1u << 15)

// A block of fewer symbols has one lane.
#define FEW 4096

static inline size_t lanes_of(size_t count) { return count < FEW ? 1 : 4; }

// Writes 16-bit words downwards.
typedef struct {
    uint8_t *next;
} sink_t;

static inline void put_word(sink_t *sink, uint32_t word) {
    sink->next -= 2;
    sink->next[0] = (uint8_t)word;
    sink->next[1] = (uint8_t)(word >> 8);
}

static inline void put_state(sink_t *sink, uint32_t state) {
    put_word(sink, state >> 16);
    put_word(sink, state & 0xffff);
}

// Without a branch, and so that both values are at hand when it is known which is wanted.
static inline uint32_t choose(bool first, uint32_t one, uint32_t other) {
#if defined(__has_builtin) && __has_builtin(__builtin_unpredictable)
    return __builtin_unpredictable(first) ? one : other;
#else
    return first ? one : other;
#endif
}

// A word of a state that is full. It is written in any case and kept if need be: whether it is can't be foreseen.
static inline __attribute__((always_inline)) uint32_t shed_word(uint32_t state, bool full, sink_t *sink) {
    sink->next[-2] = (uint8_t)state;
    sink->next[-1] = (uint8_t)(state >> 8);
    sink->next -= full ? 2 : 0;
    return choose(full, state >> 16, state);
}

static inline uint32_t encode_step(uint32_t state, const ck_step *step, sink_t *sink) {
    state = shed_word(state, state >= step->limit, sink);
    uint32_t quotient = (uint32_t)(((uint64_t)state * step->reciprocal) >> step->shift);
    return state + step->bias + quotient * step->complement;
}

typedef struct {
    const uint8_t *next;
    const uint8_t *end;
} source_t;

static inline uint32_t word_at(const uint8_t *bytes) { return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8; }

// A state with another word if it needs one, without looking at how much is left.
static inline uint32_t filled(uint32_t state, const uint8_t **next) {
    bool low = state < LOWEST;
    uint32_t more = state << 16 | word_at(*next);
    *next += low ? 2 : 0;
    return low ? more : state;
}

// False when the source is at its end.
static inline bool refill(uint32_t *state, source_t *source) {
    if (source->end - source->next >= 2) {
        // Whether a word is needed can't be foreseen, so it is read in any case.
        bool low = *state < LOWEST;
        uint32_t filled = *state << 16 | word_at(source->next);
        *state = low ? filled : *state;
        source->next += low ? 2 : 0;
        return true;
    }
    if (*state >= LOWEST) return true;
    if (source->next == source->end) return false;
    *state = *state << 16 | word_at(source->next);
    source->next += 2;
    return true;
}

static inline bool read_state(uint32_t *state, source_t *source) {
    if (source->end - source->next < 4) return false;
    *state = word_at(source->next) | word_at(source->next + 2) << 16;
    source->next += 4;
    return *state >= LOWEST && *state < 1u << 31;
}

static inline uint32_t take_symbol(uint32_t *state, const uint16_t *slots, const uint32_t *info) {
    uint32_t slot = *state & (CK_SCALE - 1);
    uint32_t symbol = slots[slot];
    uint32_t entry = info[symbol];
    *state = (entry & 0xffff) * (*state >> CK_SCALE_BITS) + slot - (entry >> 16);
    return symbol;
}

// The context of a symbol, of the symbols before it and of what the previous symbols add.
static inline __attribute__((always_inline)) uint32_t context_of(const ck_model *model, uint32_t left,
                                                                 uint32_t second, const uint16_t *base, size_t i) {
    uint32_t context = model->left[left];
    if (base != NULL) context += base[i];
    if (model->wide) context += second != 0;
    return context;
}

// What the previous symbols add to an element's context.
static inline uint32_t above_at(const ck_model *model, const uint8_t *above, size_t i, size_t count) {
    if (above == NULL || !(model->uses_above || model->wide)) return 0;
    uint32_t context = model->above[above[i]];
    if (model->wide) context += (i > 0 && above[i - 1] != 0) + (i + 1 < count && above[i + 1] != 0);
    return context;
}

// The same for each element.
const uint16_t *ck_above_contexts(const ck_model *model, const uint8_t *above, size_t count, uint16_t *scratch);

#endif
