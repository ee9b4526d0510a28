// How the counters of mixed contexts lie. docs/formats/auto.md defines them.
#ifndef CK_MIXED_H
#define CK_MIXED_H
#include "CKernels.h"
#include "dispatch.h"
#include "interval.h"
#include "masks.h"
#include <string.h>

// Questions about an element: 0 is it nonzero, 1 is it negative, 2 to 13 is it beyond 1 to 12, 14 bits of an escape, 15 is there a
// nonzero in its group, 0 again of a stretch of 64 or 512.
#define NODES 16
#define GROUP_NODE 15
#define ESCAPE_NODE 14
#define UNARY_END 13
// Where the counters of the contexts of each kind begin.
#define BASE1 (72 * NODES)
#define BASE2 (BASE1 + 16 * 18 * NODES)
#define BASE3 (BASE2 + 5 * 9 * NODES)
#define BASE4 (BASE3 + 4 * 18 * NODES)
// Of each size of stretch: by what the last two were, by those that were zero since, twice by the frame before.
#define STRETCH1 4
#define STRETCH2 (STRETCH1 + 16 * 9)
#define STRETCH3 (STRETCH2 + 2 * 18)
#define STRETCH_CONTEXTS (STRETCH3 + 16 * 4)
#define SEEN_MOST 255
_Static_assert(CK_MIXED_COUNTERS == BASE4 + 2 * STRETCH_CONTEXTS, "counters of all contexts");

// Where the contexts at hand have their counters, the first node's of each.
typedef struct {
    uint32_t *of[4];
} places_t;

static inline void look_at(places_t *places, uint32_t *counters, uint32_t context0, uint32_t context1) {
    places->of[0] = counters + context0 * NODES;
    places->of[1] = counters + BASE1 + context1 * NODES;
}

static inline void look_above(places_t *places, uint32_t *counters, uint32_t context2, uint32_t context3) {
    places->of[2] = counters + BASE2 + context2 * NODES;
    places->of[3] = counters + BASE3 + context3 * NODES;
}

static inline uint32_t least(uint32_t one, uint32_t two) { return one < two ? one : two; }

// 0 for 0, else 1 + two for each octave and one for its upper half.
static inline uint32_t half_octave(uint32_t value) {
    if (value < 2) return value;
    uint32_t exponent = 31 - (uint32_t)__builtin_clz(value);
    return 1 + 2 * exponent + (value >> (exponent - 1) & 1);
}

// What a symbol stands for: 0 nothing, 2k - 1 the level +k, 2k the level -k.
static inline uint32_t level_of(uint32_t symbol) { return (symbol + 1) >> 1; }
// 0 for a negative level, 1 for none, 2 for a positive one.
static inline uint32_t side_of(uint32_t symbol) { return symbol == 0 ? 1 : 2 * (symbol & 1); }

#ifdef CK_VECTOR
size_t ck_mixed_encode_vector(ck_mixer *mixer, const ck_sparse *block, uint32_t alphabet, uint8_t *bytes, size_t room);
bool ck_mixed_decode_vector(ck_mixer *mixer, const uint8_t *bytes, size_t length, const uint8_t *previous,
                            uint32_t alphabet, uint16_t *symbols, size_t count);
#endif

#endif
