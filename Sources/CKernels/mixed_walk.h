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

// From where the mixer is up to `end`; false when a level is beyond the highest.
WALK(bool) walk(ck_mixer *mixer, interval_t *interval, uint16_t *symbols, const uint8_t *previous, size_t count,
                size_t end, uint32_t highest, const bool is_writer, const bool has_previous) {
    // A copy, which stays in registers.
    const ck_mixer own = *mixer;
    uint32_t *const counters = mixer->counters;
    uint32_t fast = mixer->fast, slow = mixer->slow, last = mixer->last[0], last2 = mixer->last[1], last3 = mixer->last[2];
    size_t i = mixer->next, group_end = mixer->group_end;
    places_t places = {{counters, counters, counters, counters}};
    while (i < end) {
        const uint32_t slow_class = least(half_octave(slow), 17), fast_class = least(half_octave(fast), 15);
        look_at(&places, counters,
                least(level_of(last), 3) << 4 | least(level_of(last2), 3) << 2 | least(level_of(last3), 3),
                fast_class * 18 + slow_class);
        // Few enough that aren't zero for eight elements to be worth one question.
        if (i >= group_end && slow < 16 && i + 8 <= count) {
            group_end = i + 8;
            uint32_t busy = 0;
            if (is_writer)
                for (size_t k = i; k < group_end; k++) busy |= symbols[k];
            if (has_previous) {
                uint32_t before = 0;
                for (size_t k = i; k < group_end; k++) before += previous[k] != 0;
                look_above(&places, counters, least(before, 4) * 9, least(before, 3) * 18 + slow_class);
            }
            if (!ask(&own, interval, &places, GROUP_NODE, 31, busy != 0, is_writer, has_previous)) {
                if (!is_writer)
                    for (size_t k = i; k < group_end; k++) symbols[k] = 0;
                fast >>= 3;
                slow -= slow * 3 >> 3;
                last = last2 = last3 = 0;
                i = group_end;
                continue;
            }
        }
        uint32_t above = 0;
        if (has_previous) {
            above = level_of(previous[i]);
            uint32_t before = i > 0 ? level_of(previous[i - 1]) : 0, after = i + 1 < count ? level_of(previous[i + 1]) : 0;
            look_above(&places, counters, least(above, 4) * 9 + half_octave(least(before, 7) + least(after, 7)),
                       least(above, 3) * 18 + slow_class);
        }
        const uint32_t symbol = is_writer ? symbols[i] : 0;
        uint32_t level = level_of(symbol), negative = 0;
        if (ask(&own, interval, &places, 0, least(slow_class, 15), level != 0, is_writer, has_previous)) {
            level = walk_level(&own, interval, &places, level, level_of(last), is_writer, has_previous);
            if (level > highest) return false;
            // Signs have contexts of their own, in the same tables.
            const uint32_t one = side_of(last), two = side_of(last2);
            look_at(&places, counters, one * 3 + two, one * 4 + least(level_of(last), 3));
            if (has_previous) {
                const uint32_t mine = side_of(previous[i]);
                look_above(&places, counters, mine * 2 + (above > 1), mine * 3 + one);
            }
            negative = ask(&own, interval, &places, 1, 17, symbol != 0 && !(symbol & 1), is_writer, has_previous);
        } else {
            level = 0;
        }
        last3 = last2;
        last2 = last;
        last = level == 0 ? 0 : 2 * level - 1 + negative;
        if (!is_writer) symbols[i] = (uint16_t)last;
        const uint32_t weight = least(level, 15) << 4;
        fast = (fast * 3 >> 2) + weight;
        slow = slow - (slow >> 4) + weight;
        i++;
    }
    mixer->fast = fast, mixer->slow = slow, mixer->last[0] = last, mixer->last[1] = last2, mixer->last[2] = last3;
    mixer->next = i, mixer->group_end = group_end;
    return true;
}

WALK(size_t) encode(ck_mixer *mixer, const uint16_t *symbols, const uint8_t *previous, size_t count, size_t end,
                    uint8_t *bytes) {
    interval_t interval = {mixer->low, mixer->range, 0, bytes, NULL, NULL};
    // A writer changes none.
    uint16_t *same = (uint16_t *)(uintptr_t)symbols;
    if (previous != NULL) walk(mixer, &interval, same, previous, count, end, UINT32_MAX, true, true);
    else walk(mixer, &interval, same, NULL, count, end, UINT32_MAX, true, false);
    mixer->low = interval.low;
    mixer->range = interval.range;
    return (size_t)(interval.to - bytes);
}

WALK(bool) decode(ck_mixer *mixer, const uint8_t *bytes, size_t length, const uint8_t *previous, uint32_t highest,
                  uint16_t *symbols, size_t count) {
    interval_t interval = {0, UINT32_MAX, 0, NULL, bytes, bytes + length};
    begin_reading(&interval);
    bool fits = previous != NULL ? walk(mixer, &interval, symbols, previous, count, count, highest, false, true)
                                 : walk(mixer, &interval, symbols, NULL, count, count, highest, false, false);
    // Every byte was needed: nothing stands behind the last symbol.
    return fits && interval.from == interval.end;
}
