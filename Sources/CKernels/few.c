// Sparse blocks without contexts, from and to lists of what isn't zero: the zeros themselves are never looked at.
//
// Whether a run comes with bits, and whether a state is full, can't be foreseen, so neither is branched on: taking or giving
// no bits leaves a state as it is. The states stay in registers: their turn is told by which of the two is at hand.

#include "runs.h"

// Runs below this are tabulated.
#define SHORT 1024

typedef struct {
    uint32_t base;
    uint8_t token;
    uint8_t bits;
} run_t;

// Tokens of runs of at most 12 bits, by token, and of short runs by length.
static const uint32_t bases[] = {0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static inline run_t run_of_token(uint32_t token) {
    if (token <= PLAIN_RUNS) return (run_t){bases[token], (uint8_t)token, 0};
    uint32_t exponent = (token - 1 - PLAIN_RUNS) / 2 + 4;
    return (run_t){(2 | ((token - 1 - PLAIN_RUNS) & 1)) << (exponent - 1), (uint8_t)token, (uint8_t)(exponent - 1)};
}

// The state whose turn it is, and the other one.
typedef struct {
    uint32_t own;
    uint32_t other;
} pair_t;

static inline pair_t turned(pair_t pair, uint32_t state) { return (pair_t){pair.other, state}; }

// Likewise, if bits were taken or given.
static inline pair_t turned_if(pair_t pair, uint32_t state, bool turns) {
    return (pair_t){turns ? pair.other : pair.own, turns ? state : pair.other};
}

static inline uint32_t encode_few_bits(uint32_t state, uint32_t count, uint32_t bits, sink_t *sink) {
    uint32_t spare = CK_SCALE_BITS - count;
    bool full = (uint64_t)state >= (uint64_t)((LOWEST >> CK_SCALE_BITS) << 16) << spare;
    sink->next[-2] = (uint8_t)state;
    sink->next[-1] = (uint8_t)(state >> 8);
    sink->next -= full ? 2 : 0;
    state >>= full ? 16 : 0;
    return (state >> spare) << CK_SCALE_BITS | bits << spare | (state & ((1u << spare) - 1));
}

static inline pair_t encode_run(pair_t pair, const run_t *runs, const ck_step *tokens, size_t run, sink_t *sink) {
    uint32_t token, low, bits = (uint32_t)run;
    if (run < SHORT) {
        token = runs[run].token;
        low = runs[run].bits;
    } else {
        uint32_t extra;
        token = run_token(run, &extra);
        low = extra > 12 ? 12 : extra;
        if (extra > 12) {
            uint32_t high = (uint32_t)(run >> 12) & ((1u << (extra - 12)) - 1);
            pair = turned(pair, encode_few_bits(pair.own, extra - 12, high, sink));
        }
    }
    uint32_t state = encode_few_bits(pair.own, low, bits & ((1u << low) - 1), sink);
    pair = turned_if(pair, state, low > 0);
    return turned(pair, encode_step(pair.own, tokens + token, sink));
}

uint8_t *ck_encode_few(const ck_model *model, const ck_few *pieces, size_t count, uint8_t *buffer, size_t capacity) {
    const ck_step *const tokens = model->steps + model->tables * model->alphabet;
    const ck_step *const cold = model->steps + model->map[0] * model->alphabet;
    run_t runs[SHORT];
    for (size_t run = 0; run < SHORT; run++) {
        uint32_t extra, token = run_token(run, &extra);
        runs[run] = (run_t){0, (uint8_t)token, (uint8_t)extra};
    }
    sink_t sink = {buffer + capacity};
    pair_t pair = turned((pair_t){LOWEST, LOWEST}, encode_step(LOWEST, tokens, &sink));
    size_t next = SIZE_MAX;
    for (size_t piece = count; piece-- > 0;) {
        const ck_few *few = &pieces[piece];
        for (size_t k = few->count; k-- > 0;) {
            size_t place = piece * CK_PIECE + few->places[k];
            // A run is known when the symbol before it is.
            if (next != SIZE_MAX) pair = encode_run(pair, runs, tokens, next - place - 1, &sink);
            pair = turned(pair, encode_step(pair.own, cold + few->deltas[k], &sink));
            next = place;
        }
    }
    if (next != SIZE_MAX) pair = encode_run(pair, runs, tokens, next, &sink);
    // The last that was written is the first to be read.
    put_state(&sink, pair.own);
    put_state(&sink, pair.other);
    return sink.next;
}

// Without looking at how much is left.
static inline uint32_t filled(uint32_t state, const uint8_t **next) {
    bool low = state < LOWEST;
    uint32_t more = state << 16 | word_at(*next);
    *next += low ? 2 : 0;
    return low ? more : state;
}

static inline uint32_t take_bits(uint32_t *state, uint32_t count) {
    uint32_t spare = CK_SCALE_BITS - count;
    uint32_t slot = *state & (CK_SCALE - 1);
    *state = (*state >> CK_SCALE_BITS) << spare | (slot & ((1u << spare) - 1));
    return slot >> spare;
}

// Reads all but the last few bytes; returns false if it can't be right.
typedef struct {
    pair_t pair;
    const uint8_t *next;
    size_t place;
    size_t found;
    bool ended;
} progress_t;

static inline __attribute__((always_inline)) bool decode_most(const ck_model *model, const uint8_t *end, size_t count,
                                                              uint32_t *places, uint32_t *symbols,
                                                              progress_t *progress) {
    const uint16_t *const run_slots = model->slots + (size_t)model->tables * CK_SCALE;
    const uint32_t *const run_info = model->info + (size_t)model->tables * model->alphabet;
    const uint16_t *const slots = model->slots + (size_t)model->map[0] * CK_SCALE;
    const uint32_t *const info = model->info + (size_t)model->map[0] * model->alphabet;
    run_t runs[CK_RUN_TOKENS];
    for (uint32_t token = 0; token < CK_RUN_TOKENS; token++) runs[token] = run_of_token(token);
    pair_t pair = progress->pair;
    const uint8_t *next = progress->next;
    size_t place = 0, found = 0;
    bool ended = false;
    // A run and a symbol take four words at most.
    while (end - next >= 8) {
        uint32_t token = take_symbol(&pair.own, run_slots, run_info);
        pair = turned(pair, filled(pair.own, &next));
        if (token == 0) {
            ended = true;
            break;
        }
        run_t run = runs[token];
        uint32_t low = run.bits < 12 ? run.bits : 12, state = pair.own;
        size_t length = run.base + (size_t)take_bits(&state, low);
        pair = turned_if(pair, filled(state, &next), low > 0);
        if (run.bits > 12) {
            state = pair.own;
            length += (size_t)take_bits(&state, run.bits - 12u) << 12;
            pair = turned(pair, filled(state, &next));
        }
        if (length >= count - place) return false;
        place += length;
        uint32_t symbol = take_symbol(&pair.own, slots, info);
        pair = turned(pair, filled(pair.own, &next));
        if (symbol == 0) return false;
        places[found] = (uint32_t)place++;
        symbols[found++] = symbol;
    }
    *progress = (progress_t){pair, next, place, found, ended};
    return true;
}

ptrdiff_t ck_decode_few(const ck_model *model, const uint8_t *bytes, size_t size, size_t count, uint32_t *places,
                        uint32_t *symbols) {
    if (size % 2 != 0) return -1;
    reader_t reader = {{0, 0}, 0, {bytes, bytes + size}, false};
    if (!read_state(&reader.states[0], &reader.source) || !read_state(&reader.states[1], &reader.source))
        return -1;
    progress_t progress = {{reader.states[0], reader.states[1]}, reader.source.next, 0, 0, false};
    if (!decode_most(model, bytes + size, count, places, symbols, &progress)) return -1;
    reader = (reader_t){{progress.pair.own, progress.pair.other}, 0, {progress.next, bytes + size}, false};
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
