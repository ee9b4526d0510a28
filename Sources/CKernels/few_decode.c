// Reads sparse blocks without contexts as lists of what isn't zero.
//
// Whether a run comes with bits, and whether a state needs a word, can't be foreseen, so neither is branched on; the states are
// numbers of their own, which stay in registers.

#include "runs.h"

typedef struct {
    uint32_t base;
    uint8_t bits;
} run_t;

static run_t run_of_token(uint32_t token) {
    if (token <= PLAIN_RUNS) return (run_t){token > 0 ? token - 1 : 0, 0};
    uint32_t exponent = (token - 1 - PLAIN_RUNS) / 2 + 4;
    return (run_t){(2 | ((token - 1 - PLAIN_RUNS) & 1)) << (exponent - 1), (uint8_t)(exponent - 1)};
}

// How far a block is read: the states, the one first whose turn it is, and what was found.
typedef struct {
    uint32_t own;
    uint32_t other;
    const uint8_t *next;
    size_t place;
    size_t found;
    bool ended;
} progress_t;

// Reads all but the last few bytes; returns false if it can't be right.
static inline __attribute__((always_inline)) bool decode_most(const ck_model *model, const uint8_t *end, size_t count,
                                                              uint32_t *places, uint32_t *symbols,
                                                              progress_t *progress) {
    const uint16_t *const run_slots = model->slots + (size_t)model->tables * CK_SCALE;
    const uint32_t *const run_info = model->info + (size_t)model->tables * model->alphabet;
    const uint16_t *const slots = model->slots + (size_t)model->map[0] * CK_SCALE;
    const uint32_t *const info = model->info + (size_t)model->map[0] * model->alphabet;
    run_t runs[CK_RUN_TOKENS];
    for (uint32_t token = 0; token < CK_RUN_TOKENS; token++) runs[token] = run_of_token(token);
    uint32_t own = progress->own, other = progress->other;
    const uint8_t *next = progress->next;
    size_t place = 0, found = 0;
    bool ended = false;
    // A run and a symbol take four words at most.
    while (end - next >= 8) {
        uint32_t token = take_symbol(&own, run_slots, run_info);
        turn(&own, &other, filled(own, &next));
        if (token == 0) {
            ended = true;
            break;
        }
        run_t run = runs[token];
        const uint32_t low = run.bits < 12 ? run.bits : 12, before = own;
        uint32_t state = own;
        size_t length = run.base + (size_t)take_bits(&state, low);
        state = filled(state, &next);
        own = choose(low > 0, other, before);
        other = choose(low > 0, state, other);
        if (run.bits > 12) {
            length += (size_t)take_bits(&own, run.bits - 12u) << 12;
            turn(&own, &other, filled(own, &next));
        }
        if (length >= count - place) return false;
        place += length;
        uint32_t symbol = take_symbol(&own, slots, info);
        turn(&own, &other, filled(own, &next));
        if (symbol == 0) return false;
        places[found] = (uint32_t)place++;
        symbols[found++] = symbol;
    }
    *progress = (progress_t){own, other, next, place, found, ended};
    return true;
}

ptrdiff_t ck_decode_few(const ck_model *model, const uint8_t *bytes, size_t size, size_t count, uint32_t *places,
                        uint32_t *symbols) {
    if (size % 2 != 0) return -1;
    reader_t reader = {{0, 0}, 0, {bytes, bytes + size}, false};
    if (!read_state(&reader.states[0], &reader.source) || !read_state(&reader.states[1], &reader.source))
        return -1;
    progress_t progress = {reader.states[0], reader.states[1], reader.source.next, 0, 0, false};
    if (!decode_most(model, bytes + size, count, places, symbols, &progress)) return -1;
    reader = (reader_t){{progress.own, progress.other}, 0, {progress.next, bytes + size}, false};
    const uint16_t *const run_slots = model->slots + (size_t)model->tables * CK_SCALE;
    const uint32_t *const run_info = model->info + (size_t)model->tables * model->alphabet;
    const size_t cold = model->map[0];
    size_t place = progress.place, found = progress.found;
    while (!progress.ended) {
        size_t run = next_run(&reader, run_slots, run_info);
        if (run == FOREVER) break;
        if (reader.failed || run >= count - place) return -1;
        place += run;
        uint32_t symbol = next_symbol(&reader, model->slots + cold * CK_SCALE, model->info + cold * model->alphabet);
        if (symbol == 0 || reader.failed) return -1;
        places[found] = (uint32_t)place++;
        symbols[found++] = symbol;
    }
    bool isWhole = !reader.failed && reader.states[0] == LOWEST && reader.states[1] == LOWEST
        && reader.source.next == reader.source.end;
    return isWhole ? (ptrdiff_t)found : -1;
}
