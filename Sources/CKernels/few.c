// Sparse blocks without contexts from lists of what isn't zero: the zeros themselves are never looked at.
//
// Whether a run comes with bits, and whether a state is full, can't be foreseen, so neither is branched on: giving no bits leaves a
// state as it is. What to encode is found for some symbols at a time, so that the chains of arithmetic that follow have nothing to
// wait for but each other; the states are numbers of their own, which stay in registers.

#include "runs.h"

// Symbols that are made ready at a time.
#define BATCH 256

typedef struct {
    event_t runs[SHORT_RUNS];
    const ck_step *tokens;
    const ck_step *cold;
} tables_t;

// A block that is being encoded, from its end on: what is left of it, and where the symbol made ready last stands.
typedef struct {
    const ck_few *pieces;
    size_t piece;
    size_t left;
    size_t next;
    // What is ready, and how much of it is encoded.
    size_t ready;
    size_t done;
    event_t events[BATCH];
    // The state whose turn it is, and the other one.
    uint32_t own;
    uint32_t other;
    sink_t sink;
} block_t;

// The piece at hand has symbols, unless the block has none left.
static bool has_more(block_t *block) {
    while (block->left == 0 && block->piece > 0) block->left = block->pieces[--block->piece].count;
    return block->left > 0;
}

// False if there is nothing left to encode.
static bool make_ready(block_t *block, const tables_t *tables) {
    if (block->done < block->ready) return true;
    block->ready = block->done = 0;
    while (block->ready < BATCH && has_more(block)) {
        size_t count = BATCH - block->ready < block->left ? BATCH - block->ready : block->left;
        const ck_few *few = &block->pieces[block->piece];
        const uint32_t *places = few->places + block->left, *symbols = few->deltas + block->left;
        event_t *events = block->events + block->ready;
        size_t next = block->next;
        const size_t first = block->piece * CK_PIECE;
        for (size_t k = 0; k < count; k++) {
            size_t place = first + places[-(ptrdiff_t)k - 1], run = next - place - 1;
            event_t event = tabulated_run(run, tables->runs);
            event.symbol = (uint16_t)symbols[-(ptrdiff_t)k - 1];
            events[k] = event;
            next = place;
        }
        block->next = next;
        block->left -= count;
        block->ready += count;
    }
    return block->ready > 0;
}

// As many events of both as are ready: chains of arithmetic side by side.
static void encode_both(const tables_t *tables, block_t *one, block_t *two) {
    const size_t left1 = one->ready - one->done, left2 = two->ready - two->done, count = left1 < left2 ? left1 : left2;
    const event_t *events1 = one->events + one->done, *events2 = two->events + two->done;
    const ck_step *const tokens = tables->tokens, *const cold = tables->cold;
    uint32_t own1 = one->own, other1 = one->other, own2 = two->own, other2 = two->other;
    sink_t sink1 = one->sink, sink2 = two->sink;
    for (size_t k = 0; k < count; k++) {
        encode_run(events1[k], tokens, &own1, &other1, &sink1);
        encode_run(events2[k], tokens, &own2, &other2, &sink2);
        turn(&own1, &other1, encode_step(own1, cold + events1[k].symbol, &sink1));
        turn(&own2, &other2, encode_step(own2, cold + events2[k].symbol, &sink2));
    }
    one->done += count, one->own = own1, one->other = other1, one->sink = sink1;
    two->done += count, two->own = own2, two->other = other2, two->sink = sink2;
}

static void encode_one(const tables_t *tables, block_t *block) {
    uint32_t own = block->own, other = block->other;
    sink_t sink = block->sink;
    for (size_t k = block->done; k < block->ready; k++) {
        encode_run(block->events[k], tables->tokens, &own, &other, &sink);
        turn(&own, &other, encode_step(own, tables->cold + block->events[k].symbol, &sink));
    }
    block->done = block->ready, block->own = own, block->other = other, block->sink = sink;
}

// Up to its last symbol, behind which nothing but zeros is to come.
static void begin(block_t *block, const ck_few_block *from, const tables_t *tables) {
    block->pieces = from->pieces;
    block->piece = from->count;
    block->left = block->ready = block->done = 0;
    block->sink = (sink_t){from->buffer + from->capacity};
    block->own = LOWEST;
    block->other = encode_step(LOWEST, tables->tokens, &block->sink);
    block->next = SIZE_MAX;
    if (!has_more(block)) return;
    const ck_few *few = &block->pieces[block->piece];
    size_t last = --block->left;
    block->next = block->piece * CK_PIECE + few->places[last];
    turn(&block->own, &block->other, encode_step(block->own, tables->cold + few->deltas[last], &block->sink));
}

// What is left of it, the run before its first symbol, and its states; returns where it begins.
static uint8_t *end(block_t *block, const tables_t *tables) {
    while (make_ready(block, tables)) encode_one(tables, block);
    if (block->next != SIZE_MAX)
        encode_run(event_of_run(block->next), tables->tokens, &block->own, &block->other, &block->sink);
    // The last that was written is the first to be read.
    put_state(&block->sink, block->own);
    put_state(&block->sink, block->other);
    return block->sink.next;
}

void ck_encode_few(const ck_model *model, ck_few_block *one, ck_few_block *two) {
    tables_t tables;
    fill_runs(tables.runs);
    tables.tokens = model->steps + model->tables * model->alphabet;
    tables.cold = model->steps + model->map[0] * model->alphabet;
    block_t first, second;
    begin(&first, one, &tables);
    if (two != NULL) {
        begin(&second, two, &tables);
        while (make_ready(&first, &tables) && make_ready(&second, &tables)) encode_both(&tables, &first, &second);
        two->start = end(&second, &tables);
    }
    one->start = end(&first, &tables);
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
