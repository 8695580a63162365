/* What flow.c and context.c of the double share. */
#pragma once

#include "double.h"

BOOLEAN CalloutIs(UINT32 id);
void CalloutForget(UINT16 layer, UINT32 id, UINT64 context);
BOOLEAN ContextsOf(UINT32 callout); /* whether any flow has one of it */
UINT64 ContextOf(UINT64 flow, UINT32 callout);
NTSTATUS FlowEnd(UINT64 flow);
void LateStop(void); /* the driver leaves: what was held back goes on */
