// Groups of symbols that are packed by vectors.
#ifndef CK_GROUPS_H
#define CK_GROUPS_H
#include "bits.h"
#include "dispatch.h"

#ifdef CK_VECTOR
// Packs as many whole groups as vectors can; returns their symbols.
size_t ck_pack_wide(const uint32_t *codes, uint32_t alphabet, uint32_t group, const uint16_t *symbols, size_t count,
                    packer_t *packer);
#endif

#endif
