/* encode.c and those who use it. */
#pragma once

#include "ring.h"

VOID EncodeBody(struct assay_header *header, const EVENT *event);
