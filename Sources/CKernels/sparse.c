// Sparse blocks: what lies in a neighbourhood of zeros is coded by runs, and only the rest symbol by symbol.
//
// An element is cold when its context is 0: no symbol that the context looks at differs from zero. A run is a number
// of cold zeros; hot elements stand in between with symbols of their own. Two states take turns.

#include "masks.h"
#include "runs.h"

// Events: an index into the steps, or bits as they are, or nothing.
#define RAW 0x80000000u
#define NOTHING 0xffffffffu

size_t ck_mask_words(size_t count) { return 2 * (count / 64 + 3); }

static void nonzero_plain(const uint16_t *symbols, size_t start, size_t count, uint64_t *words) {
    for (size_t i = start; i < count; i++) words[i / 64] |= (uint64_t)(symbols[i] != 0) << (i % 64);
}

#ifdef CK_VECTOR
CK_VECTOR static size_t nonzero_vector(const uint16_t *symbols, size_t count, uint64_t *words) {
    size_t i = 0;
    for (; i + 64 <= count; i += 64) words[i / 64] = nonzero_of(symbols + i);
    return i;
}
#endif

// A bit for each symbol that isn't zero, and zeros behind them.
static void nonzero_mask(const uint16_t *symbols, size_t count, uint64_t *words) {
    memset(words, 0, (count / 64 + 3) * sizeof *words);
    size_t done = 0;
#ifdef CK_VECTOR
    if (ck_has_vectors()) done = nonzero_vector(symbols, count, words);
#endif
    nonzero_plain(symbols, done, count, words);
}

// Bits for the elements that the previous symbols make hot.
static void hot_mask(const uint16_t *base, size_t count, uint64_t *words) {
    if (base != NULL) nonzero_mask(base, count, words);
    else memset(words, 0, (count / 64 + 3) * sizeof *words);
}

// Goes through the elements that stand in a block: hot ones, and cold ones that aren't zero.
typedef struct {
    const uint64_t *own;
    const uint64_t *above;
    size_t count;
    bool uses_left;
    bool wide;
    size_t word;
    uint64_t events;
    uint64_t hot;
    // Where the next element would be, and the cold zeros since the last cold symbol.
    size_t position;
    size_t run;
} walk_t;

static inline void walk_word(walk_t *walk) {
    uint64_t own = walk->own[walk->word], before = walk->word > 0 ? walk->own[walk->word - 1] : 0;
    walk->hot = walk->above[walk->word];
    if (walk->uses_left) walk->hot |= own << 1 | before >> 63;
    if (walk->wide) walk->hot |= own << 2 | before >> 62;
    walk->events = walk->hot | own;
}

static walk_t walk_begin(const ck_model *model, const uint16_t *symbols, const uint16_t *base, size_t count,
                         uint64_t *words) {
    uint64_t *above = words + ck_mask_words(count) / 2;
    nonzero_mask(symbols, count, words);
    hot_mask(base, count, above);
    walk_t walk = {words, above, count, model->uses_left, model->wide, 0, 0, 0, 0, 0};
    walk_word(&walk);
    return walk;
}

// The next element, or SIZE_MAX. The caller sets run to 0 after a cold one.
static inline size_t walk_next(walk_t *walk, bool *is_hot) {
    while (walk->events == 0) {
        if (++walk->word * 64 >= walk->count) return SIZE_MAX;
        walk_word(walk);
    }
    uint32_t bit = (uint32_t)__builtin_ctzll(walk->events);
    walk->events &= walk->events - 1;
    size_t index = walk->word * 64 + bit;
    if (index >= walk->count) return SIZE_MAX;
    walk->run += index - walk->position;
    walk->position = index + 1;
    *is_hot = walk->hot >> bit & 1;
    return index;
}

static inline uint32_t context_at(const ck_model *model, const uint16_t *symbols, const uint16_t *base, size_t i) {
    return context_of(model, i > 0 ? symbols[i - 1] : 0, i > 1 ? symbols[i - 2] : 0, base, i);
}

static inline size_t table_at(const ck_model *model, const uint16_t *symbols, const uint16_t *base, size_t i) {
    return model->map[context_at(model, symbols, base, i)];
}

void ck_count_sparse_contexts(const ck_model *model, const uint16_t *symbols, const uint8_t *above, size_t count,
                              uint16_t *scratch, uint64_t *words, uint32_t *counts) {
    const uint16_t *base = ck_above_contexts(model, above, count, scratch);
    walk_t walk = walk_begin(model, symbols, base, count, words);
    bool is_hot = false;
    size_t met = 0;
    for (size_t i; (i = walk_next(&walk, &is_hot)) != SIZE_MAX; met++)
        counts[context_at(model, symbols, base, i) * model->alphabet + symbols[i]]++;
    counts[0] += (uint32_t)(count - met);
}

void ck_count_runs(const ck_model *model, const uint16_t *symbols, const uint8_t *above, size_t count,
                   uint16_t *scratch, uint64_t *words, uint32_t *tokens, uint32_t *extra_bits) {
    const uint16_t *base = ck_above_contexts(model, above, count, scratch);
    walk_t walk = walk_begin(model, symbols, base, count, words);
    bool is_hot = false;
    while (walk_next(&walk, &is_hot) != SIZE_MAX) {
        if (is_hot) continue;
        uint32_t extra;
        tokens[run_token(walk.run, &extra)]++;
        *extra_bits += extra;
        walk.run = 0;
    }
    tokens[0]++;
}

uint8_t *_Nullable ck_encode_sparse(const ck_model *model, const uint16_t *symbols, const uint8_t *above, size_t count,
                          uint16_t *scratch, uint64_t *words, uint32_t *events, size_t event_capacity, uint8_t *buffer,
                          size_t capacity) {
    const uint16_t *base = ck_above_contexts(model, above, count, scratch);
    const uint32_t tokens = model->tables * model->alphabet;
    const uint32_t cold = model->map[0] * model->alphabet;
    if (event_capacity < 8) return NULL;
    // The token stands before the hot elements that lie within its run, and is known only after them.
    size_t pending = 0, next = 3;
    walk_t walk = walk_begin(model, symbols, base, count, words);
    bool is_hot = false;
    for (size_t i; (i = walk_next(&walk, &is_hot)) != SIZE_MAX;) {
        if (event_capacity - next < 8) return NULL;
        if (is_hot) {
            events[next++] = (uint32_t)table_at(model, symbols, base, i) * model->alphabet + symbols[i];
            continue;
        }
        uint32_t extra, run = (uint32_t)walk.run;
        events[pending] = tokens + run_token(run, &extra);
        uint32_t low = extra > 12 ? 12 : extra, high = extra - low;
        events[pending + 1] = low == 0 ? NOTHING : RAW | low << 16 | (run & ((1u << low) - 1));
        events[pending + 2] = high == 0 ? NOTHING : RAW | high << 16 | (run >> low & ((1u << high) - 1));
        events[next] = cold + symbols[i];
        pending = next + 1;
        next += 4;
        walk.run = 0;
    }
    events[pending] = tokens;
    events[pending + 1] = events[pending + 2] = NOTHING;
    size_t real = 0;
    for (size_t i = 0; i < next; i++) real += events[i] != NOTHING;
    uint32_t states[2] = {LOWEST, LOWEST};
    sink_t sink = {buffer + capacity};
    for (size_t i = next; i-- > 0;) {
        uint32_t event = events[i];
        if (event == NOTHING) continue;
        real--;
        // At most four bytes an event, and eight for the states.
        if (sink.next - buffer < 16) return NULL;
        uint32_t *state = &states[real & 1];
        if (event & RAW) {
            *state = encode_bits(*state, event >> 16 & 0x7fff, event & 0xfff, &sink);
        } else {
            *state = encode_step(*state, model->steps + event, &sink);
        }
    }
    put_state(&sink, states[1]);
    put_state(&sink, states[0]);
    return sink.next;
}

bool ck_decode_sparse(const ck_model *model, const uint8_t *bytes, size_t size, const uint8_t *above, size_t count,
                      uint16_t *scratch, uint64_t *words, uint16_t *symbols) {
    if (size % 2 != 0) return false;
    const uint16_t *base = ck_above_contexts(model, above, count, scratch);
    hot_mask(base, count, words);
    memset(symbols, 0, count * sizeof *symbols);
    reader_t reader = {{0, 0}, 0, {bytes, bytes + size}, false};
    if (!read_state(&reader.states[0], &reader.source) || !read_state(&reader.states[1], &reader.source)) return false;
    const uint16_t *run_slots = model->slots + (size_t)model->tables * CK_SCALE;
    const uint32_t *run_info = model->info + (size_t)model->tables * model->alphabet;
    const size_t cold = model->map[0];
    // What a symbol makes hot: the next element, and the one after it.
    const uint64_t reach = (model->uses_left ? 1 : 0) | (model->wide ? 2 : 0);
    size_t run = next_run(&reader, run_slots, run_info);
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
                if (symbol == 0) return false;
                run = next_run(&reader, run_slots, run_info);
            } else {
                run -= run == FOREVER ? 0 : distance;
                bit += distance;
                if (bit >= limit) break;
                size_t table = table_at(model, symbols, base, word * 64 + bit);
                symbol = next_symbol(&reader, model->slots + table * CK_SCALE, model->info + table * model->alphabet);
            }
            if (reader.failed) return false;
            symbols[word * 64 + bit] = (uint16_t)symbol;
            bit++;
            if (symbol == 0) continue;
            if (bit < 64) words[word] |= reach << bit;
            // What goes beyond this word; shifting by 64 isn't defined, and isn't needed below bit 63.
            if (bit >= 63) words[word + 1] |= reach >> (64 - bit);
        }
    }
    return run == FOREVER && !reader.failed && reader.states[0] == LOWEST && reader.states[1] == LOWEST
        && reader.source.next == reader.source.end;
}
