// The inner loops of LCCheckpoint: deltas, their quantization, and entropy coding.
//
// Every function gives the same bits on every machine: vector instructions are chosen when the program runs, and
// what they do is also there in plain C. Nothing here allocates memory but where it says so.
#ifndef CKERNELS_H
#define CKERNELS_H

#include "ck_coders.h"
#include "ck_deltas.h"
#include "ck_machine.h"
#include "ck_uniform.h"

#endif
