// What the paths of the dead-zone quantizer share.
#ifndef CK_UNIFORM_H
#define CK_UNIFORM_H
#include "delta.h"

// Sums are in lanes of single precision here.
#define LANES 16
// Elements that are decided on together: within them the slow sum stays as it is.
#define GROUP_SIZE 8
// A sum of levels loses a quarter with each element, another nearly half with each group.
#define FAST 0.75f
#define FAST8 (FAST * FAST * FAST * FAST * FAST * FAST * FAST * FAST)
#define SLOW8 0.596f
#define MOST_WEIGHT 15
// Classes are octaves of a sixteenth more than the sum.
#define CLASS_OFFSET 0.0625f
#define CLASS_EXPONENT (127 - 4)

// What is carried from one group to the next, and where some are left out the number of the one to come.
typedef struct {
    float fast;
    float slow;
    uint32_t next;
} activity_t;

// Sums by lane, of sixteen elements in turn; offsets and counts by level, from 1 on.
typedef struct {
    float squares[LANES];
    float offsets[CK_LEVELS_SUMMED + 1][LANES];
    int32_t counts[CK_LEVELS_SUMMED + 1][LANES];
    int32_t highest[LANES];
    uint32_t beyond;
} tally_lanes_t;

static inline uint32_t class_of(float sum) {
    uint32_t class = (bits_of(sum + CLASS_OFFSET) >> 23) - CLASS_EXPONENT;
    return class < CK_ACTIVITY_CLASSES ? class : CK_ACTIVITY_CLASSES - 1;
}

// Below it nothing is sent, and nothing counts as activity.
static inline float lowest_threshold(const ck_uniform *rule) {
    float lowest = rule->usual;
    for (int kind = 0; kind < CK_ACTIVITY_KINDS; kind++)
        if (rule->thresholds[kind] < lowest) lowest = rule->thresholds[kind];
    return lowest;
}

#ifdef CK_VECTOR
// Pairs of groups, without counting kinds; returns how far it came.
size_t ck_quantize_uniform_wide(const float *target, const float *previous, size_t count, const ck_uniform *rule,
                                activity_t *activity, uint16_t *symbols, tally_lanes_t *lanes);
#endif

#endif
