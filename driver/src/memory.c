/* Pool: non-paged, never executable, zeroed, tagged, and taken at load. */
#include "driver.h"

static NT_ALLOCATE_POOL2 allocate_pool2; /* of Windows 10 2004 and later; set before the first allocation */

PVOID INITIAL SystemRoutine(PCWSTR name) {
    UNICODE_STRING wanted;

    RtlInitUnicodeString(&wanted, name);
    return MmGetSystemRoutineAddress(&wanted);
}

VOID INITIAL MemoryStart(VOID) { allocate_pool2 = (NT_ALLOCATE_POOL2)SystemRoutine(L"ExAllocatePool2"); }

PVOID MemoryAllocate(SIZE_T bytes) {
    PVOID memory;

    if (allocate_pool2 != NULL)
        return allocate_pool2(NT_POOL_FLAG_NON_PAGED, bytes, POOL_TAG);
    memory = ExAllocatePoolWithTag(NonPagedPoolNx, bytes, POOL_TAG);
    if (memory != NULL)
        RtlZeroMemory(memory, bytes);
    return memory;
}

VOID MemoryFree(PVOID memory) {
    if (memory != NULL)
        ExFreePoolWithTag(memory, POOL_TAG);
}
