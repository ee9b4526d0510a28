// Contexts, frequencies and dense blocks: every symbol in its context, by up to four states that take turns.
//
// A block of 4096 symbols or more is cut into four lanes of as many symbols, each with a state and a left neighbour
// of its own, so that four chains of dependent arithmetic run side by side.

#include "coder.h"

void ck_make_steps(const uint16_t *frequencies, size_t count, ck_step *steps) {
    uint32_t start = 0;
    for (size_t symbol = 0; symbol < count; symbol++) {
        uint32_t frequency = frequencies[symbol];
        ck_step step = {0, 0, 0, 0, 0};
        if (frequency == 1) {
            // x * (2^32 - 1) >> 32 is x - 1, so the bias makes up for one complement.
            step = (ck_step){(LOWEST >> CK_SCALE_BITS) << 16, UINT32_MAX, 32, CK_SCALE - 1, start + CK_SCALE - 1};
        } else if (frequency > 1) {
            // With 2^(s-1) < f <= 2^s, x / f is x * ceil(2^(s+31) / f) >> (s + 31) for x < 2^31.
            uint32_t bits = 32 - (uint32_t)__builtin_clz(frequency - 1);
            uint64_t reciprocal = (((uint64_t)1 << (bits + 31)) + frequency - 1) / frequency;
            step = (ck_step){((LOWEST >> CK_SCALE_BITS) << 16) * frequency, (uint32_t)reciprocal,
                             (uint16_t)(bits + 31), (uint16_t)(CK_SCALE - frequency), start};
        }
        steps[symbol] = step;
        start += frequency;
    }
}

const uint16_t *ck_above_contexts(const ck_model *model, const uint8_t *above, size_t count, uint16_t *scratch) {
    if (above == NULL || !(model->uses_above || model->wide)) return NULL;
    for (size_t i = 0; i < count; i++) scratch[i] = (uint16_t)above_at(model, above, i, count);
    return scratch;
}

void ck_count_contexts(const ck_model *model, const uint16_t *symbols, const uint8_t *above, size_t count,
                       uint16_t *scratch, uint32_t *counts) {
    const uint16_t *base = ck_above_contexts(model, above, count, scratch);
    uint32_t left = 0, second = 0;
    for (size_t i = 0; i < count; i++) {
        counts[context_of(model, left, second, base, i) * model->alphabet + symbols[i]]++;
        second = left;
        left = symbols[i];
    }
}

// Stores of bytes may change anything as far as the compiler knows, so what a loop needs is copied out of the model first,
// and the loops exist for each shape of context. Symbols from `start` to `end` of each lane, backwards.
static inline __attribute__((always_inline)) sink_t encode_lanes(const ck_model *model, const uint16_t *symbols,
                                                                 const uint16_t *base, const bool wide,
                                                                 const bool is_single, const size_t lanes, size_t length,
                                                                 size_t count, size_t start, size_t end,
                                                                 const bool is_inside, uint32_t *states, sink_t sink) {
    const uint16_t *const left = model->left;
    const uint8_t *const map = model->map;
    const ck_step *const steps = model->steps;
    const size_t alphabet = model->alphabet;
    uint32_t own[4];
    memcpy(own, states, sizeof own);
    for (size_t j = end; j-- > start;) {
#pragma clang loop unroll(full)
        for (size_t lane = 4; lane-- > 0;) {
            size_t i = lane * length + j;
            if (lane >= lanes || (!is_inside && i >= count)) continue;
            const ck_step *step = steps + symbols[i];
            if (!is_single) {
                uint32_t context = left[is_inside || j > 0 ? symbols[i - 1] : 0];
                if (base != NULL) context += base[i];
                if (wide) context += (is_inside || j > 1) && symbols[i - 2] != 0;
                step += map[context] * alphabet;
            }
            own[lane] = encode_step(own[lane], step, &sink);
        }
    }
    memcpy(states, own, sizeof own);
    return sink;
}

static inline __attribute__((always_inline)) uint8_t *encode_dense(const ck_model *model, const uint16_t *symbols,
                                                                   const uint16_t *base, const bool wide,
                                                                   const bool is_single, size_t count, uint8_t *end) {
    const size_t lanes = lanes_of(count), length = (count + lanes - 1) / lanes;
    sink_t sink = {end};
    uint32_t states[4] = {LOWEST, LOWEST, LOWEST, LOWEST};
    if (lanes == 1) {
        sink = encode_lanes(model, symbols, base, wide, is_single, 1, length, count, 0, length, false, states, sink);
    } else {
        // In between all lanes have a symbol, and two before it.
        const size_t whole = count - 3 * length;
        sink = encode_lanes(model, symbols, base, wide, is_single, 4, length, count, whole, length, false, states, sink);
        sink = encode_lanes(model, symbols, base, wide, is_single, 4, length, count, 2, whole, true, states, sink);
        sink = encode_lanes(model, symbols, base, wide, is_single, 4, length, count, 0, 2, false, states, sink);
    }
    for (size_t lane = lanes; lane-- > 0;) put_state(&sink, states[lane]);
    return sink.next;
}

uint8_t *ck_encode_dense(const ck_model *model, const uint16_t *symbols, const uint8_t *above, size_t count,
                         uint16_t *scratch, uint8_t *buffer, size_t capacity) {
    uint8_t *end = buffer + capacity;
    if (model->tables == 1) return encode_dense(model, symbols, NULL, false, true, count, end);
    const uint16_t *base = ck_above_contexts(model, above, count, scratch);
    if (base == NULL && !model->wide) return encode_dense(model, symbols, NULL, false, false, count, end);
    if (base == NULL) return encode_dense(model, symbols, NULL, true, false, count, end);
    return encode_dense(model, symbols, base, model->wide, false, count, end);
}

static inline __attribute__((always_inline)) bool decode_dense(const ck_model *model, const uint8_t *bytes,
                                                               size_t size, const uint16_t *base, bool wide,
                                                               size_t count, uint16_t *symbols) {
    const uint16_t *const left = model->left, *const slots = model->slots;
    const uint8_t *const map = model->map;
    const uint32_t *const info = model->info;
    const size_t alphabet = model->alphabet, lanes = lanes_of(count), length = (count + lanes - 1) / lanes;
    source_t source = {bytes, bytes + size};
    uint32_t states[4] = {0}, first[4] = {0}, second[4] = {0};
    for (size_t lane = 0; lane < lanes; lane++)
        if (!read_state(&states[lane], &source)) return false;
    size_t j = 0;
    if (lanes == 4) {
        // As long as every lane has a symbol to come and four words are left, nothing can run out.
        for (size_t last = count - 3 * length; j < last && source.end - source.next >= 8; j++) {
#pragma clang loop unroll(full)
            for (size_t lane = 0; lane < 4; lane++) {
                size_t i = lane * length + j;
                uint32_t context = left[first[lane]];
                if (base != NULL) context += base[i];
                if (wide) context += second[lane] != 0;
                size_t table = map[context];
                uint32_t symbol = take_symbol(&states[lane], slots + table * CK_SCALE, info + table * alphabet);
                bool low = states[lane] < LOWEST;
                uint32_t filled = states[lane] << 16 | word_at(source.next);
                states[lane] = low ? filled : states[lane];
                source.next += low ? 2 : 0;
                symbols[i] = (uint16_t)symbol;
                if (wide) second[lane] = first[lane];
                first[lane] = symbol;
            }
        }
    }
    for (; j < length; j++) {
        for (size_t lane = 0; lane < lanes; lane++) {
            size_t i = lane * length + j;
            if (i >= count) continue;
            uint32_t context = left[first[lane]];
            if (base != NULL) context += base[i];
            if (wide) context += second[lane] != 0;
            size_t table = map[context];
            uint32_t symbol = take_symbol(&states[lane], slots + table * CK_SCALE, info + table * alphabet);
            if (!refill(&states[lane], &source)) return false;
            symbols[i] = (uint16_t)symbol;
            second[lane] = first[lane];
            first[lane] = symbol;
        }
    }
    for (size_t lane = 0; lane < lanes; lane++)
        if (states[lane] != LOWEST) return false;
    return source.next == source.end;
}

bool ck_decode_dense(const ck_model *model, const uint8_t *bytes, size_t size, const uint8_t *above, size_t count,
                     uint16_t *scratch, uint16_t *symbols) {
    if (size % 2 != 0) return false;
    const uint16_t *base = ck_above_contexts(model, above, count, scratch);
    if (base == NULL && !model->wide) return decode_dense(model, bytes, size, NULL, false, count, symbols);
    if (base == NULL) return decode_dense(model, bytes, size, NULL, true, count, symbols);
    return decode_dense(model, bytes, size, base, model->wide, count, symbols);
}
