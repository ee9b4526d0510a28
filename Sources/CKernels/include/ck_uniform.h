// The quantizer of `auto`, with a dead zone, and groups of neighbours of which something may be sent.
#ifndef CKERNELS_UNIFORM_H
#define CKERNELS_UNIFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ck_deltas.h"

#pragma clang assume_nonnull begin

/// Kinds of recent activity, by which thresholds differ: classes of a slowly decaying sum of levels times those of a fast one.
#define CK_ACTIVITY_CLASSES 8
#define CK_ACTIVITY_KINDS 64
/// In steps: magnitudes from here on are exceptions, no threshold is lower than that, and a magnitude of k + 1 less this is
/// still level k.
#define CK_UNIFORM_END 16383.5f
#define CK_UNIFORM_LOWEST 0.5f
#define CK_UNIFORM_ROUNDING 0.4f
/// Levels from here on are summed together.
#define CK_LEVELS_SUMMED 9

/// A dead-zone quantizer. In steps: the threshold that activity is told by, and those of each kind of activity.
typedef struct {
    float inverse;
    float usual;
    float thresholds[CK_ACTIVITY_KINDS];
} ck_uniform;

/// What a dead-zone quantizer did to some elements. In steps: the squares of the offsets from the level, 0 where nothing is
/// sent, without what is beyond the last level. By level, from 1 on: how many there are, and their offsets' sums. By kind of
/// activity, if wanted: how many were seen, and how many of them sent.
typedef struct {
    double squares;
    double offsets[CK_LEVELS_SUMMED + 1];
    uint64_t counts[CK_LEVELS_SUMMED + 1];
    uint64_t seen[CK_ACTIVITY_KINDS];
    uint64_t sent[CK_ACTIVITY_KINDS];
    uint64_t beyond;
    uint32_t highest;
} ck_tally;

/// Quantizes the deltas target - previous, or `target` itself, and adds to `tally`. Symbols are 0 for nothing, 2k - 1 for the
/// level k, 2k for the level -k.
void ck_quantize_uniform(const float *target, const float *_Nullable previous, size_t count, const ck_uniform *rule,
                         uint16_t *_Nullable symbols, bool counts_kinds, ck_tally *tally);
/// The same with activity told by what is sent. Its kinds are others, and are counted whether they are wanted or not.
void ck_quantize_patiently(const float *target, const float *_Nullable previous, size_t count, const ck_uniform *rule,
                           uint16_t *_Nullable symbols, bool counts_kinds, ck_tally *tally);
void ck_tally_merge(ck_tally *into, const ck_tally *other);

/// Neighbours that are packed together.
#define CK_LOUD_GROUP 8
/// The groups of a piece in which a delta isn't small, one after another, filled up with zeros: their elements, their symbols, and
/// which groups they are.
typedef struct {
    float *targets;
    float *previous;
    uint16_t *symbols;
    uint32_t *groups;
    size_t count;
    // Squares of the other groups' deltas, and of all targets.
    ck_sums sums;
    // An element of the previous state is -0.0.
    bool has_negative_zero;
} ck_loud;

/// Packs the groups in which the magnitude of a delta target - previous is `floor` or more, or no number. There is room for all.
void ck_list_loud(const float *target, const float *previous, size_t count, float floor, ck_loud *loud);
/// What `ck_quantize_uniform` does to the elements of groups `first` to before `end`, if nothing would be sent of those that aren't
/// packed; their squares are left out. Symbols are written if wanted.
void ck_quantize_loud(const ck_loud *loud, size_t first, size_t end, const ck_uniform *rule, bool writes, bool counts_kinds,
                      ck_tally *tally);
/// Puts the symbols of groups in which one isn't zero in their places, the last of them as a whole group, too, and sets the bits of
/// those that aren't.
void ck_spread_loud(const ck_loud *loud, uint16_t *symbols, uint64_t *nonzero);
/// Adds the values of the symbols to a piece of `count` elements, and zero to all others.
void ck_apply_loud(const ck_loud *loud, const float *values, float *reconstruction, size_t count);

/// Squares of what `previous` with the values of the symbols, which are below `alphabet`, misses of the target; without
/// symbols as it is.
double ck_missed(const float *target, const float *previous, const uint16_t *_Nullable symbols, size_t count,
                 const float *values, uint32_t alphabet);

#pragma clang assume_nonnull end

#endif
