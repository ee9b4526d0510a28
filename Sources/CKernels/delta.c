// Deltas: their quantization, and their application.

#include "delta.h"

atomic_int ck_best_path = CK_PATH_WIDE;

void ck_use_path(ck_path best) { atomic_store(&ck_best_path, (int)best); }

// Listed deltas from one to be fetched to the one at hand.
#define LISTED_AHEAD 128

static void deltas_plain(const float *target, const float *previous, size_t start, size_t count, float *deltas,
                         lanes_t *lanes) {
    for (size_t i = start; i < count; i++) {
        float delta = target[i] - previous[i];
        if (deltas != NULL) deltas[i] = delta;
        add_element(lanes, i, delta, target[i]);
    }
}

static void quantize_plain(const float *target, float *reconstruction, size_t count, const ck_buckets *buckets,
                           uint16_t *symbols) {
    for (size_t i = 0; i < count; i++) {
        uint32_t key = bits_of(target[i] - reconstruction[i]) >> 23;
        symbols[i] = buckets->symbols[key];
        reconstruction[i] += buckets->values[key];
    }
}

#ifdef CK_VECTOR
// The codes of eight elements as symbols.
CK_VECTOR static inline __m128i symbols_of(__m256i codes) {
    return _mm_packus_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
}

// Adds the values of eight elements, the first or second group of sixteen, and puts their symbols down.
CK_VECTOR static inline void settle(__m256 live, __m256 old, __m256 value, __m128i code, float *reconstruction,
                                    uint16_t *symbols, vector_lanes_t *lanes, size_t group) {
    const __m256 restored = _mm256_add_ps(old, value);
    _mm256_storeu_ps(reconstruction, restored);
    _mm_storeu_si128((__m128i *)symbols, code);
    add_squares(lanes, group, _mm256_sub_ps(live, restored), live);
}

// Up to eight exponents.
CK_VECTOR static size_t quantize_vector(const float *target, float *reconstruction, size_t count,
                                        const ck_buckets *buckets, uint16_t *symbols, lanes_t *sums) {
    float values[16];
    int32_t codes[16];
    fill_tables(buckets, values, codes);
    const __m256 positive = _mm256_loadu_ps(values), negative = _mm256_loadu_ps(values + 8);
    const __m256 codes0 = _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)codes));
    const __m256 codes1 = _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(codes + 8)));
    const __m256i magnitudes = _mm256_set1_epi32((int)MAGNITUDE);
    const __m256i cutoff = _mm256_set1_epi32((int)((buckets->lowest << 23) - 1));
    const __m256i ceiling = _mm256_set1_epi32((int)((buckets->highest + 1) << 23));
    const __m256i lowest = _mm256_set1_epi32((int)buckets->lowest);
    vector_lanes_t lanes = load_lanes(sums);
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        fetch_ahead(target + i, reconstruction + i);
#pragma clang loop unroll(full)
        for (size_t k = 0; k < 2; k++) {
            size_t at = i + 8 * k;
            __m256 live = _mm256_loadu_ps(target + at);
            __m256 old = _mm256_loadu_ps(reconstruction + at);
            __m256 delta = _mm256_sub_ps(live, old);
            __m256i magnitude = _mm256_and_si256(_mm256_castps_si256(delta), magnitudes);
            __m256i kept =
                _mm256_and_si256(_mm256_cmpgt_epi32(magnitude, cutoff), _mm256_cmpgt_epi32(ceiling, magnitude));
            __m256 value = _mm256_setzero_ps();
            __m128i code = _mm_setzero_si128();
            if (!_mm256_testz_si256(kept, kept)) {
                __m256i index = _mm256_sub_epi32(_mm256_srli_epi32(magnitude, 23), lowest);
                __m256 mask = _mm256_castsi256_ps(kept);
                value = _mm256_and_ps(
                    mask, _mm256_blendv_ps(_mm256_permutevar8x32_ps(positive, index),
                                           _mm256_permutevar8x32_ps(negative, index), delta));
                __m256i wide = _mm256_castps_si256(_mm256_and_ps(
                    mask, _mm256_blendv_ps(_mm256_permutevar8x32_ps(codes0, index),
                                           _mm256_permutevar8x32_ps(codes1, index), delta)));
                code = symbols_of(wide);
            }
            settle(live, old, value, code, reconstruction + at, symbols + at, &lanes, k);
        }
    }
    store_lanes(sums, &lanes);
    return i;
}

// Any exponents: values and symbols are fetched one by one.
CK_VECTOR static size_t quantize_gathered(const float *target, float *reconstruction, size_t count, const ck_buckets *buckets,
                                          uint16_t *symbols, lanes_t *sums) {
    int32_t codes[512];
    for (size_t key = 0; key < 512; key++) codes[key] = buckets->symbols[key];
    vector_lanes_t lanes = load_lanes(sums);
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        fetch_ahead(target + i, reconstruction + i);
#pragma clang loop unroll(full)
        for (size_t k = 0; k < 2; k++) {
            size_t at = i + 8 * k;
            __m256 live = _mm256_loadu_ps(target + at), old = _mm256_loadu_ps(reconstruction + at);
            __m256i key = _mm256_srli_epi32(_mm256_castps_si256(_mm256_sub_ps(live, old)), 23);
            __m256 value = _mm256_i32gather_ps(buckets->values, key, sizeof(float));
            __m128i code = symbols_of(_mm256_i32gather_epi32(codes, key, sizeof(int32_t)));
            settle(live, old, value, code, reconstruction + at, symbols + at, &lanes, k);
        }
    }
    store_lanes(sums, &lanes);
    return i;
}

CK_VECTOR static size_t deltas_vector(const float *target, const float *previous, size_t count, float *deltas,
                                      lanes_t *sums) {
    vector_lanes_t lanes = load_lanes(sums);
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        fetch_ahead(target + i, previous + i);
#pragma clang loop unroll(full)
        for (size_t k = 0; k < 2; k++) {
            size_t at = i + 8 * k;
            __m256 live = _mm256_loadu_ps(target + at), delta = _mm256_sub_ps(live, _mm256_loadu_ps(previous + at));
            if (deltas != NULL) _mm256_storeu_ps(deltas + at, delta);
            add_squares(&lanes, k, delta, live);
        }
    }
    store_lanes(sums, &lanes);
    return i;
}
#endif

ck_sums ck_quantize(const float *target, float *reconstruction, size_t count, const ck_buckets *buckets,
                    uint16_t *symbols) {
    lanes_t lanes = {{0}, {0}};
    size_t done = 0;
#ifdef CK_VECTOR
    ck_buckets own = *buckets;
    // Nothing is kept: an empty range that no delta falls into.
    if (own.lowest > own.highest) own.lowest = 255, own.highest = 254;
    const bool is_narrow = own.highest + 1 - own.lowest <= 8;
    if (is_narrow && ck_has_wide_vectors()) {
        done = ck_quantize_wide(target, reconstruction, count, &own, symbols, &lanes);
    } else if (ck_has_vectors()) {
        done = (is_narrow ? quantize_vector : quantize_gathered)(target, reconstruction, count, &own, symbols, &lanes);
    }
#endif
    quantize_plain(target + done, reconstruction + done, count - done, buckets, symbols + done);
    deltas_plain(target, reconstruction, done, count, NULL, &lanes);
    return sum_lanes(&lanes);
}

ck_sums ck_deltas(const float *target, const float *previous, size_t count, float *deltas) {
    lanes_t lanes = {{0}, {0}};
    size_t done = 0;
#ifdef CK_VECTOR
    if (ck_has_wide_vectors()) done = ck_deltas_wide(target, previous, count, deltas, &lanes);
    else if (ck_has_vectors()) done = deltas_vector(target, previous, count, deltas, &lanes);
#endif
    deltas_plain(target, previous, done, count, deltas, &lanes);
    return sum_lanes(&lanes);
}

ck_sums ck_quantize_few(float *reconstruction, size_t count, const ck_buckets *buckets, ck_few *few) {
    if (few->has_negative_zero) ck_add_zero(reconstruction, count);
    ck_sums sums = few->sums;
    size_t kept = 0;
    for (size_t k = 0; k < few->count; k++) {
        // What is looked at lies too far apart to be foreseen.
        uint32_t ahead = few->places[k + LISTED_AHEAD < few->count ? k + LISTED_AHEAD : k];
        __builtin_prefetch(reconstruction + ahead);
        uint32_t place = few->places[k], key = few->deltas[k] >> 23;
        uint32_t symbol = buckets->symbols[key];
        float restored = reconstruction[place] + buckets->values[key];
        reconstruction[place] = restored;
        double miss = (double)(few->targets[k] - restored);
        sums.error += miss * miss;
        few->places[kept] = place;
        few->deltas[kept] = symbol;
        kept += symbol != 0;
    }
    few->count = kept;
    return sums;
}

#ifdef CK_VECTOR
CK_VECTOR static size_t add_zero_vector(float *reconstruction, size_t count) {
    const __m256i negative = _mm256_set1_epi32(INT32_MIN);
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        __m256i found = _mm256_setzero_si256();
        for (size_t k = i; k < i + 32; k += 8) {
            __m256i bits = _mm256_loadu_si256((const __m256i *)(reconstruction + k));
            found = _mm256_or_si256(found, _mm256_cmpeq_epi32(bits, negative));
        }
        if (_mm256_testz_si256(found, found)) continue;
        for (size_t k = i; k < i + 32; k++)
            if (bits_of(reconstruction[k]) == 0x80000000u) reconstruction[k] = 0.0f;
    }
    return i;
}
#endif

void ck_add_zero(float *reconstruction, size_t count) {
    size_t i = 0;
#ifdef CK_VECTOR
    if (ck_has_vectors()) i = add_zero_vector(reconstruction, count);
#endif
    for (; i < count; i++) {
        // Only −0.0 changes; what isn't a number stays as it is.
        if (bits_of(reconstruction[i]) == 0x80000000u) reconstruction[i] = 0.0f;
    }
}

size_t ck_apply_few(const uint32_t *places, const uint32_t *symbols, size_t count, size_t first, size_t end,
                    const float *values, float *reconstruction) {
    size_t k = 0;
    for (; k < count && places[k] < end; k++) reconstruction[places[k] - first] += values[symbols[k]];
    return k;
}

#ifdef CK_VECTOR
// Adds zero to 32 elements, which are written only if that changes one: what isn't written needn't go back to memory.
CK_VECTOR static inline void add_zero_group(float *reconstruction) {
    __m256i same = _mm256_set1_epi32(-1);
    __m256 sums[4];
#pragma clang loop unroll(full)
    for (size_t k = 0; k < 4; k++) {
        __m256 own = _mm256_loadu_ps(reconstruction + 8 * k);
        sums[k] = _mm256_add_ps(own, _mm256_setzero_ps());
        same = _mm256_and_si256(same, _mm256_cmpeq_epi32(_mm256_castps_si256(own), _mm256_castps_si256(sums[k])));
    }
    if (_mm256_testc_si256(same, _mm256_set1_epi32(-1))) return;
    for (size_t k = 0; k < 4; k++) _mm256_storeu_ps(reconstruction + 8 * k, sums[k]);
}

CK_VECTOR static inline __attribute__((always_inline)) size_t
apply_groups(const uint16_t *symbols, size_t count, const value_table_t table, const bool is_few, float *reconstruction) {
    size_t i = 0;
    for (; i + 32 <= count; i += 32) {
        __m256i one = _mm256_loadu_si256((const __m256i *)(symbols + i));
        __m256i two = _mm256_loadu_si256((const __m256i *)(symbols + i + 16));
        __m256i any = _mm256_or_si256(one, two);
        if (_mm256_testz_si256(any, any)) {
            add_zero_group(reconstruction + i);
            continue;
        }
#pragma clang loop unroll(full)
        for (size_t k = i; k < i + 32; k += 8) {
            __m128i codes = _mm_loadu_si128((const __m128i *)(symbols + k));
            __m256 value = _mm256_setzero_ps();
            if (!_mm_testz_si128(codes, codes)) value = values_of(&table, is_few, codes);
            _mm256_storeu_ps(reconstruction + k, _mm256_add_ps(_mm256_loadu_ps(reconstruction + k), value));
        }
    }
    return i;
}

CK_VECTOR static size_t apply_vector(const uint16_t *symbols, size_t count, const float *values, uint32_t alphabet,
                                     float *reconstruction) {
    const value_table_t table = load_values(values, alphabet);
    if (alphabet <= FEW_VALUES) return apply_groups(symbols, count, table, true, reconstruction);
    return apply_groups(symbols, count, table, false, reconstruction);
}
#endif

void ck_apply(const uint16_t *symbols, size_t count, const float *values, uint32_t alphabet,
              float *reconstruction) {
    size_t i = 0;
#ifdef CK_VECTOR
    if (ck_has_vectors()) i = apply_vector(symbols, count, values, alphabet, reconstruction);
#endif
    for (; i < count; i++) reconstruction[i] += values[symbols[i]];
}

bool ck_any(const uint16_t *symbols, size_t count) {
    for (size_t start = 0; start < count; start += 1024) {
        size_t end = start + 1024 < count ? start + 1024 : count;
        uint16_t all = 0;
        for (size_t i = start; i < end; i++) all |= symbols[i];
        if (all != 0) return true;
    }
    return false;
}

void ck_clip(const uint16_t *symbols, size_t count, uint8_t *bytes) {
    for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)(symbols[i] < 255 ? symbols[i] : 255);
}
