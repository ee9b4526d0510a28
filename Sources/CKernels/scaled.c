// Levels by classes of their size, each in the context of how large the levels before it were, and of its left neighbour or of what
// the frame before has in its place. docs/formats/auto.md lays down every step.
//
// Within a class all levels are as likely as each other, so what a class leaves open are plain bits, which stand in a stream of their
// own. The tables are those of a stream; what adapts is the scale that chooses among them. Four lanes run side by side as in dense blocks.

#include "bits.h"
#include "coder.h"

// Classes below this are single levels; from there on four make up an octave.
#define PLAIN_CLASSES CK_PLAIN_CLASSES

// Bits that a class leaves open.
static inline uint32_t bits_of(uint32_t class) { return class < PLAIN_CLASSES ? 0 : ((class + 1) >> 3) - 1; }

// The class of a level's symbol, with the same sign.
static inline uint32_t class_of(const ck_scaled *model, uint32_t symbol) {
    if (__builtin_expect(symbol < CK_SHORT_LEVELS, 1)) return model->short_classes[symbol];
    const uint32_t level = (symbol + 1) >> 1, octave = 31 - (uint32_t)__builtin_clz(level);
    return 2 * (4 * (octave - 1) + (level >> (octave - 2) & 3)) - (symbol & 1);
}

static inline uint32_t symbol_of(uint32_t class, uint32_t rest) {
    if (class < PLAIN_CLASSES) return class;
    const uint32_t size = (class + 1) >> 1, octave = (size >> 2) + 1;
    return 2 * ((4 | (size & 3)) << (octave - 2) | rest) - (class & 1);
}

// The average of classes' sizes, in 256ths, moves a sixteenth of the way.
static inline uint32_t moved(uint32_t average, uint32_t class) {
    const int32_t far = (int32_t)((class + 1) >> 1 << 8) - (int32_t)average;
    return average + (uint32_t)(far >> 4);
}

static inline __attribute__((always_inline)) uint32_t context_at(const ck_scaled *model, uint32_t average, uint32_t left,
                                                                 const uint8_t *previous, size_t i,
                                                                 const bool has_previous) {
    return model->scales[average >> 3] + model->other[has_previous ? previous[i] : left];
}

static inline __attribute__((always_inline)) uint64_t count_scaled(const ck_scaled *model, const uint16_t *symbols,
                                                                   const uint8_t *previous, size_t count,
                                                                   uint32_t *counts, const bool has_previous) {
    const ck_scaled own = *model;
    uint64_t bits = 0;
    uint32_t average = 0, left = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t class = class_of(&own, symbols[i]);
        counts[context_at(&own, average, left, previous, i, has_previous) * own.classes + class]++;
        bits += bits_of(class);
        average = moved(average, class);
        left = class;
    }
    return bits;
}

uint64_t ck_count_scaled(const ck_scaled *model, const uint16_t *symbols, const uint8_t *previous, size_t count,
                         uint32_t *counts) {
    return model->uses_previous ? count_scaled(model, symbols, previous, count, counts, true)
                                : count_scaled(model, symbols, previous, count, counts, false);
}

// Each element's table and class, the class lowest: there are fewer than 256. What classes leave open is written.
static inline __attribute__((always_inline)) void place_lane(const ck_scaled *model, const uint16_t *symbols,
                                                             const uint8_t *previous, size_t start, size_t end,
                                                             uint16_t *placed, packer_t *packer, const bool has_previous) {
    const ck_scaled own = *model;
    packer_t open = *packer;
    uint32_t average = 0, left = 0;
    for (size_t i = start; i < end; i++) {
        const uint32_t class = class_of(&own, symbols[i]), bits = bits_of(class);
        placed[i] = (uint16_t)(own.map[context_at(&own, average, left, previous, i, has_previous)] << 8 | class);
        put_bits(&open, (uint32_t)(symbols[i] + 1) >> 1 & ((1u << bits) - 1), bits);
        average = moved(average, class);
        left = class;
    }
    *packer = open;
}

uint8_t *ck_encode_scaled(const ck_scaled *model, const uint16_t *symbols, const uint8_t *previous, size_t count,
                          uint16_t *scratch, uint8_t *end, uint8_t *open, size_t *open_size) {
    const size_t lanes = lanes_of(count), length = (count + lanes - 1) / lanes;
    packer_t packer = {open, 0, 0};
    for (size_t start = 0; start < count; start += length) {
        const size_t stop = start + length < count ? start + length : count;
        if (model->uses_previous)
            place_lane(model, symbols, previous, start, stop, scratch, &packer, true);
        else
            place_lane(model, symbols, previous, start, stop, scratch, &packer, false);
    }
    *open_size = (size_t)(packer.next - open) + (packer.bits > 0);
    const ck_step *const steps = model->steps;
    const uint32_t classes = model->classes;
    sink_t sink = {end};
    uint32_t states[4] = {LOWEST, LOWEST, LOWEST, LOWEST};
    // Of four lanes the last may be shorter.
    const size_t whole = lanes == 4 ? count - 3 * length : 0;
    size_t j = length;
    for (; j > whole; j--)
        for (size_t lane = lanes; lane-- > 0;) {
            const size_t i = lane * length + j - 1;
            if (i >= count) continue;
            states[lane] = encode_step(states[lane], steps + (scratch[i] >> 8) * classes + (scratch[i] & 255), &sink);
        }
    for (; j-- > 0;) {
#pragma clang loop unroll(full)
        for (size_t lane = 4; lane-- > 0;) {
            const uint32_t placed = scratch[lane * length + j];
            states[lane] = encode_step(states[lane], steps + (placed >> 8) * classes + (placed & 255), &sink);
        }
    }
    for (size_t lane = lanes; lane-- > 0;) put_state(&sink, states[lane]);
    return sink.next;
}

// What a lane has come to.
typedef struct {
    uint32_t state;
    uint32_t average;
    uint32_t left;
} lane_t;

// Takes a lane's next class, after which the state may have to be filled.
static inline __attribute__((always_inline)) uint32_t take_class(const ck_scaled *model, lane_t *lane,
                                                                 const uint8_t *previous, size_t i,
                                                                 const bool has_previous) {
    const size_t table = model->map[context_at(model, lane->average, lane->left, previous, i, has_previous)];
    const uint32_t class = take_symbol(&lane->state, model->slots + table * CK_SCALE, model->info + table * model->classes);
    lane->average = moved(lane->average, class);
    lane->left = class;
    return class;
}

static inline __attribute__((always_inline)) bool decode_classes(const ck_scaled *model, const uint8_t *bytes, size_t size,
                                                                 const uint8_t *previous, size_t count,
                                                                 uint16_t *classes, const bool has_previous) {
    const ck_scaled own = *model;
    const size_t lanes = lanes_of(count), length = (count + lanes - 1) / lanes;
    source_t source = {bytes, bytes + size};
    lane_t all[4] = {{0}};
    for (size_t lane = 0; lane < lanes; lane++)
        if (!read_state(&all[lane].state, &source)) return false;
    size_t j = 0;
    if (lanes == 4) {
        // As long as every lane has a symbol to come and four words are left, nothing can run out.
        for (size_t last = count - 3 * length; j < last && source.end - source.next >= 8; j++) {
#pragma clang loop unroll(full)
            for (size_t lane = 0; lane < 4; lane++) {
                const size_t i = lane * length + j;
                classes[i] = (uint16_t)take_class(&own, &all[lane], previous, i, has_previous);
                all[lane].state = filled(all[lane].state, &source.next);
            }
        }
    }
    for (; j < length; j++) {
        for (size_t lane = 0; lane < lanes; lane++) {
            const size_t i = lane * length + j;
            if (i >= count) continue;
            classes[i] = (uint16_t)take_class(&own, &all[lane], previous, i, has_previous);
            if (!refill(&all[lane].state, &source)) return false;
        }
    }
    for (size_t lane = 0; lane < lanes; lane++)
        if (all[lane].state != LOWEST) return false;
    return source.next == source.end;
}

// The eight bytes from a place on, zeros behind the end.
static inline uint64_t bytes_at(const uint8_t *bytes, size_t size, size_t place) {
    if (place + 8 <= size) return load64(bytes + place);
    uint64_t value = 0;
    for (size_t k = place; k < size; k++) value |= (uint64_t)bytes[k] << 8 * (k - place);
    return value;
}

// Classes become symbols by the bits that they leave open; false when a symbol isn't below `limit`, or when these aren't the bits.
static bool settle_classes(const uint8_t *open, size_t open_size, size_t count, uint32_t limit, uint16_t *symbols) {
    uint32_t most = 0;
    size_t place = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = bits_of(symbols[i]);
        const uint64_t next = bytes_at(open, open_size, place >> 3) >> (place & 7);
        const uint32_t symbol = symbol_of(symbols[i], (uint32_t)next & ((1u << bits) - 1));
        place += bits;
        most = symbol > most ? symbol : most;
        symbols[i] = (uint16_t)symbol;
    }
    // Of the highest level's class not all may be there. What is left over of the last byte is zero.
    return most < limit && (place + 7) >> 3 == open_size && bytes_at(open, open_size, place >> 3) >> (place & 7) == 0;
}

bool ck_decode_scaled(const ck_scaled *model, const uint8_t *bytes, size_t size, const uint8_t *open, size_t open_size,
                      const uint8_t *previous, size_t count, uint16_t *symbols) {
    if (size % 2 != 0) return false;
    const bool fits = model->uses_previous ? decode_classes(model, bytes, size, previous, count, symbols, true)
                                           : decode_classes(model, bytes, size, previous, count, symbols, false);
    return fits && settle_classes(open, open_size, count, model->symbols, symbols);
}
