// The dead-zone quantizer whose activity is what is sent, as the coder of the levels sees it: each element waits for the one
// before it.

#include "delta.h"

#define MOST_WEIGHT 15

// Fast and slow decaying sums of levels, in sixteenths.
typedef struct {
    uint32_t fast;
    uint32_t slow;
} recent_t;

// Half the class of a sum, in octaves that begin at 2, 3, 6, 12, 24 and 48: the last of them has no end.
static const uint8_t octaves[49] = {0, 0, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5,
                                    5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6};

static inline uint32_t kind_of(recent_t recent) {
    uint32_t fast = recent.fast < 48 ? recent.fast : 48, slow = recent.slow < 48 ? recent.slow : 48;
    return CK_ACTIVITY_CLASSES * octaves[slow] + octaves[fast];
}

static inline void note(recent_t *recent, uint32_t level) {
    uint32_t weight = (level < MOST_WEIGHT ? level : MOST_WEIGHT) << 4;
    recent->fast = (recent->fast * 3 >> 2) + weight;
    recent->slow = recent->slow - (recent->slow >> 4) + weight;
}

// What doesn't depend on the activity comes first, so that an element waits for little of the one before it, and nothing is
// a branch that half of the elements would take. Magnitudes are compared as whole numbers.
static inline uint16_t one(float delta, float inverse, const uint32_t *thresholds, recent_t *recent, ck_tally *tally) {
    uint32_t bits = bits_of(delta * inverse), size = bits & MAGNITUDE;
    float ratio;
    memcpy(&ratio, &size, sizeof ratio);
    uint32_t kind = kind_of(*recent);
    tally->seen[kind]++;
    if (!(ratio < CK_UNIFORM_END)) {
        tally->beyond++;
        note(recent, 0);
        return 0;
    }
    uint32_t level = (uint32_t)(int32_t)(ratio + CK_UNIFORM_ROUNDING);
    level += level == 0;
    uint32_t is_sent = size >= thresholds[kind], mask = 0 - is_sent;
    level &= mask;
    note(recent, level);
    tally->sent[kind] += is_sent;
    uint32_t slot = level < CK_LEVELS_SUMMED ? level : CK_LEVELS_SUMMED;
    double offset = (double)ratio - (double)(int32_t)level;
    // Of level 0 these aren't needed.
    tally->counts[slot]++;
    tally->offsets[slot] += offset;
    tally->squares += offset * offset;
    if (level > tally->highest) tally->highest = level;
    return (uint16_t)((2 * level - 1 + (bits >> 31)) & mask);
}

void ck_quantize_patiently(const float *target, const float *previous, size_t count, const ck_uniform *rule,
                           uint16_t *symbols, bool counts_kinds, ck_tally *tally) {
    (void)counts_kinds;
    recent_t recent = {0, 0};
    const uint32_t lowest = bits_of(CK_UNIFORM_LOWEST);
    uint32_t thresholds[CK_ACTIVITY_KINDS];
    for (int kind = 0; kind < CK_ACTIVITY_KINDS; kind++) thresholds[kind] = bits_of(rule->thresholds[kind]);
    for (size_t i = 0; i < count; i += 8) {
        size_t own = count - i < 8 ? count - i : 8;
        float deltas[8] = {0};
        for (size_t k = 0; k < own; k++) deltas[k] = previous == NULL ? target[i + k] : target[i + k] - previous[i + k];
        uint32_t is_loud = own < 8;
        for (size_t k = 0; k < 8; k++) is_loud |= (bits_of(deltas[k] * rule->inverse) & MAGNITUDE) >= lowest;
        if (is_loud) {
            for (size_t k = 0; k < own; k++) {
                uint16_t symbol = one(deltas[k], rule->inverse, thresholds, &recent, tally);
                if (symbols != NULL) symbols[i + k] = symbol;
            }
            continue;
        }
        // Eight at a time where nothing happens.
        float sum = 0;
        for (size_t k = 0; k < 8; k++) sum += deltas[k] * rule->inverse * (deltas[k] * rule->inverse);
        tally->squares += (double)sum;
        if (symbols != NULL) memset(symbols + i, 0, 8 * sizeof *symbols);
        tally->seen[kind_of(recent)] += 8;
        recent.fast >>= 3;
        recent.slow -= recent.slow * 3 >> 3;
    }
}
