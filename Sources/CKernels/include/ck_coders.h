// Coders of symbols, block by block. docs/formats/frame.md defines what they write.
#ifndef CKERNELS_CODERS_H
#define CKERNELS_CODERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ck_deltas.h"

#pragma clang assume_nonnull begin

/// n * log2(n), close enough to choose by.
double ck_nlog2n(uint32_t n);

/// Lets contexts share tables where that is cheaper: counts[context * alphabet + symbol] are summed into `tables`, as
/// many entries for each table, and `map` names each context's. A table that is written has entries for `written` symbols.
/// Returns the bits of symbols and tables together.
double ck_cluster(const uint32_t *counts, uint32_t contexts, uint32_t alphabet, uint32_t written, uint32_t most,
                  uint8_t *map, uint32_t *tables, uint32_t *table_count);

#define CK_SCALE_BITS 12
#define CK_SCALE 4096
#define CK_RUN_TOKENS 57

/// What encoding one symbol of one table takes.
typedef struct {
    uint32_t limit;
    uint32_t reciprocal;
    uint16_t shift;
    uint16_t complement;
    uint32_t bias;
} ck_step;

void ck_make_steps(const uint16_t *frequencies, size_t count, ck_step *steps);

/// Contexts and tables that the blocks of a stream share. docs/formats/frame.md defines them.
typedef struct {
    uint32_t alphabet;
    uint32_t tables;
    // By symbol: the class of the left neighbour, times what is to its right in the context.
    const uint16_t *left;
    // By the previous symbol, clipped to 255; likewise.
    const uint16_t *above;
    bool uses_left;
    bool uses_above;
    bool wide;
    // Table by context.
    const uint8_t *map;
    // Encoding: alphabet steps for each table, then those of the run tokens.
    const ck_step *_Nullable steps;
    // Decoding: 4096 symbols for each table, then the run tokens; frequency and start of each symbol likewise.
    const uint16_t *_Nullable slots;
    const uint32_t *_Nullable info;
} ck_model;

/// Counts every symbol in every context: counts[context * alphabet + symbol]. `base` has `count` entries or is null.
void ck_count_contexts(const ck_model *model, const uint16_t *symbols, const uint8_t *_Nullable above,
                       size_t count, uint16_t *scratch, uint32_t *counts);
/// Symbols of which most are zero. `nonzero` has a bit for each that isn't, the first lowest, and zeros behind them, in `ck_mask_words`
/// words; where it has none `symbols` may be anything. `before` is the same of the previous frame's symbols, if there are any.
typedef struct {
    const uint16_t *_Nullable symbols;
    const uint64_t *_Nullable nonzero;
    const uint8_t *_Nullable above;
    const uint64_t *_Nullable before;
    size_t count;
} ck_sparse;

/// Words of the bits for `count` elements.
size_t ck_mask_words(size_t count);
/// Bits of symbols that aren't zero.
void ck_mask(const uint16_t *symbols, size_t count, uint64_t *words);
/// The same of bytes.
void ck_mask_bytes(const uint8_t *bytes, size_t count, uint64_t *words);

/// Counts like `ck_count_contexts`, without looking at zeros among zeros one by one.
void ck_count_sparse_contexts(const ck_model *model, const ck_sparse *block, uint32_t *counts);
/// Counts the tokens of runs as a sparse block would have them, and the cold symbols that end runs.
void ck_count_runs(const ck_model *model, const ck_sparse *block, uint32_t *tokens, uint32_t *extra_bits);

/// Encodes a block with every symbol in its context. Writes downwards from the end of `buffer`, which has room for
/// `count` words and 16 bytes more; returns where it begins.
uint8_t *ck_encode_dense(const ck_model *model, const uint16_t *symbols, const uint8_t *_Nullable above,
                         size_t count, uint16_t *scratch, uint8_t *buffer, size_t capacity);
bool ck_decode_dense(const ck_model *model, const uint8_t *bytes, size_t size, const uint8_t *_Nullable above,
                     size_t count, uint16_t *scratch, uint16_t *symbols);

/// Room for a block whose zeros among zeros are coded by runs.
size_t ck_sparse_room(const ck_model *model, const ck_sparse *block);
/// Encodes such a block downwards from `end`, before which there is that room; returns where it begins.
uint8_t *ck_encode_sparse(const ck_model *model, const ck_sparse *block, uint8_t *end);
/// Lists what isn't zero, at most `count` symbols; -1 when the bytes make no block of `count` symbols. `words` has room for the bits of
/// as many elements.
ptrdiff_t ck_decode_sparse(const ck_model *model, const uint8_t *bytes, size_t size, const uint8_t *_Nullable above,
                           size_t count, uint64_t *words, uint32_t *places, uint32_t *symbols);

/// The pieces that few deltas are listed by.
#define CK_PIECE 65536

/// A block of pieces' lists, and where it is encoded, downwards from the end of `buffer`: 8 bytes for each symbol and 16 more
/// are enough. `start` becomes where it begins.
typedef struct {
    const ck_few *pieces;
    size_t count;
    uint8_t *buffer;
    size_t capacity;
    uint8_t *_Nullable start;
} ck_few_block;

/// Counts the tokens of runs as such a block would have them, and the bits that come with them, before its lists are quantized:
/// deltas whose key has symbol 0 are zeros.
void ck_count_listed(const ck_few *pieces, size_t count, const uint16_t *symbol_by_key, uint32_t *tokens,
                     uint64_t *extra_bits);
/// Encodes a sparse block without contexts, or two at once, from lists that hold symbols that aren't zero.
void ck_encode_few(const ck_model *model, ck_few_block *one, ck_few_block *_Nullable two);
/// The same backwards: lists at most `count` symbols; -1 when the bytes make no block of `count` symbols.
ptrdiff_t ck_decode_few(const ck_model *model, const uint8_t *bytes, size_t size, size_t count, uint32_t *places,
                        uint32_t *symbols);

#define CK_GROUP_BITS 11
#define CK_GROUP_SYMBOLS 6

/// Packs the codes of groups of `group` symbols, filled up with zeros: codes[index] has a code's bits below bit 16 and its
/// length above; the first symbol counts least in the index. Returns the bytes: at most 11 bits for each group; `bytes` has
/// room for eight more.
size_t ck_pack_groups(const uint32_t *codes, uint32_t alphabet, uint32_t group, const uint16_t *symbols, size_t count,
                      uint8_t *bytes);
/// Reads four streams of `quarter` symbols, the last of them fewer. By the next 11 bits: `entries` has the symbols of whole
/// groups as bytes, up to six, their number in byte 6 and their bits in byte 7; `lengths` has the first group's bits.
/// `scratch` has room for 4 * (quarter + 8) bytes. False when the streams don't end where they should.
bool ck_unpack_groups(const uint64_t *entries, const uint8_t *lengths, uint32_t group,
                      const uint8_t *_Nonnull const *_Nonnull bytes, const size_t *sizes, size_t quarter, size_t count,
                      uint8_t *scratch, uint16_t *symbols);

/// Counters of all contexts, and weights of all sets.
#define CK_MIXED_COUNTERS 8128
#define CK_MIXED_WEIGHTS 128
/// Bytes that one element takes at most: 43 questions that shed four each.
#define CK_MIXED_ELEMENT 172

/// Where a block's elements are zero, as far as whole stretches of 8, 64 and 512 have been asked about.
typedef struct {
    // Up to where the last of each size goes that isn't all zero, and what stands behind the last element that isn't.
    size_t end[3];
    size_t behind;
    // Where a writer comes to the next such element.
    size_t next;
    // Of 64 and 512: one bit for each of the last two, 1 if it wasn't all zero; how many were since.
    uint32_t recent[2];
    uint32_t zeros[2];
} ck_stretches;

/// What mixed contexts have learned in a block, and where they are in it. docs/formats/auto.md defines it.
typedef struct {
    uint32_t *counters;
    int32_t *weights;
    // The logistic function, by 2048 more than its argument; its inverse; by how often a counter was seen, how far it moves.
    const uint16_t *squash;
    const int16_t *stretch;
    const uint16_t *reciprocals;
    // The last three symbols, a fast and a slow sum of levels, and the element to come.
    uint32_t last[3];
    uint32_t fast;
    uint32_t slow;
    size_t next;
    ck_stretches stretches;
    // The interval that is written: its low end, and how far it is to the high one.
    uint32_t low;
    uint32_t range;
} ck_mixer;

/// Begins a block anew, with memory and tables that are set.
void ck_mixer_begin(ck_mixer *mixer, bool has_previous);
/// Encodes a block's symbols from where the mixer is on, until fewer than `CK_MIXED_ELEMENT` bytes of room are left. Returns the bytes,
/// or SIZE_MAX when a symbol is beyond the alphabet.
size_t ck_mixed_encode(ck_mixer *mixer, const ck_sparse *block, uint32_t alphabet, uint8_t *bytes, size_t room);
/// The at most four bytes that end a block.
size_t ck_mixed_finish(const ck_mixer *mixer, uint8_t *bytes);
/// Decodes a whole block; false when a symbol is beyond the alphabet, or bytes are left.
bool ck_mixed_decode(ck_mixer *mixer, const uint8_t *_Nullable bytes, size_t length, const uint8_t *_Nullable previous,
                     uint32_t alphabet, uint16_t *symbols, size_t count);

/// Classes that leave no bit open; levels' symbols whose class is looked up; averages of classes' sizes, in 32nds.
#define CK_PLAIN_CLASSES 15
#define CK_SHORT_LEVELS 1024
#define CK_SCALED_AVERAGES 1665

/// Levels' symbols coded by classes of their size. docs/formats/auto.md defines it.
typedef struct {
    // Symbols that there are, and symbols of their classes.
    uint32_t symbols;
    uint32_t classes;
    const uint8_t *short_classes;
    // A context is what the average adds, and what else it tells apart: by the previous symbol, clipped to 255, or by the class of
    // the left neighbour.
    const uint16_t *scales;
    const uint8_t *other;
    bool uses_previous;
    // By context, the table; and what is looked up in the tables of classes.
    const uint8_t *map;
    const ck_step *_Nullable steps;
    const uint16_t *_Nullable slots;
    const uint32_t *_Nullable info;
} ck_scaled;

/// Counts classes by context, counts[context * classes + class], and returns the bits that come with them.
uint64_t ck_count_scaled(const ck_scaled *model, const uint16_t *symbols, const uint8_t *_Nullable previous, size_t count,
                         uint32_t *counts);
/// Encodes a block's classes downwards from `end`, before which there are 2 bytes for each symbol and 32 more; returns where they
/// begin. The bits that classes leave open are written to `open`, which has as much room. `scratch` has room for as many numbers as
/// there are symbols.
uint8_t *ck_encode_scaled(const ck_scaled *model, const uint16_t *symbols, const uint8_t *_Nullable previous, size_t count,
                          uint16_t *scratch, uint8_t *end, uint8_t *open, size_t *open_size);
/// False when the bytes make no block of `count` symbols.
bool ck_decode_scaled(const ck_scaled *model, const uint8_t *bytes, size_t size, const uint8_t *open, size_t open_size,
                      const uint8_t *_Nullable previous, size_t count, uint16_t *symbols);

/// The largest alphabet of counted symbols, and the most of them.
#define CK_COUNTED_ALPHABET 128
#define CK_COUNTED_MOST 65536
/// Bytes that are left over where counted symbols fit: more than one number or question takes.
#define CK_COUNTED_SPARE 144
/// Encodes symbols, all below `alphabet`, by how often each is still to come. Returns the bytes, SIZE_MAX where they don't fit.
size_t ck_counted_encode(const uint16_t *symbols, size_t count, uint32_t alphabet, uint8_t *bytes, size_t capacity);
/// Decodes them; false when there are more than there should be, or bytes are left.
bool ck_counted_decode(const uint8_t *_Nullable bytes, size_t length, uint32_t alphabet, uint16_t *symbols, size_t count);

#pragma clang assume_nonnull end

#endif
