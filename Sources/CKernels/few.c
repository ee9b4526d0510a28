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
    state = choose(full, state >> 16, state);
    return (state >> spare) << CK_SCALE_BITS | bits << spare | (state & ((1u << spare) - 1));
}

static inline __attribute__((always_inline)) pair_t encode_run(pair_t pair, const run_t *runs, const ck_step *tokens,
                                                               size_t run, sink_t *sink) {
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

// A block that is being encoded, from its end on: what is left of it, and where the symbol encoded last stands.
typedef struct {
    const ck_few *pieces;
    size_t piece;
    size_t left;
    size_t next;
    pair_t pair;
    sink_t sink;
} block_t;

typedef struct {
    const run_t *runs;
    const ck_step *tokens;
    const ck_step *cold;
} tables_t;

// A symbol, and before it the run to the one behind it, which is known only now.
static inline __attribute__((always_inline)) void encode_listed(const tables_t *tables, const ck_few *few, size_t first,
                                                                size_t k, size_t *next, pair_t *pair, sink_t *sink) {
    size_t place = first + few->places[k];
    if (*next != SIZE_MAX) *pair = encode_run(*pair, tables->runs, tables->tokens, *next - place - 1, sink);
    *pair = turned(*pair, encode_step(pair->own, tables->cold + few->deltas[k], sink));
    *next = place;
}

// The piece at hand has symbols, unless the block has none left.
static bool has_more(block_t *block) {
    while (block->left == 0 && block->piece > 0) block->left = block->pieces[--block->piece].count;
    return block->left > 0;
}

static block_t block_begin(const ck_few_block *from, const tables_t *tables) {
    block_t block = {from->pieces, from->count, 0, SIZE_MAX, {LOWEST, LOWEST}, {from->buffer + from->capacity}};
    block.pair = turned(block.pair, encode_step(LOWEST, tables->tokens, &block.sink));
    return block;
}

// What is left of it, and its states; returns where it begins.
static uint8_t *block_end(block_t *block, const tables_t *tables) {
    while (has_more(block)) {
        block->left--;
        encode_listed(tables, &block->pieces[block->piece], block->piece * CK_PIECE, block->left, &block->next, &block->pair,
                      &block->sink);
    }
    if (block->next != SIZE_MAX)
        block->pair = encode_run(block->pair, tables->runs, tables->tokens, block->next, &block->sink);
    // The last that was written is the first to be read.
    put_state(&block->sink, block->pair.own);
    put_state(&block->sink, block->pair.other);
    return block->sink.next;
}

// As many symbols of both as the pieces at hand have: two chains of arithmetic side by side.
static void encode_both(const tables_t *tables, block_t *one, block_t *two) {
    size_t count = one->left < two->left ? one->left : two->left;
    const ck_few *few1 = &one->pieces[one->piece], *few2 = &two->pieces[two->piece];
    size_t first1 = one->piece * CK_PIECE, first2 = two->piece * CK_PIECE, next1 = one->next, next2 = two->next;
    pair_t pair1 = one->pair, pair2 = two->pair;
    sink_t sink1 = one->sink, sink2 = two->sink;
    for (size_t k = 1; k <= count; k++) {
        encode_listed(tables, few1, first1, one->left - k, &next1, &pair1, &sink1);
        encode_listed(tables, few2, first2, two->left - k, &next2, &pair2, &sink2);
    }
    *one = (block_t){one->pieces, one->piece, one->left - count, next1, pair1, sink1};
    *two = (block_t){two->pieces, two->piece, two->left - count, next2, pair2, sink2};
}

void ck_count_listed(const ck_few *pieces, size_t count, const uint16_t *symbol_by_key, uint32_t *tokens,
                     uint64_t *extra_bits) {
    size_t next = 0;
    for (size_t piece = 0; piece < count; piece++) {
        for (size_t k = 0; k < pieces[piece].count; k++) {
            if (symbol_by_key[pieces[piece].deltas[k] >> 23] == 0) continue;
            size_t place = piece * CK_PIECE + pieces[piece].places[k];
            uint32_t extra;
            tokens[run_token(place - next, &extra)]++;
            *extra_bits += extra;
            next = place + 1;
        }
    }
    // A block of zeros alone has no body.
    if (next > 0) tokens[0]++;
}

void ck_encode_few(const ck_model *model, ck_few_block *one, ck_few_block *two) {
    run_t runs[SHORT];
    for (size_t run = 0; run < SHORT; run++) {
        uint32_t extra, token = run_token(run, &extra);
        runs[run] = (run_t){0, (uint8_t)token, (uint8_t)extra};
    }
    const tables_t tables = {runs, model->steps + model->tables * model->alphabet,
                             model->steps + model->map[0] * model->alphabet};
    block_t first = block_begin(one, &tables);
    if (two != NULL) {
        block_t second = block_begin(two, &tables);
        while (has_more(&first) && has_more(&second)) encode_both(&tables, &first, &second);
        two->start = block_end(&second, &tables);
    }
    one->start = block_end(&first, &tables);
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
