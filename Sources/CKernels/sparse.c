// Sparse blocks: what lies in a neighbourhood of zeros is coded by runs, and only the rest symbol by symbol.
//
// An element is cold when its context is 0: no symbol that the context looks at differs from zero. A run is a number
// of cold zeros; hot elements stand in between with symbols of their own. Two states take turns.

#include "masks.h"
#include "runs.h"

size_t ck_mask_words(size_t count) { return count / 64 + 3; }

#ifdef CK_VECTOR
CK_VECTOR static size_t mask_vector(const uint16_t *symbols, const uint8_t *bytes, size_t count, uint64_t *words) {
    size_t i = 0;
    for (; i + 64 <= count; i += 64) words[i / 64] = symbols != NULL ? nonzero_of(symbols + i) : nonzero_bytes_of(bytes + i);
    return i;
}
#endif

// Of symbols or of bytes, whichever there are.
static void mask(const uint16_t *symbols, const uint8_t *bytes, size_t count, uint64_t *words) {
    size_t i = 0;
#ifdef CK_VECTOR
    if (ck_has_vectors()) i = mask_vector(symbols, bytes, count, words);
#endif
    memset(words + i / 64, 0, (ck_mask_words(count) - i / 64) * sizeof *words);
    for (; i < count; i++) words[i / 64] |= (uint64_t)((symbols != NULL ? symbols[i] : bytes[i]) != 0) << (i % 64);
}

void ck_mask(const uint16_t *symbols, size_t count, uint64_t *words) { mask(symbols, NULL, count, words); }

void ck_mask_bytes(const uint8_t *bytes, size_t count, uint64_t *words) { mask(NULL, bytes, count, words); }

// Which of 64 elements the previous symbols make hot, by the bits of these, and of the ones before and after them.
static inline uint64_t hot_of(const ck_model *model, uint64_t before, uint64_t own, uint64_t after) {
    uint64_t hot = model->uses_above ? own : 0;
    if (model->wide) hot |= own << 1 | own >> 1 | before >> 63 | after << 63;
    return hot;
}

// 64 elements: bits of those that aren't zero, and of those before which, and before the one before which, stands one that isn't.
typedef struct {
    uint64_t own;
    uint64_t left;
    uint64_t second;
    // Hot elements, and those that stand in a block: hot ones, and cold ones that aren't zero.
    uint64_t hot;
    uint64_t standing;
} word_t;

static inline word_t word_of(const ck_model *model, const ck_sparse *block, size_t word) {
    const uint64_t *nonzero = block->nonzero, *above = block->before;
    const size_t rest = block->count - word * 64;
    const uint64_t inside = rest < 64 ? ((uint64_t)1 << rest) - 1 : UINT64_MAX;
    const uint64_t own = nonzero[word] & inside, before = word > 0 ? nonzero[word - 1] : 0;
    const uint64_t left = own << 1 | before >> 63, second = own << 2 | before >> 62;
    uint64_t hot = (model->uses_left ? left : 0) | (model->wide ? second : 0);
    // The next word is another block's if this one ends here.
    if (above != NULL) hot |= hot_of(model, word > 0 ? above[word - 1] : 0, above[word], rest <= 64 ? 0 : above[word + 1]);
    hot &= inside;
    return (word_t){own, left, second, hot, hot | own};
}

static inline size_t words_of(const ck_sparse *block) { return (block->count + 63) / 64; }

// Words that are looked at together.
#define QUIET_WORDS 8

// Nothing lies in some words, neither the first nor the last ones, or so near to them that one of their elements could be hot.
static inline bool are_quiet(const ck_sparse *block, size_t word) {
    if (word == 0 || (word + QUIET_WORDS) * 64 >= block->count) return false;
    const uint64_t *own = block->nonzero + word, *above = block->before;
    uint64_t any = own[-1] >> 62;
    for (size_t k = 0; k < QUIET_WORDS; k++) any |= own[k];
    if (above == NULL || any != 0) return any == 0;
    any = above[word - 1] >> 63 | above[word + QUIET_WORDS] << 63;
    for (size_t k = 0; k < QUIET_WORDS; k++) any |= above[word + k];
    return any == 0;
}

// A symbol, 0 where the bit of some that aren't zero isn't set.
static inline uint32_t symbol_by(uint64_t bits, uint32_t bit, const uint16_t *symbol) {
    return *symbol & -(uint32_t)(bits >> bit & 1);
}

// The context of an element, whose bit in its word is given.
static inline __attribute__((always_inline)) uint32_t context_in(const word_t *word, uint32_t bit, const ck_model *model,
                                                                 const ck_sparse *block, size_t i) {
    // Nothing stands before the first one.
    const uint32_t left = symbol_by(word->left, bit, block->symbols + i - (i > 0));
    return context_of(model, left, word->second >> bit & 1, NULL, 0) + above_at(model, block->above, i, block->count);
}

void ck_count_sparse_contexts(const ck_model *model, const ck_sparse *block, uint32_t *counts) {
    const ck_model own = *model;
    const ck_sparse elements = *block;
    size_t met = 0;
    for (size_t word = 0; word < words_of(&elements); word++) {
        if (are_quiet(&elements, word)) {
            word += QUIET_WORDS - 1;
            continue;
        }
        const word_t at = word_of(&own, &elements, word);
        for (uint64_t standing = at.standing; standing != 0; standing &= standing - 1, met++) {
            const uint32_t bit = (uint32_t)__builtin_ctzll(standing);
            const size_t i = word * 64 + bit;
            counts[context_in(&at, bit, &own, &elements, i) * own.alphabet + symbol_by(at.own, bit, elements.symbols + i)]++;
        }
    }
    counts[0] += (uint32_t)(elements.count - met);
}

void ck_count_runs(const ck_model *model, const ck_sparse *block, uint32_t *tokens, uint32_t *extra_bits) {
    const ck_model own = *model;
    const ck_sparse elements = *block;
    // Cold zeros since the last cold symbol.
    size_t run = 0;
    for (size_t word = 0; word < words_of(&elements); word++) {
        if (are_quiet(&elements, word)) {
            word += QUIET_WORDS - 1;
            run += 64 * QUIET_WORDS;
            continue;
        }
        const word_t at = word_of(&own, &elements, word);
        uint64_t zeros = ~at.standing;
        for (uint64_t cold = at.standing & ~at.hot; cold != 0; cold &= cold - 1) {
            const uint64_t before = (cold & -cold) - 1;
            run += (size_t)__builtin_popcountll(zeros & before);
            zeros &= ~before;
            uint32_t extra;
            tokens[run_token(run, &extra)]++;
            *extra_bits += extra;
            run = 0;
        }
        // Behind the block's end are none, but what they would come to is never told.
        run += (size_t)__builtin_popcountll(zeros);
    }
    tokens[0]++;
}

size_t ck_sparse_room(const ck_model *model, const ck_sparse *block) {
    const ck_model own = *model;
    size_t steps = 1;
    for (size_t word = 0; word < words_of(block); word++) {
        const word_t at = word_of(&own, block, word);
        // A symbol each, and where it is cold a token and its bits.
        steps += (size_t)__builtin_popcountll(at.standing) + 3 * (size_t)__builtin_popcountll(at.standing & ~at.hot);
    }
    // Two bytes each at most; before they are written it isn't known whether a step's two are needed.
    return 2 * steps + 10;
}

// The run up to a cold symbol, if there is one; none is to come otherwise.
static inline event_t run_before(size_t next, size_t start, const event_t *runs) {
    return next == SIZE_MAX ? (event_t){0} : tabulated_run(next - start, runs);
}

uint8_t *ck_encode_sparse(const ck_model *model, const ck_sparse *block, uint8_t *end) {
    // Copies, which bytes that are written don't change.
    const ck_model own = *model;
    const ck_sparse elements = *block;
    const ck_step *const steps = own.steps, *const tokens = steps + (size_t)own.tables * own.alphabet;
    event_t runs[SHORT_RUNS];
    fill_runs(runs);
    sink_t sink = {end};
    uint32_t state = LOWEST, other = LOWEST;
    // From the end on: the cold symbol met last, if there was one, and the hot elements since.
    size_t next = SIZE_MAX, hot = 0;
    for (size_t word = words_of(&elements); word-- > 0;) {
        if (word >= QUIET_WORDS && are_quiet(&elements, word - (QUIET_WORDS - 1))) {
            word -= QUIET_WORDS - 1;
            continue;
        }
        const word_t at = word_of(&own, &elements, word);
        for (uint64_t standing = at.standing; standing != 0;) {
            const uint32_t bit = 63 - (uint32_t)__builtin_clzll(standing);
            standing ^= (uint64_t)1 << bit;
            const size_t i = word * 64 + bit;
            if (at.hot >> bit & 1) {
                hot++;
            } else {
                // The run behind a cold symbol, which is read before the hot elements that lie within.
                encode_run(run_before(next, i + 1 + hot, runs), tokens, &state, &other, &sink);
                next = i;
                hot = 0;
            }
            // The context of a cold one is 0.
            const ck_step *table = steps + own.map[context_in(&at, bit, &own, &elements, i)] * own.alphabet;
            turn(&state, &other, encode_step(state, table + symbol_by(at.own, bit, elements.symbols + i), &sink));
        }
    }
    encode_run(run_before(next, hot, runs), tokens, &state, &other, &sink);
    // The last that was written is the first to be read.
    put_state(&sink, state);
    put_state(&sink, other);
    return sink.next;
}

// A bit for each element that the previous symbols make hot.
static void hot_words(const ck_model *model, const uint8_t *above, size_t count, uint64_t *words) {
    if (above == NULL) return (void)memset(words, 0, ck_mask_words(count) * sizeof *words);
    ck_mask_bytes(above, count, words);
    uint64_t before = 0;
    for (size_t word = 0; word * 64 < count; word++) {
        // As it is done in place, what stood in the word before is kept.
        const uint64_t own = words[word];
        words[word] = hot_of(model, before, own, words[word + 1]);
        before = own;
    }
}

ptrdiff_t ck_decode_sparse(const ck_model *model, const uint8_t *bytes, size_t size, const uint8_t *above, size_t count,
                           uint64_t *words, uint32_t *places, uint32_t *symbols) {
    if (size % 2 != 0) return -1;
    hot_words(model, above, count, words);
    reader_t reader = {{0, 0}, 0, {bytes, bytes + size}, false};
    if (!read_state(&reader.states[0], &reader.source) || !read_state(&reader.states[1], &reader.source)) return -1;
    const uint16_t *run_slots = model->slots + (size_t)model->tables * CK_SCALE;
    const uint32_t *run_info = model->info + (size_t)model->tables * model->alphabet;
    const size_t cold = model->map[0];
    // What a symbol makes hot: the next element, and the one after it.
    const uint64_t reach = (model->uses_left ? 1 : 0) | (model->wide ? 2 : 0);
    size_t run = next_run(&reader, run_slots, run_info), found = 0;
    // Behind the last symbol that isn't zero, and behind the one before that.
    size_t behind = 0, behind2 = 0;
    for (size_t word = 0; word * 64 < count; word++) {
        uint32_t limit = count - word * 64 < 64 ? (uint32_t)(count - word * 64) : 64;
        uint32_t bit = 0;
        while (bit < limit) {
            uint64_t rest = words[word] >> bit;
            uint32_t distance = rest != 0 ? (uint32_t)__builtin_ctzll(rest) : 64;
            if (distance > limit - bit) distance = limit - bit;
            uint32_t symbol;
            if (run < distance) {
                bit += (uint32_t)run;
                symbol = next_symbol(&reader, model->slots + cold * CK_SCALE, model->info + cold * model->alphabet);
                if (symbol == 0) return -1;
                run = next_run(&reader, run_slots, run_info);
            } else {
                run -= run == FOREVER ? 0 : distance;
                bit += distance;
                if (bit >= limit) break;
                const size_t i = word * 64 + bit;
                const bool is_next = found > 0 && behind == i;
                const uint32_t left = is_next ? symbols[found - 1] : 0;
                const bool second = found > 0 && i > 0 && (is_next ? found > 1 && behind2 == i - 1 : behind == i - 1);
                const uint32_t context = context_of(model, left, second, NULL, 0);
                const size_t table = model->map[context + above_at(model, above, i, count)];
                symbol = next_symbol(&reader, model->slots + table * CK_SCALE, model->info + table * model->alphabet);
            }
            if (reader.failed) return -1;
            const size_t place = word * 64 + bit++;
            if (symbol == 0) continue;
            places[found] = (uint32_t)place;
            symbols[found++] = symbol;
            behind2 = behind;
            behind = place + 1;
            if (bit < 64) words[word] |= reach << bit;
            // What goes beyond this word; shifting by 64 isn't defined, and isn't needed below bit 63.
            if (bit >= 63) words[word + 1] |= reach >> (64 - bit);
        }
    }
    const bool fits = run == FOREVER && !reader.failed && reader.states[0] == LOWEST && reader.states[1] == LOWEST
        && reader.source.next == reader.source.end;
    return fits ? (ptrdiff_t)found : -1;
}
