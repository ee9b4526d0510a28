// The walk through a block's elements, by the same code for writers and readers, and for each set of instructions: what includes it
// has `ask`, and says by MIXED_TARGET which instructions that uses.
//
// What is constant for a writer or reader, with previous symbols or without, is told by arguments that are known when it is compiled.

#define WALK(type) MIXED_TARGET static inline __attribute__((always_inline)) type

// A number from 1 on by how many bits it has, each of which is a question of its own, the first bit after its leading one, which is
// a question too, and the others as they are.
WALK(uint32_t) walk_escape(const ck_mixer *mixer, interval_t *interval, uint32_t number, uint32_t last,
                           const bool is_writer, const bool has_previous) {
    const uint32_t width = number > 0 ? 31 - (uint32_t)__builtin_clz(number) : 0;
    const uint32_t last_width = last > 0 ? 32 - (uint32_t)__builtin_clz(last) : 0;
    places_t places;
    uint32_t zeros = 0;
    // No level is wider than 13 bits; a reader that is told more stops here and refuses what comes out.
    for (; zeros < 13; zeros++) {
        look_at(&places, mixer->counters, zeros, 18 * zeros + last_width);
        look_above(&places, mixer->counters, zeros, zeros);
        if (!ask(mixer, interval, &places, ESCAPE_NODE, 30, zeros < width, is_writer, has_previous)) break;
    }
    if (zeros == 0) return 1;
    look_at(&places, mixer->counters, 16 + zeros, 18 * 15 + last_width);
    look_above(&places, mixer->counters, 16 + zeros, 16 + zeros);
    const uint32_t leading =
        2 | ask(mixer, interval, &places, ESCAPE_NODE, 30, number >> (zeros - 1) & 1, is_writer, has_previous);
    return code_low_bits(interval, leading, number, zeros - 1, is_writer);
}

// How large a level is that isn't 0: one question a step up to 12, then an escape.
WALK(uint32_t) walk_level(const ck_mixer *mixer, interval_t *interval, const places_t *places, uint32_t level,
                          uint32_t last, const bool is_writer, const bool has_previous) {
    for (uint32_t node = 2; node <= UNARY_END; node++)
        if (!ask(mixer, interval, places, node, 16 + node, level >= node, is_writer, has_previous)) return node - 1;
    return walk_escape(mixer, interval, level - UNARY_END + 1, last, is_writer, has_previous) + UNARY_END - 1;
}

// What lies in the stretch of a size that begins at an element.
static inline size_t stretch_size(int size) { return (size_t)8 << 3 * size; }

// Whether it isn't all zero goes without saying: it is what is left of a larger one that isn't, and in which there were only zeros.
static inline bool is_known(const ck_stretches *stretches, size_t start, int size) {
    return size < 2 && start + stretch_size(size) == stretches->end[size + 1] &&
           stretches->behind + stretch_size(size + 1) <= stretches->end[size + 1];
}

WALK(uint32_t) count_nonzero(const uint8_t *symbols, size_t count) {
    uint32_t met = 0;
    for (size_t k = 0; k < count; k++) met += symbols[k] != 0;
    return met;
}

// Whether a stretch isn't all zero, in which case it is begun.
WALK(bool) walk_stretch(const ck_mixer *mixer, interval_t *interval, ck_stretches *stretches, size_t start, int size,
                        uint32_t slow_class, const uint8_t *previous, const bool is_writer, const bool has_previous) {
    const size_t length = stretch_size(size);
    uint32_t busy = is_writer ? stretches->next < start + length : 1;
    uint32_t *recent = &stretches->recent[size - 1], *zeros = &stretches->zeros[size - 1];
    if (!is_known(stretches, start, size)) {
        uint32_t *counters = mixer->counters + BASE4 + (size - 1) * STRETCH_CONTEXTS;
        const uint32_t since = least(half_octave(*zeros), 15);
        places_t places = {{counters + *recent, counters + STRETCH1 + 9 * since + slow_class, counters, counters}};
        if (has_previous) {
            const uint32_t before = least(half_octave(count_nonzero(previous + start, length)), 17);
            places.of[2] = counters + STRETCH2 + 18 * (*recent & 1) + before;
            places.of[3] = counters + STRETCH3 + 16 * least(before, 3) + since;
        }
        busy = ask(mixer, interval, &places, 0, 16, busy, is_writer, has_previous);
    }
    *recent = (*recent << 1 | busy) & 3;
    *zeros = busy ? 0 : least(*zeros + 1, 255);
    if (busy) stretches->end[size] = start + length;
    return busy;
}

// Where a stretch of zeros begins, goes to its end; true if there was one.
WALK(bool) walk_zeros(const ck_mixer *mixer, interval_t *interval, ck_stretches *stretches, const ck_sparse *block, size_t *i,
                      uint32_t slow_class, const bool is_writer, const bool has_previous) {
    if (is_writer && stretches->next <= *i) stretches->next = next_nonzero(block, *i);
    for (int size = 2; size > 0; size--) {
        const size_t length = stretch_size(size);
        if (*i < stretches->end[size] || *i + length > block->count) continue;
        if (walk_stretch(mixer, interval, stretches, *i, size, slow_class, block->above, is_writer, has_previous)) continue;
        if (size == 2) {
            stretches->recent[0] = 0;
            stretches->zeros[0] = least(stretches->zeros[0] + 8, 255);
        }
        *i += length;
        return true;
    }
    return false;
}

// From where the mixer is on while there is room; false when a symbol is beyond the alphabet.
//
// A reader has `read`, which becomes the symbols; a writer has those of `block`.
WALK(bool) walk(ck_mixer *mixer, interval_t *interval, const ck_sparse *block, uint16_t *read, uint32_t alphabet,
                const bool is_writer, const bool has_previous) {
    const uint8_t *const previous = block->above;
    const size_t count = block->count;
    // A copy, which stays in registers.
    const ck_mixer own = *mixer;
    uint32_t *const counters = mixer->counters;
    ck_stretches *const stretches = &mixer->stretches;
    uint32_t fast = mixer->fast, slow = mixer->slow, last = mixer->last[0], last2 = mixer->last[1], last3 = mixer->last[2];
    size_t i = mixer->next, group_end = stretches->end[0];
    places_t places = {{counters, counters, counters, counters}};
    while (i < count && (!is_writer || interval->to <= interval->last)) {
        const uint32_t slow_class = least(half_octave(slow), 17), fast_class = least(half_octave(fast), 15);
        const uint32_t context0 =
            least(level_of(last), 3) << 4 | least(level_of(last2), 3) << 2 | least(level_of(last3), 3);
        look_at(&places, counters, context0, fast_class * 18 + slow_class);
        // Few enough that aren't zero for eight elements and more to be worth one question.
        if (i >= group_end && slow < 16 && i + 8 <= count) {
            const size_t start = i;
            if (walk_zeros(&own, interval, stretches, block, &i, slow_class, is_writer, has_previous)) {
                if (!is_writer) memset(read + start, 0, (i - start) * sizeof *read);
                fast = slow = last = last2 = last3 = 0;
                continue;
            }
            group_end = i + 8;
            uint32_t busy = is_writer ? stretches->next < group_end : 1;
            if (has_previous) {
                uint32_t before = count_nonzero(previous + i, 8);
                look_above(&places, counters, least(before, 4) * 9, least(before, 3) * 18 + slow_class);
            }
            if (!is_known(stretches, i, 0) &&
                !ask(&own, interval, &places, GROUP_NODE, 31, busy, is_writer, has_previous)) {
                if (!is_writer)
                    for (size_t k = i; k < group_end; k++) read[k] = 0;
                fast >>= 3;
                slow -= slow * 3 >> 3;
                last = last2 = last3 = 0;
                i = group_end;
                continue;
            }
        }
        // In a group that is known to hold something, and of which there were only zeros.
        const bool is_awaited = i < group_end && stretches->behind + 8 <= group_end;
        if (is_awaited) look_at(&places, counters, 64 + (uint32_t)(i + 8 - group_end), fast_class * 18 + slow_class);
        uint32_t above = 0;
        if (has_previous) {
            above = level_of(previous[i]);
            uint32_t before = i > 0 ? level_of(previous[i - 1]) : 0, after = i + 1 < count ? level_of(previous[i + 1]) : 0;
            look_above(&places, counters, least(above, 4) * 9 + half_octave(least(before, 7) + least(after, 7)),
                       least(above, 3) * 18 + slow_class);
        }
        const uint32_t symbol = is_writer ? symbol_at(block, i) : 0;
        uint32_t level = level_of(symbol), negative = 0;
        if ((is_awaited && i + 1 == group_end) ||
            ask(&own, interval, &places, 0, least(slow_class, 15), level != 0, is_writer, has_previous)) {
            level = walk_level(&own, interval, &places, level, level_of(last), is_writer, has_previous);
            if (level > alphabet / 2) return false;
            // Signs have contexts of their own, in the same tables.
            const uint32_t one = side_of(last), two = side_of(last2);
            look_at(&places, counters, one * 3 + two, one * 4 + least(level_of(last), 3));
            if (has_previous) {
                const uint32_t mine = side_of(previous[i]);
                look_above(&places, counters, mine * 2 + (above > 1), mine * 3 + one);
            }
            negative = ask(&own, interval, &places, 1, 17, symbol != 0 && !(symbol & 1), is_writer, has_previous);
            // An even alphabet lacks the negative of its highest level.
            if (2 * level - 1 + negative >= alphabet) return false;
            stretches->behind = i + 1;
        } else {
            level = 0;
        }
        last3 = last2;
        last2 = last;
        last = level == 0 ? 0 : 2 * level - 1 + negative;
        if (!is_writer) read[i] = (uint16_t)last;
        const uint32_t weight = least(level, 15) << 4;
        fast = (fast * 3 >> 2) + weight;
        slow = slow - (slow >> 4) + weight;
        i++;
    }
    mixer->fast = fast, mixer->slow = slow, mixer->last[0] = last, mixer->last[1] = last2, mixer->last[2] = last3;
    mixer->next = i, stretches->end[0] = group_end;
    return true;
}

WALK(size_t) encode(ck_mixer *mixer, const ck_sparse *block, uint32_t alphabet, uint8_t *bytes, size_t room) {
    if (room < CK_MIXED_ELEMENT) return 0;
    interval_t interval = {
        .low = mixer->low, .range = mixer->range, .to = bytes, .last = bytes + (room - CK_MIXED_ELEMENT)};
    bool fits = block->above != NULL ? walk(mixer, &interval, block, NULL, alphabet, true, true)
                                     : walk(mixer, &interval, block, NULL, alphabet, true, false);
    mixer->low = interval.low;
    mixer->range = interval.range;
    return fits ? (size_t)(interval.to - bytes) : SIZE_MAX;
}

WALK(bool) decode(ck_mixer *mixer, const uint8_t *bytes, size_t length, const uint8_t *previous, uint32_t alphabet,
                  uint16_t *symbols, size_t count) {
    interval_t interval = {.range = UINT32_MAX, .from = bytes, .end = bytes + length};
    begin_reading(&interval);
    const ck_sparse block = {NULL, NULL, previous, NULL, count};
    bool fits = previous != NULL ? walk(mixer, &interval, &block, symbols, alphabet, false, true)
                                 : walk(mixer, &interval, &block, symbols, alphabet, false, false);
    // Every byte was needed: nothing stands behind the last symbol.
    return fits && interval.from == interval.end;
}
