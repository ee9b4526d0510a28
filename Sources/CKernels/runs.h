// What sparse blocks are made of: runs of cold zeros as tokens, and two states that take turns.
#ifndef CK_RUNS_H
#define CK_RUNS_H

#include "coder.h"

// Below this a run is a token of its own; token 0 says that no cold element is to come that isn't zero.
#define PLAIN_RUNS 16
#define FOREVER SIZE_MAX

static inline uint32_t run_token(size_t run, uint32_t *extra) {
    if (run < PLAIN_RUNS) {
        *extra = 0;
        return 1 + (uint32_t)run;
    }
    uint32_t exponent = 63 - (uint32_t)__builtin_clzll(run);
    *extra = exponent - 1;
    return 1 + PLAIN_RUNS + 2 * (exponent - 4) + (uint32_t)(run >> (exponent - 1) & 1);
}

// Bits as they are, at most 12, as from a table in which all have the same frequency; no bits leave the state as it is.
static inline __attribute__((always_inline)) uint32_t encode_bits(uint32_t state, uint32_t count, uint32_t bits, sink_t *sink) {
    uint32_t spare = CK_SCALE_BITS - count;
    state = shed_word(state, (uint64_t)state >= (uint64_t)((LOWEST >> CK_SCALE_BITS) << 16) << spare, sink);
    return (state >> spare) << CK_SCALE_BITS | bits << spare | (state & ((1u << spare) - 1));
}

// The other state's turn: of those in registers, the one whose turn it is, and the other one.
static inline __attribute__((always_inline)) void turn(uint32_t *own, uint32_t *other, uint32_t state) {
    *own = *other;
    *other = state;
}

// A symbol that isn't zero, and the zeros behind it.
typedef struct {
    uint16_t symbol;
    // Of the run: its token, and the bits that come with it, the low ones and those above them. The number of low ones counts less.
    uint8_t token;
    uint8_t counts;
    uint16_t low;
    uint16_t high;
} event_t;

static inline event_t event_of_run(size_t run) {
    uint32_t extra, token = run_token(run, &extra), low = extra > 12 ? 12 : extra;
    return (event_t){0, (uint8_t)token, (uint8_t)((extra - low) << 4 | low), (uint16_t)(run & ((1u << low) - 1)),
                     (uint16_t)(run >> 12 & ((1u << (extra - low)) - 1))};
}

// Runs below this are tabulated.
#define SHORT_RUNS 1024

static inline void fill_runs(event_t *runs) {
    for (size_t run = 0; run < SHORT_RUNS; run++) runs[run] = event_of_run(run);
}

static inline event_t tabulated_run(size_t run, const event_t *runs) {
    return run < SHORT_RUNS ? runs[run] : event_of_run(run);
}

static inline __attribute__((always_inline)) void encode_run(event_t event, const ck_step *tokens, uint32_t *own,
                                                             uint32_t *other, sink_t *sink) {
    if (__builtin_expect(event.counts > 15, 0))
        turn(own, other, encode_bits(*own, event.counts >> 4, event.high, sink));
    const uint32_t low = event.counts & 15, before = *own, state = encode_bits(before, low, event.low, sink);
    *own = choose(low > 0, *other, before);
    *other = choose(low > 0, state, *other);
    turn(own, other, encode_step(*own, tokens + event.token, sink));
}

// The inverse; the state may have to be filled afterwards.
static inline uint32_t take_bits(uint32_t *state, uint32_t count) {
    uint32_t spare = CK_SCALE_BITS - count;
    uint32_t slot = *state & (CK_SCALE - 1);
    *state = (*state >> CK_SCALE_BITS) << spare | (slot & ((1u << spare) - 1));
    return slot >> spare;
}

typedef struct {
    uint32_t states[2];
    uint32_t turn;
    source_t source;
    bool failed;
} reader_t;

static inline uint32_t next_symbol(reader_t *reader, const uint16_t *slots, const uint32_t *info) {
    uint32_t *state = &reader->states[reader->turn];
    reader->turn ^= 1;
    uint32_t symbol = take_symbol(state, slots, info);
    if (!refill(state, &reader->source)) reader->failed = true;
    return symbol;
}

static inline uint32_t next_bits(reader_t *reader, uint32_t count) {
    if (count == 0) return 0;
    uint32_t *state = &reader->states[reader->turn];
    reader->turn ^= 1;
    uint32_t bits = take_bits(state, count);
    if (!refill(state, &reader->source)) reader->failed = true;
    return bits;
}

static inline size_t next_run(reader_t *reader, const uint16_t *slots, const uint32_t *info) {
    uint32_t token = next_symbol(reader, slots, info);
    if (token == 0) return FOREVER;
    if (token <= PLAIN_RUNS) return token - 1;
    uint32_t exponent = (token - 1 - PLAIN_RUNS) / 2 + 4;
    uint32_t half = (token - 1 - PLAIN_RUNS) & 1;
    uint32_t extra = exponent - 1, low = extra > 12 ? 12 : extra;
    size_t rest = next_bits(reader, low);
    rest |= (size_t)next_bits(reader, extra - low) << low;
    return (size_t)(2 | half) << (exponent - 1) | rest;
}

#endif
