/*
 * A second source for the layouts of nt/: the user-mode headers of mingw, which
 * declare some of the same structures. It is compiled by the gates and linked
 * into nothing; a value that both sides name must be the same on both.
 */
#include <winsock2.h>
#include <windows.h>
#include <fwptypes.h>
#include <fwpmtypes.h>

#define SAME_SIZE(type, size) _Static_assert(sizeof(type) == (size), "size of " #type)
#define SAME_AT(type, field, at) _Static_assert(__builtin_offsetof(type, field) == (at), #type "." #field)

SAME_SIZE(FWP_BYTE_BLOB, 0x10);
SAME_SIZE(FWP_VALUE0, 0x10);
SAME_SIZE(FWPM_SESSION0, 0x48);
SAME_SIZE(FWPM_SUBLAYER0, 0x48);
SAME_SIZE(FWPM_CALLOUT0, 0x58);
SAME_SIZE(FWPM_FILTER_CONDITION0, 0x28);
SAME_SIZE(FWPM_FILTER0, 0xC8);
SAME_AT(FWPM_FILTER0, layerKey, 0x40);
SAME_AT(FWPM_FILTER0, weight, 0x60);
SAME_AT(FWPM_FILTER0, filterCondition, 0x78);
SAME_AT(FWPM_FILTER0, action, 0x80);
SAME_AT(FWPM_FILTER0, rawContext, 0x98);
SAME_AT(FWPM_FILTER0, filterId, 0xB0);
_Static_assert(FWP_ACTION_CALLOUT_INSPECTION == 0x6004, "FWP_ACTION_CALLOUT_INSPECTION");
_Static_assert(FWP_CONDITION_FLAG_IS_REAUTHORIZE == 4, "FWP_CONDITION_FLAG_IS_REAUTHORIZE");
_Static_assert(FWP_CONDITION_FLAG_IS_LOOPBACK == 1, "FWP_CONDITION_FLAG_IS_LOOPBACK");
_Static_assert(FWP_BYTE_ARRAY16_TYPE == 11 && FWP_BYTE_BLOB_TYPE == 12 && FWP_UINT16 == 2, "FWP_DATA_TYPE");
