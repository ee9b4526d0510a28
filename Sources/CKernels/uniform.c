// The dead-zone quantizer: thresholds follow the recent activity, which the coder of the levels sees, too.

#include "CKernels.h"
#include "delta.h"

// Fast and slow decaying sums of magnitudes.
typedef struct {
    uint32_t fast;
    uint32_t slow;
} activity_t;

// Half the class of a sum, in octaves that begin at 2, 3, 6, 12, 24 and 48: the last of them has no end.
static const uint8_t octaves[49] = {0, 0, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5,
                                    5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 6};

static inline uint32_t kind_of(activity_t activity) {
    uint32_t fast = activity.fast < 48 ? activity.fast : 48, slow = activity.slow < 48 ? activity.slow : 48;
    return 7u * octaves[fast] + octaves[slow];
}

static inline void note(activity_t *activity, uint32_t level) {
    uint32_t weight = (level < 15 ? level : 15) << 4;
    activity->fast = (activity->fast * 3 >> 2) + weight;
    activity->slow = activity->slow - (activity->slow >> 4) + weight;
}

// What doesn't depend on the activity comes first, so that an element waits for little of the one before it, and nothing is
// a branch that half of the elements would take. Magnitudes are compared as whole numbers.
static inline uint16_t one(float delta, float inverse, const uint32_t *thresholds, activity_t *activity, uint64_t *kinds,
                           ck_tally *tally) {
    uint32_t bits = bits_of(delta * inverse), size = bits & MAGNITUDE;
    float ratio;
    memcpy(&ratio, &size, sizeof ratio);
    uint32_t kind = kind_of(*activity);
    if (!(ratio < CK_UNIFORM_END)) {
        kinds[kind]++;
        tally->beyond++;
        note(activity, 0);
        return 0;
    }
    uint32_t level = (uint32_t)(int32_t)(ratio + CK_UNIFORM_ROUNDING);
    level += level == 0;
    uint32_t is_sent = size >= thresholds[kind], mask = 0 - is_sent;
    level &= mask;
    note(activity, level);
    kinds[kind] += 1 + ((uint64_t)is_sent << 32);
    uint32_t slot = level < CK_LEVELS_SUMMED ? level : CK_LEVELS_SUMMED;
    double offset = (double)ratio - (double)(int32_t)level;
    tally->counts[slot]++;
    tally->offsets[slot] += offset;
    tally->squares[slot] += offset * offset;
    if (level > tally->highest) tally->highest = level;
    return (uint16_t)((2 * level - 1 + (bits >> 31)) & mask);
}

void ck_quantize_uniform(const float *deltas, size_t count, float inverse, const float *thresholds, uint16_t *symbols,
                         ck_tally *tally) {
    activity_t activity = {0, 0};
    // What was seen, and above that what was sent: a block has far fewer elements.
    uint64_t kinds[CK_ACTIVITY_KINDS] = {0};
    const uint32_t lowest = bits_of(CK_UNIFORM_LOWEST);
    uint32_t sizes[CK_ACTIVITY_KINDS];
    for (int kind = 0; kind < CK_ACTIVITY_KINDS; kind++) sizes[kind] = bits_of(thresholds[kind]);
    for (size_t i = 0; i < count;) {
        size_t end = i + 8 < count ? i + 8 : count;
        if (end - i == 8) {
            // Eight at a time where nothing happens.
            uint32_t is_loud = 0;
            for (size_t k = 0; k < 8; k++) is_loud |= (bits_of(deltas[i + k] * inverse) & MAGNITUDE) >= lowest;
            if (!is_loud) {
                float sum = 0;
                for (size_t k = 0; k < 8; k++) {
                    float ratio = deltas[i + k] * inverse;
                    sum += ratio * ratio;
                }
                tally->quiet += (double)sum;
                if (symbols != NULL) memset(symbols + i, 0, 8 * sizeof *symbols);
                kinds[kind_of(activity)] += 8;
                activity.fast >>= 3;
                activity.slow -= activity.slow * 3 >> 3;
                i = end;
                continue;
            }
        }
        for (; i < end; i++) {
            uint16_t symbol = one(deltas[i], inverse, sizes, &activity, kinds, tally);
            if (symbols != NULL) symbols[i] = symbol;
        }
    }
    for (int kind = 0; kind < CK_ACTIVITY_KINDS; kind++) {
        tally->seen[kind] += kinds[kind] & UINT32_MAX;
        tally->sent[kind] += kinds[kind] >> 32;
    }
}

void ck_tally_merge(ck_tally *into, const ck_tally *other) {
    for (int slot = 0; slot <= CK_LEVELS_SUMMED; slot++) {
        into->offsets[slot] += other->offsets[slot];
        into->squares[slot] += other->squares[slot];
        into->counts[slot] += other->counts[slot];
    }
    into->quiet += other->quiet;
    for (int kind = 0; kind < CK_ACTIVITY_KINDS; kind++) {
        into->seen[kind] += other->seen[kind];
        into->sent[kind] += other->sent[kind];
    }
    into->beyond += other->beyond;
    if (other->highest > into->highest) into->highest = other->highest;
}

// Sums of squares are taken in four lanes of double precision, element by element; vectors and plain code do the same
// additions.

static double sum_of(const double *lanes) { return lanes[0] + lanes[1] + lanes[2] + lanes[3]; }

static void deltas_plain(const float *target, const float *previous, size_t start, size_t count, float *deltas,
                           double *energy, double *norm) {
    size_t i = start;
    for (; i + 4 <= count; i += 4) {
        for (size_t k = 0; k < 4; k++) {
            float delta = target[i + k] - previous[i + k];
            deltas[i + k] = delta;
            energy[k] += (double)delta * (double)delta;
            norm[k] += (double)target[i + k] * (double)target[i + k];
        }
    }
    for (; i < count; i++) {
        float delta = target[i] - previous[i];
        deltas[i] = delta;
        energy[0] += (double)delta * (double)delta;
        norm[0] += (double)target[i] * (double)target[i];
    }
}

static void misses_plain(const float *a, const float *b, size_t start, size_t count, double *sums) {
    size_t i = start;
    for (; i + 4 <= count; i += 4) {
        for (size_t k = 0; k < 4; k++) {
            double miss = (double)a[i + k] - (double)b[i + k];
            sums[k] += miss * miss;
        }
    }
    for (; i < count; i++) {
        double miss = (double)a[i] - (double)b[i];
        sums[0] += miss * miss;
    }
}

#ifdef CK_VECTOR
CK_VECTOR static inline __m256d add_square(__m256d sum, __m256d value) {
    return _mm256_add_pd(sum, _mm256_mul_pd(value, value));
}

CK_VECTOR static size_t deltas_vector(const float *target, const float *previous, size_t count, float *deltas,
                                      double *energy, double *norm) {
    __m256d energies = _mm256_loadu_pd(energy), norms = _mm256_loadu_pd(norm);
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        __m128 live = _mm_loadu_ps(target + i), delta = _mm_sub_ps(live, _mm_loadu_ps(previous + i));
        _mm_storeu_ps(deltas + i, delta);
        energies = add_square(energies, _mm256_cvtps_pd(delta));
        norms = add_square(norms, _mm256_cvtps_pd(live));
    }
    _mm256_storeu_pd(energy, energies);
    _mm256_storeu_pd(norm, norms);
    return i;
}

CK_VECTOR static size_t misses_vector(const float *a, const float *b, size_t count, double *sums) {
    __m256d lanes = _mm256_loadu_pd(sums);
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        lanes = add_square(
            lanes, _mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(a + i)), _mm256_cvtps_pd(_mm_loadu_ps(b + i))));
    }
    _mm256_storeu_pd(sums, lanes);
    return i;
}
#endif

ck_sums ck_deltas(const float *target, const float *previous, size_t count, float *deltas) {
    double energy[4] = {0}, norm[4] = {0};
    size_t done = 0;
#ifdef CK_VECTOR
    if (ck_has_vectors()) done = deltas_vector(target, previous, count, deltas, energy, norm);
#endif
    deltas_plain(target, previous, done, count, deltas, energy, norm);
    return (ck_sums){.error = sum_of(energy), .norm = sum_of(norm)};
}

double ck_squared_distance(const float *a, const float *b, size_t count) {
    double sums[4] = {0};
    size_t done = 0;
#ifdef CK_VECTOR
    if (ck_has_vectors()) done = misses_vector(a, b, count, sums);
#endif
    misses_plain(a, b, done, count, sums);
    return sum_of(sums);
}
