// Bits that are put one behind the other, the first lowest.
#ifndef CK_BITS_H
#define CK_BITS_H
#include "CKernels.h"
#include <string.h>

static inline uint64_t load64(const uint8_t *bytes) {
    uint64_t value;
    memcpy(&value, bytes, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

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

#endif
