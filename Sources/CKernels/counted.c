// Counted symbols: how often each occurs is told first, and then every symbol with what is left of the counts as probabilities.
// docs/formats/frame.md lays down every step.

#include "interval.h"

typedef struct {
    uint32_t alphabet;
    // By symbol, how often it is still to come.
    uint32_t left[CK_COUNTED_ALPHABET];
    // The symbols that occur but zero: the most frequent first, as those are asked for first.
    uint32_t order[CK_COUNTED_ALPHABET];
    uint32_t used;
} tally_t;

static void put_in_order(tally_t *tally) {
    tally->used = 0;
    for (uint32_t symbol = 1; symbol < tally->alphabet; symbol++) {
        if (tally->left[symbol] == 0) continue;
        uint32_t place = tally->used++;
        for (; place > 0 && tally->left[tally->order[place - 1]] < tally->left[symbol]; place--)
            tally->order[place] = tally->order[place - 1];
        tally->order[place] = symbol;
    }
}

// That of some of at most 65536, neither none nor all.
static inline uint32_t chance(uint32_t count, uint32_t left) { return (uint32_t)(((uint64_t)count << 16) / left); }

// Elias gamma of a number from 1 on, below 2^17, each bit of which is as likely as not; 0 for a larger one.
static inline __attribute__((always_inline)) uint32_t walk_gamma(interval_t *interval, uint32_t number,
                                                                 const bool is_writer) {
    const uint32_t width = is_writer ? 31 - (uint32_t)__builtin_clz(number) : 0;
    uint32_t zeros = 0;
    while (!code_bit(interval, zeros == width, 0x8000, is_writer))
        if (++zeros > 16) return 0;
    return code_low_bits(interval, 1, number, zeros, is_writer);
}

// A writer's tally is there; a reader's becomes what that was. False where a reader's exceeds the elements, or a writer's room is used
// up: what one number or one question takes fits behind the limit.
static inline __attribute__((always_inline)) bool walk(interval_t *interval, uint16_t *symbols, size_t count, tally_t *tally,
                                                       const uint8_t *limit, const bool is_writer) {
    uint32_t sent = 0;
    for (uint32_t symbol = 1; symbol < tally->alphabet; symbol++) {
        if (is_writer && interval->to > limit) return false;
        const uint32_t number = walk_gamma(interval, is_writer ? tally->left[symbol] + 1 : 0, is_writer);
        if (number == 0 || number - 1 > count - sent) return false;
        tally->left[symbol] = number - 1;
        sent += number - 1;
    }
    put_in_order(tally);
    uint32_t zeros = (uint32_t)count - sent;
    size_t i = 0;
    for (; sent > 0; i++) {
        if (is_writer && interval->to > limit) return false;
        uint32_t is_sent = 1;
        if (zeros > 0)
            is_sent = code_bit(interval, is_writer && symbols[i] != 0, chance(sent, sent + zeros), is_writer);
        if (!is_sent) {
            zeros--;
            if (!is_writer) symbols[i] = 0;
            continue;
        }
        uint32_t rest = sent--;
        for (uint32_t k = 0; k < tally->used; k++) {
            const uint32_t symbol = tally->order[k], own = tally->left[symbol];
            if (own == 0) continue;
            if (is_writer && interval->to > limit) return false;
            uint32_t is_own = 1;
            if (own < rest)
                is_own = code_bit(interval, is_writer && symbols[i] == symbol, chance(own, rest), is_writer);
            if (is_own) {
                tally->left[symbol]--;
                if (!is_writer) symbols[i] = (uint16_t)symbol;
                break;
            }
            rest -= own;
        }
    }
    if (!is_writer)
        for (; i < count; i++) symbols[i] = 0;
    return true;
}

size_t ck_counted_encode(const uint16_t *symbols, size_t count, uint32_t alphabet, uint8_t *bytes, size_t capacity) {
    if (capacity < CK_COUNTED_SPARE) return SIZE_MAX;
    tally_t tally = {.alphabet = alphabet};
    for (size_t i = 0; i < count; i++) tally.left[symbols[i]]++;
    interval_t interval = {.range = UINT32_MAX, .to = bytes};
    // A writer changes none.
    uint16_t *same = (uint16_t *)(uintptr_t)symbols;
    if (!walk(&interval, same, count, &tally, bytes + (capacity - CK_COUNTED_SPARE), true)) return SIZE_MAX;
    return (size_t)(interval.to - bytes) + finish(&interval, interval.to);
}

bool ck_counted_decode(const uint8_t *bytes, size_t length, uint32_t alphabet, uint16_t *symbols, size_t count) {
    tally_t tally = {.alphabet = alphabet};
    interval_t interval = {.range = UINT32_MAX, .from = bytes, .end = bytes + length};
    begin_reading(&interval);
    // Every byte was needed: nothing stands behind the last symbol.
    return walk(&interval, symbols, count, &tally, NULL, false) && interval.from == interval.end;
}
