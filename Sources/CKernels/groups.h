// Bits that are put one behind the other, the first lowest.
#ifndef CK_GROUPS_H
#define CK_GROUPS_H
#include "CKernels.h"
#include "dispatch.h"
#include <string.h>

// At most seven bits are left over from what was put before.
typedef struct {
    uint8_t *next;
    uint64_t pending;
    uint32_t bits;
} packer_t;

static inline void store64(uint8_t *bytes, uint64_t value) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    memcpy(bytes, &value, 8);
}

// At most 57 bits.
static inline void put_bits(packer_t *packer, uint64_t bits, uint32_t length) {
    packer->pending |= bits << packer->bits;
    packer->bits += length;
    store64(packer->next, packer->pending);
    packer->next += packer->bits >> 3;
    packer->pending >>= packer->bits & 56;
    packer->bits &= 7;
}

#ifdef CK_VECTOR
// Packs as many whole groups as vectors can; returns their symbols.
size_t ck_pack_wide(const uint32_t *codes, uint32_t alphabet, uint32_t group, const uint16_t *symbols, size_t count,
                    packer_t *packer);
#endif

#endif
