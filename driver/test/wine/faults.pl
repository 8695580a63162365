# Faults to plant, one a block: its name, the scenario that is to catch it, what that
# says (a pattern), the file of src, and the change, which must find its place. A
# change is made to a copy; no code that ships holds any of this.
#
#   fault 'name', 'scenario', qr/told/, 'file.c', sub { s/as it is/as it is not/ };

use strict;
use warnings;

# Under the lock of the table of processes, which every record takes.
sub under_lock { my ($more) = @_; return s/(known = Search\(process->pid\);\n)/$1$more/ }

fault 'paged-code', 'verify-objects', qr/paged code or data at DISPATCH_LEVEL/, 'table.c', sub { s/static PROCESS \*Search\(/static PROCESS *PAGED Search(/ };
fault 'paged-classify', 'verify-flows', qr/paged code or data at DISPATCH_LEVEL/, 'payload.c', sub { s/\nVOID PayloadSelect\(/\nVOID PAGED PayloadSelect(/ };
fault 'call-above-irql', 'verify-exits', qr/called above its IRQL/, 'table.c', sub { under_lock('    MemoryFree(SystemRoutine(L"NtNone"));') };
fault 'wait-at-dispatch', 'verify-exits', qr/waiting at DISPATCH_LEVEL/, 'table.c', sub { under_lock("{KEVENT e; LARGE_INTEGER ms = {.QuadPart = -10000}; KeInitializeEvent(&e, NotificationEvent, FALSE); KeWaitForSingleObject(&e, Executive, KernelMode, FALSE, &ms);}") };
fault 'paged-pool', 'verify-exits', qr/paged pool above APC_LEVEL/, 'table.c', sub { under_lock('    MemoryFree(ExAllocatePoolWithTag(PagedPool, 64, POOL_TAG));') };
fault 'two-locks', 'verify-volumes', qr/two spin locks held at once/, 'volume.c', sub { s/(kept = TRUE;\n)/$1RecordBlind(EVENT_VOLUME_ARRIVED);/ };
fault 'lock-kept', 'exits', qr/came back with a spin lock held/, 'table.c', sub { s/(BOOLEAN TableRemove.*?\*out = \*known;\n)/$1return TRUE;/s };
fault 'complete-under-lock', 'overflow', qr/request completed with a spin lock held/, 'queue.c', sub { s/(    KeReleaseSpinLock\(&queue.lock, irql\);\n)(    Cancelled\(irp\);\n)/$2$1/ };
fault 'complete-twice', 'hostile', qr/request completed twice/, 'device.c', sub { s/(    IoCompleteRequest\(irp, IO_NO_INCREMENT\);\n)/$1$1/ };
fault 'callback-waits', 'verify-objects', qr/a callback that waits/, 'open.c', sub { s/(    Record\(&event\);\n)/{KEVENT e; LARGE_INTEGER ms = {.QuadPart = -10000}; KeInitializeEvent(&e, NotificationEvent, FALSE); KeWaitForSingleObject(&e, Executive, KernelMode, FALSE, &ms);}$1/ };
fault 'pool-leak', 'exits', qr/left\.pool is/, 'table.c', sub { s/    MemoryFree\(table.slot\);\n// };
fault 'double-free', 'exits', qr/freed twice/, 'table.c', sub { s/(    MemoryFree\(table.slot\);\n)/$1$1/ };
fault 'wrong-tag', 'exits', qr/freed with another tag/, 'memory.c', sub { s/ExFreePoolWithTag\(memory, POOL_TAG\)/ExFreePoolWithTag(memory, 'gaT ')/ };
fault 'past-the-end', 'verify-volumes', qr/written past its end/, 'volume.c', sub { s/MemoryAllocate\(2 \* NAME_CHARS \* sizeof\(WCHAR\)\)/MemoryAllocate(NAME_CHARS * sizeof(WCHAR) + 8)/ };
fault 'after-free', 'verify-volumes', qr/written after it was freed/, 'volume.c', sub { s/    MemoryFree\(room\);\n//; s/(\n    if \(!NT_SUCCESS\(FltGetVolumeName\(volume, &device)/\n    MemoryFree(room);$1/ };
fault 'not-initialised', 'old', qr/FAIL/, 'memory.c', sub { s/    if \(memory != NULL\)\n        RtlZeroMemory\(memory, bytes\);\n// };
fault 'token-leak', 'exits', qr/left\.contexts is/, 'process.c', sub { s/    PsDereferencePrimaryToken\(token\);\n// };
fault 'context-leak', 'files', qr/left\.contexts is/, 'file.c', sub { s/(Told\(data, handle, kind, holes, ASSAY_ROUTE_NONE\);\n)    FltReleaseContext\(handle\);\n/$1/ };
fault 'name-outside-create', 'files', qr/a name outside of create/, 'file.c', sub { s/(    Mark\(data, objects, WAY_WRITE,)/FLT_FILE_NAME_INFORMATION *n; if (NT_SUCCESS(FltGetFileNameInformation(data, FLT_FILE_NAME_OPENED_DEFAULT, &n))) FltReleaseFileNameInformation(n);\n$1/ };
fault 'callback-stays', 'exits', qr/left\.registered is/, 'image.c', sub { s/\{ PsRemoveLoadImageNotifyRoutine\(OnImage\); \}/{ }/ };
fault 'failed-start-stays', 'fail-each', qr/STATUS_(REGISTERED|POOL_LIVE)\) is/, 'flow.c', sub { s/    if \(!NT_SUCCESS\(status\)\)\n        Stop\(\);\n    return status;/    return status;/ };
fault 'failure-unsaid', 'fail-each', qr/all == Spared/, 'open.c', sub { s/return ObRegisterCallbacks\(&wanted, &registration\);/ObRegisterCallbacks(&wanted, &registration); return STATUS_SUCCESS;/ };
