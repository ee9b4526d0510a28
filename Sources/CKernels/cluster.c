// Which contexts share a table.

#include "CKernels.h"
#include <stdlib.h>
#include <string.h>

// A polynomial for the significand's logarithm is good to 1e-4, and takes no call.
static inline double fast_log2(double value) {
    uint64_t bits;
    memcpy(&bits, &value, 8);
    double exponent = (double)((int)(bits >> 52) - 1023);
    bits = (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
    double m;
    memcpy(&m, &bits, 8);
    return exponent
        + (-2.7868129538 + m * (5.0465289680 + m * (-3.4928326710 + m * (1.5939571760 + m * (-0.4048681770 + m * 0.0440284870)))));
}

double ck_nlog2n(uint32_t n) { return n < 2 ? 0 : (double)n * fast_log2((double)n); }

typedef struct {
    uint32_t context;
    uint32_t total;
} entry_t;

static int by_total(const void *left, const void *right) {
    const entry_t *one = left, *two = right;
    if (one->total != two->total) return one->total > two->total ? -1 : 1;
    return one->context < two->context ? -1 : one->context > two->context;
}

double ck_cluster(const uint32_t *counts, uint32_t contexts, uint32_t alphabet, uint32_t written, uint32_t most,
                  uint8_t *map, uint32_t *tables, uint32_t *table_count) {
    entry_t order[1024];
    uint32_t totals[256];
    uint32_t used = 0, made = 0;
    double bits = 0;
    for (uint32_t context = 0; context < contexts; context++) {
        uint32_t total = 0;
        for (uint32_t symbol = 0; symbol < alphabet; symbol++) total += counts[context * alphabet + symbol];
        if (total > 0) order[used++] = (entry_t){context, total};
        map[context] = 0;
    }
    qsort(order, used, sizeof *order, by_total);
    for (uint32_t i = 0; i < used; i++) {
        const uint32_t *own = counts + order[i].context * alphabet;
        uint32_t present[1024];
        uint32_t number = 0;
        double alone = ck_nlog2n(order[i].total);
        for (uint32_t symbol = 0; symbol < alphabet; symbol++) {
            if (own[symbol] == 0) continue;
            present[number++] = symbol;
            alone -= ck_nlog2n(own[symbol]);
        }
        // About what a table takes: a few bits for each symbol that it has, and one for each that it doesn't.
        double best = made < most ? alone + 8 + 5.0 * number + (double)(written - number) : 1e300;
        uint32_t chosen = made;
        for (uint32_t table = 0; table < made; table++) {
            double more = ck_nlog2n(totals[table] + order[i].total) - ck_nlog2n(totals[table]);
            for (uint32_t k = 0; k < number && more < best + 1e9; k++) {
                uint32_t have = tables[table * alphabet + present[k]];
                more -= ck_nlog2n(have + own[present[k]]) - ck_nlog2n(have);
                // A symbol that is new to the table needs an entry.
                if (have == 0) more += 4;
            }
            if (more < best) {
                best = more;
                chosen = table;
            }
        }
        if (chosen == made) {
            memset(tables + made * alphabet, 0, alphabet * sizeof *tables);
            totals[made++] = 0;
        }
        for (uint32_t k = 0; k < number; k++) tables[chosen * alphabet + present[k]] += own[present[k]];
        totals[chosen] += order[i].total;
        map[order[i].context] = (uint8_t)chosen;
        bits += best;
    }
    if (made == 0) {
        memset(tables, 0, alphabet * sizeof *tables);
        made = 1;
    }
    // Contexts that never occur cost least when they repeat the one before.
    uint8_t last = 0;
    for (uint32_t context = 0, i = 0; context < contexts; context++) {
        bool occurs = false;
        for (i = 0; i < used && !occurs; i++) occurs = order[i].context == context;
        if (!occurs) map[context] = last;
        last = map[context];
    }
    *table_count = made;
    return bits;
}
