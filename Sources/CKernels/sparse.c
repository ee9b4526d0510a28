// Sparse blocks: what lies in a neighbourhood of zeros is coded by runs, and only the rest symbol by symbol.
//
// An element is cold when its context is 0: no symbol that the context looks at differs from zero. A run is a number
// of cold zeros; hot elements stand in between with symbols of their own. Two states take turns.

#include "masks.h"
#include "runs.h"

// Events: an index into the steps, or bits as they are, or nothing.
#define RAW 0x80000000u
#define NOTHING 0xffffffffu

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

// Goes through the elements that stand in a block: hot ones, and cold ones that aren't zero.
typedef struct {
    const ck_model *model;
    const ck_sparse *block;
    size_t word;
    uint64_t events;
    uint64_t hot;
    // Where the next element would be, and the cold zeros since the last cold symbol.
    size_t position;
    size_t run;
} walk_t;

static inline void walk_word(walk_t *walk) {
    const uint64_t *nonzero = walk->block->nonzero, *above = walk->block->before;
    const size_t word = walk->word;
    uint64_t own = nonzero[word], before = word > 0 ? nonzero[word - 1] : 0;
    walk->hot = 0;
    if (above != NULL) {
        // The next word is another block's if this one ends here.
        const bool is_last = (word + 1) * 64 >= walk->block->count;
        walk->hot = hot_of(walk->model, word > 0 ? above[word - 1] : 0, above[word], is_last ? 0 : above[word + 1]);
    }
    if (walk->model->uses_left) walk->hot |= own << 1 | before >> 63;
    if (walk->model->wide) walk->hot |= own << 2 | before >> 62;
    walk->events = walk->hot | own;
}

static walk_t walk_begin(const ck_model *model, const ck_sparse *block) {
    walk_t walk = {model, block, 0, 0, 0, 0, 0};
    walk_word(&walk);
    return walk;
}

// Words that are looked at together.
#define QUIET_WORDS 8

// Nothing lies in some words, or so near to them that one of their elements could be hot.
static inline bool are_quiet(const ck_sparse *block, size_t word) {
    const uint64_t *own = block->nonzero + word, *above = block->before;
    uint64_t any = own[-1] >> 62;
    for (size_t k = 0; k < QUIET_WORDS; k++) any |= own[k];
    if (above == NULL || any != 0) return any == 0;
    any = above[word - 1] >> 63 | above[word + QUIET_WORDS] << 63;
    for (size_t k = 0; k < QUIET_WORDS; k++) any |= above[word + k];
    return any == 0;
}

// The next element, or SIZE_MAX. The caller sets run to 0 after a cold one.
static inline size_t walk_next(walk_t *walk, bool *is_hot) {
    while (walk->events == 0) {
        walk->word++;
        while ((walk->word + QUIET_WORDS) * 64 < walk->block->count && are_quiet(walk->block, walk->word))
            walk->word += QUIET_WORDS;
        if (walk->word * 64 >= walk->block->count) return SIZE_MAX;
        walk_word(walk);
    }
    uint32_t bit = (uint32_t)__builtin_ctzll(walk->events);
    walk->events &= walk->events - 1;
    size_t index = walk->word * 64 + bit;
    if (index >= walk->block->count) return SIZE_MAX;
    walk->run += index - walk->position;
    walk->position = index + 1;
    *is_hot = walk->hot >> bit & 1;
    return index;
}

static inline uint32_t context_at(const ck_model *model, const ck_sparse *block, size_t i) {
    const uint32_t left = i > 0 ? symbol_at(block, i - 1) : 0, second = i > 1 ? symbol_at(block, i - 2) : 0;
    return context_of(model, left, second, NULL, 0) + above_at(model, block->above, i, block->count);
}

void ck_count_sparse_contexts(const ck_model *model, const ck_sparse *block, uint32_t *counts) {
    walk_t walk = walk_begin(model, block);
    bool is_hot = false;
    size_t met = 0;
    for (size_t i; (i = walk_next(&walk, &is_hot)) != SIZE_MAX; met++)
        counts[context_at(model, block, i) * model->alphabet + symbol_at(block, i)]++;
    counts[0] += (uint32_t)(block->count - met);
}

void ck_count_runs(const ck_model *model, const ck_sparse *block, uint32_t *tokens, uint32_t *extra_bits) {
    walk_t walk = walk_begin(model, block);
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

uint8_t *_Nullable ck_encode_sparse(const ck_model *model, const ck_sparse *block, uint32_t *events, size_t event_capacity,
                                    uint8_t *buffer, size_t capacity) {
    const uint32_t tokens = model->tables * model->alphabet;
    const uint32_t cold = model->map[0] * model->alphabet;
    if (event_capacity < 8) return NULL;
    // The token stands before the hot elements that lie within its run, and is known only after them.
    size_t pending = 0, next = 3;
    walk_t walk = walk_begin(model, block);
    bool is_hot = false;
    for (size_t i; (i = walk_next(&walk, &is_hot)) != SIZE_MAX;) {
        if (event_capacity - next < 8) return NULL;
        if (is_hot) {
            events[next++] = model->map[context_at(model, block, i)] * model->alphabet + symbol_at(block, i);
            continue;
        }
        uint32_t extra, run = (uint32_t)walk.run;
        events[pending] = tokens + run_token(run, &extra);
        uint32_t low = extra > 12 ? 12 : extra, high = extra - low;
        events[pending + 1] = low == 0 ? NOTHING : RAW | low << 16 | (run & ((1u << low) - 1));
        events[pending + 2] = high == 0 ? NOTHING : RAW | high << 16 | (run >> low & ((1u << high) - 1));
        events[next] = cold + block->symbols[i];
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
