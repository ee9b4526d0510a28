// Codes of groups of symbols: few look-ups for many symbols, in four bit streams side by side.

#include "groups.h"

#define WINDOW ((1u << CK_GROUP_BITS) - 1)
// Symbols of a look-up at most, and look-ups that 57 bits are enough for.
#define MOST 6
#define LOOKUPS 5

static inline uint32_t code_of(const uint32_t *codes, size_t alphabet, size_t group, const uint16_t *symbols, size_t count) {
    size_t index = 0;
    for (size_t place = group; place-- > 0;) index = index * alphabet + (place < count ? symbols[place] : 0);
    return codes[index];
}

// The compiler makes a loop of its own for each size of group. Begins at a symbol that a group begins with.
static inline __attribute__((always_inline)) void pack(const uint32_t *codes, const size_t alphabet, const size_t group,
                                                       const uint16_t *symbols, size_t i, size_t count, packer_t *packer) {
    packer_t own = *packer;
    for (; i + 4 * group <= count; i += 4 * group) {
        uint64_t bits = 0;
        uint32_t length = 0;
#pragma clang loop unroll(full)
        for (size_t k = 0; k < 4; k++) {
            uint32_t code = code_of(codes, alphabet, group, symbols + i + k * group, group);
            bits |= (uint64_t)(code & 0xffff) << length;
            length += code >> 16;
        }
        put_bits(&own, bits, length);
    }
    for (; i < count; i += group) {
        uint32_t code = code_of(codes, alphabet, group, symbols + i, count - i);
        put_bits(&own, code & 0xffff, code >> 16);
    }
    *packer = own;
}

size_t ck_pack_groups(const uint32_t *codes, uint32_t alphabet, uint32_t group, const uint16_t *symbols, size_t count,
                      uint8_t *bytes) {
    packer_t packer = {bytes, 0, 0};
    size_t i = 0;
#ifdef CK_VECTOR
    if (ck_has_wide_vectors()) i = ck_pack_wide(codes, alphabet, group, symbols, count, &packer);
#endif
    switch (group) {
    case 2: pack(codes, alphabet, 2, symbols, i, count, &packer); break;
    case 3: pack(codes, alphabet, 3, symbols, i, count, &packer); break;
    case 4: pack(codes, alphabet, 4, symbols, i, count, &packer); break;
    default: pack(codes, alphabet, group, symbols, i, count, &packer);
    }
    return (size_t)(packer.next - bytes) + (packer.bits > 0);
}

// A stream that is being read: the bits that were used, and where the next symbols go.
typedef struct {
    const uint8_t *bytes;
    size_t size;
    size_t position;
    uint8_t *next;
    uint8_t *end;
} stream_t;

static inline bool has_room(const stream_t *stream) {
    return stream->end - stream->next >= MOST * LOOKUPS + 8 && (stream->position >> 3) + 8 <= stream->size;
}

static inline __attribute__((always_inline)) void look_up(const uint64_t *entries, stream_t *stream) {
    uint64_t bits = load64(stream->bytes + (stream->position >> 3)) >> (stream->position & 7);
    uint8_t *next = stream->next;
    size_t position = stream->position;
#pragma clang loop unroll(full)
    for (int k = 0; k < LOOKUPS; k++) {
        uint64_t entry = entries[bits & WINDOW];
        store64(next, entry);
        next += entry >> 48 & 255;
        bits >>= entry >> 56;
        position += entry >> 56;
    }
    stream->next = next;
    stream->position = position;
}

// The end of a stream, group by group.
static bool finish(const uint64_t *entries, const uint8_t *lengths, uint32_t group, stream_t *stream) {
    while (stream->next < stream->end) {
        uint64_t bits = 0;
        for (size_t k = 0; k < 3 && (stream->position >> 3) + k < stream->size; k++)
            bits |= (uint64_t)stream->bytes[(stream->position >> 3) + k] << (8 * k);
        bits = bits >> (stream->position & 7) & WINDOW;
        for (uint32_t place = 0; place < group; place++) {
            uint8_t symbol = (uint8_t)(entries[bits] >> (8 * place));
            if (stream->next < stream->end) *stream->next++ = symbol;
            // What fills up the last group is zero.
            else if (symbol != 0) return false;
        }
        stream->position += lengths[bits];
    }
    if ((stream->position + 7) >> 3 != stream->size) return false;
    return (stream->position & 7) == 0 || stream->bytes[stream->size - 1] >> (stream->position & 7) == 0;
}

bool ck_unpack_groups(const uint64_t *entries, const uint8_t *lengths, uint32_t group, const uint8_t *const *bytes,
                      const size_t *sizes, size_t quarter, size_t count, uint8_t *scratch, uint16_t *symbols) {
    stream_t streams[4];
    for (size_t q = 0; q < 4; q++) {
        size_t start = q * quarter < count ? q * quarter : count;
        size_t own = count - start < quarter ? count - start : quarter;
        uint8_t *first = scratch + q * (quarter + 8);
        streams[q] = (stream_t){bytes[q], sizes[q], 0, first, first + own};
    }
    while (has_room(&streams[0]) && has_room(&streams[1]) && has_room(&streams[2]) && has_room(&streams[3])) {
#pragma clang loop unroll(full)
        for (size_t q = 0; q < 4; q++) look_up(entries, &streams[q]);
    }
    for (size_t q = 0; q < 4; q++) {
        while (has_room(&streams[q])) look_up(entries, &streams[q]);
        if (!finish(entries, lengths, group, &streams[q])) return false;
        size_t start = q * quarter < count ? q * quarter : count;
        const uint8_t *first = scratch + q * (quarter + 8);
        size_t own = (size_t)(streams[q].end - first);
        for (size_t i = 0; i < own; i++) symbols[start + i] = first[i];
    }
    return true;
}
