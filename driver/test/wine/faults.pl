# Faults to plant, one a block: its name, the scenario that is to catch it, what that
# says (a pattern), the file (of src, or core/ and its name), and the change, which
# must find its place. A change is made to a copy; no code that ships holds any of this.
#
#   fault 'name', 'scenario', qr/told/, 'file.c', sub { s/as it is/as it is not/ };

use strict;
use warnings;

# Under the lock of the table of processes, which every record takes.
sub under_lock { my ($more) = @_; return s/(known = Search\(process->pid\);\n)/$1$more/ }

fault 'paged-code', 'verify-objects', qr/paged code or data at DISPATCH_LEVEL/, 'table.c', sub { s/static SLOT \*Search\(/static SLOT *PAGED Search(/ };
fault 'paged-queue', 'verify-restart', qr/paged code or data at DISPATCH_LEVEL/, 'queue.c', sub { s/static BOOLEAN Own\(/static BOOLEAN PAGED Own(/ };
fault 'paged-classify', 'verify-flows', qr/paged code or data at DISPATCH_LEVEL/, 'payload.c', sub { s/\nVOID PayloadSelect\(/\nVOID PAGED PayloadSelect(/ };
fault 'call-above-irql', 'verify-exits', qr/called above its IRQL/, 'table.c', sub { under_lock('    MemoryFree(SystemRoutine(L"NtNone"));') };
fault 'wait-at-dispatch', 'verify-exits', qr/waiting at DISPATCH_LEVEL/, 'table.c', sub { under_lock("{KEVENT e; LARGE_INTEGER ms = {.QuadPart = -10000}; KeInitializeEvent(&e, NotificationEvent, FALSE); KeWaitForSingleObject(&e, Executive, KernelMode, FALSE, &ms);}") };
fault 'paged-pool', 'verify-exits', qr/paged pool above APC_LEVEL/, 'table.c', sub { under_lock('    MemoryFree(ExAllocatePoolWithTag(PagedPool, 64, POOL_TAG));') };
fault 'two-locks', 'verify-volumes', qr/two spin locks held at once/, 'volume.c', sub { s/(kept = TRUE;\n)/$1RecordBlind(ASSAY_VOLUME_ARRIVED);/ };
fault 'lock-kept', 'exits', qr/came back with a spin lock held/, 'table.c', sub { s/(BOOLEAN TableRemove.*?\*out = known->is;\n)/$1return TRUE;/s };
fault 'complete-under-lock', 'overflow', qr/request completed with a spin lock held/, 'queue.c', sub { s/(    KeReleaseSpinLock\(&queue.lock, irql\);\n)(    Cancelled\(irp\);\n)/$2$1/ };
fault 'complete-twice', 'hostile', qr/request completed twice/, 'device.c', sub { s/(    IoCompleteRequest\(irp, IO_NO_INCREMENT\);\n)/$1$1/ };
fault 'callback-waits', 'verify-objects', qr/a callback that waits/, 'open.c', sub { s/(    Record\(&event\);\n)/{KEVENT e; LARGE_INTEGER ms = {.QuadPart = -10000}; KeInitializeEvent(&e, NotificationEvent, FALSE); KeWaitForSingleObject(&e, Executive, KernelMode, FALSE, &ms);}$1/ };
fault 'pool-leak', 'exits', qr/left\.pool is/, 'table.c', sub { s/    MemoryFree\(table.slot\);\n// };
fault 'double-free', 'exits', qr/freed twice/, 'table.c', sub { s/(    MemoryFree\(table.slot\);\n)/$1$1/ };
fault 'wrong-tag', 'exits', qr/freed with another tag/, 'memory.c', sub { s/ExFreePoolWithTag\(memory, POOL_TAG\)/ExFreePoolWithTag(memory, 'gaT ')/ };
fault 'past-the-end', 'verify-volumes', qr/written past its end/, 'volume.c', sub { s/MemoryAllocate\(DISK_ANSWER_BYTES\)/MemoryAllocate(DISK_ANSWER_BYTES - 8)/ };
fault 'after-free', 'verify-volumes', qr/written after it was freed/, 'volume.c', sub { s/    MemoryFree\(answer\);\n//; s/(    if \(answer != NULL && DiskAsk)/    MemoryFree(answer);\n$1/ };
fault 'not-initialised', 'old', qr/FAIL/, 'memory.c', sub { s/    if \(memory != NULL\)\n        RtlZeroMemory\(memory, bytes\);\n// };
fault 'token-leak', 'exits', qr/left\.contexts is/, 'process.c', sub { s/    PsDereferencePrimaryToken\(token\);\n// };
fault 'handle-leak', 'exits', qr/left\.contexts is/, 'process.c', sub { s/    ZwClose\(token\);\n// };
fault 'image-leak', 'exits', qr/left\.pool is/, 'table.c', sub { s/(known->is\.pid = FREED;.*?)    ImageRelease\(image\);\n/$1/s };
fault 'exit-not-left-out', 'filters', qr/ASSAY_PROCESS\]\.filtered is 1/, 'process.c', sub { s/        event\.image = image->name;\n/        ;\n/ };
fault 'server-asked', 'files', qr/a server asked/, 'file.c', sub { s/(out->holes = ASSAY_HOLE_REMOTE;\n)        return;\n/$1/ };
fault 'on-close-forgotten', 'routes', qr/f->path/, 'file.c', sub { s/way == WAY_ON_CLOSE \? ~\(LONG\)WAY_ON_CLOSE : ~\(LONG\)\(WAY_DISPOSITION \| WAY_DISPOSITION_EX\)/~(LONG)WAYS_OF_DELETE/ };
fault 'flags-for-a-boolean', 'routes', qr/f->route is/, 'file.c', sub { s/over = ex \? \(change->flags & NT_REPLACE_IF_EXISTS\) != 0 : /over = / };
fault 'refusal-of-another', 'refusals', qr/f->refused is/, 'flow.c', sub { s/Listening\(ASSAY_FLOW_REFUSED, ASSAY_FLOW_LISTENING/Listening(ASSAY_FLOW_REFUSED, ASSAY_FLOW_CONNECTED/ };
fault 'volume-kept', 'volumes', qr/left\.pool is/, 'volume.c', sub { s/(    if \(found == NOTED_ONLY\)\n        Let\(&note\);\n)    MemoryFree\(known\);\n/$1/ };
fault 'unguarded-read', 'keys', qr/not so: Play\(c\)/, 'key.c', sub { s/__try \{/{/; s/\} __except \(EXCEPTION_EXECUTE_HANDLER\) \{\n        return FALSE;\n    \}/}/ };
fault 'no-disposition-no-record', 'keys', qr/ReaderRead\(r, before \+ 3\) is/, 'key.c', sub { s/flags = ASSAY_RECORD_UNSURE;/return;/ };
fault 'busy-unheard', 'flows-leaving', qr/left\.(registered|contexts) is/, 'flow.c', sub { s/if \(NT_SUCCESS\(status\) \|\| status == WFP_CALLOUT_NOT_FOUND\)/if (status != STATUS_PENDING)/ };
fault 'drained-once', 'flows-leaving', qr/contexts never taken back/, 'flow.c', sub { s/(            return;\n)        PayloadDrain\(\);\n/$1/ };
fault 'unload-let-through', 'unloading', qr/a filter unloaded that is still registered|not so: !Play/, 'filter.c', sub { s/    if \(\(flags & FLTFL_FILTER_UNLOAD_MANDATORY\) == 0\) \{\n/    if (UnloadAllowed())\n        return STATUS_SUCCESS;\n$&/ };
fault 'unregistered-twice', 'unloading', qr/filter undone twice/, 'filter.c', sub { s/(VolumesLet\(\);\n    )Unregister\(\);(\n    VolumesForget)/$1FltUnregisterFilter(filter);$2/ };
fault 'mandatory-ignored', 'unloading', qr/a filter unloaded that is still registered/, 'filter.c', sub { s/    VolumesLet\(\);\n    Unregister\(\);\n    return STATUS_SUCCESS;/    return STATUS_SUCCESS;/ };
fault 'gone-unsaid', 'unloading', qr/source\[i\]\.status is 0/, 'driver.c', sub { s/return FLT_STATUS_DELETING;/return STATUS_SUCCESS;/ };
fault 'disk-in-the-worker', 'sick-disk', qr/ReaderRead\(&r, 2\) is/, 'worker.c', sub { s/(        if \(QueueWaiting\(\) && RecordUnread)/        VolumesDescribe();\n$1/; s/(&worker\.volumes, Executive, KernelMode, FALSE, NULL\);\n)        VolumesDescribe\(\);\n/$1/ };
fault 'disk-for-ever', 'sick-disk', qr/ReaderRead\(&r, 4\) is/, 'worker.c', sub { s/KernelMode, FALSE, &timeout, NULL\) == STATUS_WAIT_0/KernelMode, FALSE, NULL, NULL) == STATUS_WAIT_0/ };
fault 'disk-not-cancelled', 'sick-disk', qr/left\.pool is/, 'disk.c', sub { s/        IoCancelIrp\(irp\);/        (void)irp;/ };
fault 'cancelled-unguarded', 'sick-disk', qr/cancelled that may be freed/, 'disk.c', sub { s/    KeEnterGuardedRegion\(\);\n//; s/    KeLeaveGuardedRegion\(\);\n// };
fault 'deaf-disk-freed', 'deaf-disk', qr/left\.pool is 0/, 'disk.c', sub { s/(            deaf\+\+;\n)/$1            MemoryFree(question);\n/ };
fault 'any-reader', 'readers', qr/AnotherReads\(\) is 0/, 'device.c', sub { s/reader\.file == NULL \|\| AgentPid\(\) == pid/TRUE/ };
fault 'reader-untold', 'readers', qr/ReaderRead\(&r, 4\) is 3/, 'device.c', sub { s/    if \(claim == CLAIM_TAKEN_UNTOLD\)\n.*\n// };
fault 'reader-for-ever', 'readers', qr/AnotherReads\(\) is 32/, 'device.c', sub { s/        reader\.file = NULL;\n/        ;\n/; s/        AgentSet\(0\);\n// };
fault 'handle-forgotten', 'blind', qr/ASSAY_FILE\]\.lost is/, 'file.c', sub { s/ \{\n        RecordBlind\(ASSAY_FILE_WRITTEN\);\n        return;\n    \}/\n        return;/ };
fault 'context-unset', 'blind', qr/ASSAY_FILE\]\.lost is/, 'file.c', sub { s/(FLT_STATUS_ALREADY_DEFINED\)\n)        RecordBlind\(ASSAY_FILE_WRITTEN\);/$1        ;/ };
fault 'volume-forgotten', 'blind', qr/ASSAY_CONTROL\]\.lost is/, 'volume.c', sub { s/(if \(!Hold\(&note\)\) \{\n)        RecordBlind\(ASSAY_VOLUME_ARRIVED\);\n/$1/ };
fault 'flow-forgotten', 'blind', qr/ASSAY_PAYLOAD\]\.lost is/, 'payload.c', sub { s/(PayloadGone\(0, 0, context\);\n)        RecordBlind\(ASSAY_PAYLOAD_COPIED\);\n/$1/ };
fault 'datagram-forgotten', 'blind', qr/ASSAY_PAYLOAD\]\.lost is/, 'payload.c', sub { s/(\} else\n)        RecordBlind\(ASSAY_PAYLOAD_COPIED\);/$1        ;/ };
fault 'agent-told', 'tampering', qr/ASSAY_TAMPER\) is/, 'file.c', sub { s/ByAgent\(data\) \? NULL : HandleOf\(objects\)/HandleOf(objects)/ };
fault 'agent-image-left-out', 'tampering', qr/ASSAY_IMAGE_LOADED, 0\)\)->process is/, 'image.c', sub { s/(\(info->Properties\) \|\| )(!Interesting)/$1ActorIsAgent() || $2/ };
fault 'volume-comes-late', 'volumes', qr/volume still referenced/, 'volume.c', sub { s/ && !volumes\.closing//; };
fault 'context-leak', 'files', qr/left\.contexts is/, 'file.c', sub { s/(Told\(data, handle, kind, holes, ASSAY_ROUTE_NONE\);\n)    FltReleaseContext\(handle\);\n/$1/ };
fault 'name-outside-create', 'files', qr/a name outside of create/, 'file.c', sub { s/(    Mark\(data, objects, WAY_WRITE,)/FLT_FILE_NAME_INFORMATION *n; if (NT_SUCCESS(FltGetFileNameInformation(data, FLT_FILE_NAME_OPENED_DEFAULT, &n))) FltReleaseFileNameInformation(n);\n$1/ };
fault 'callback-stays', 'exits', qr/left\.registered is/, 'image.c', sub { s/\{ PsRemoveLoadImageNotifyRoutine\(OnImage\); \}/{ }/ };
fault 'failed-start-stays', 'fail-each', qr/STATUS_(REGISTERED|POOL_LIVE)\) is/, 'flow.c', sub { s/    if \(!NT_SUCCESS\(status\)\)\n        Stop\(\);\n    return status;/    return status;/ };
fault 'failure-unsaid', 'fail-each', qr/all == Spared/, 'open.c', sub { s/return ObRegisterCallbacks\(&wanted, &registration\);/ObRegisterCallbacks(&wanted, &registration); return STATUS_SUCCESS;/ };

# The seam, and the core behind it: what ships is what these are planted into.
fault 'irql-kept', 'exits', qr/called above its IRQL|waiting at DISPATCH_LEVEL|came back at another IRQL/, 'seam.c', sub { s/\(KIRQL\)level/DISPATCH_LEVEL/ };
fault 'ring-lock-kept', 'exits', qr/came back with a spin lock held/, 'core/ring.c', sub { s/(    )(core_lock_give\(&ring->lock, level\);\n    return kept;)/$1if (header->kind != ASSAY_PROCESS_EXITED) $2/ };
fault 'lock-over-read', 'verify-exits', qr/two spin locks held at once/, 'core/ring.c', sub { s/(bytes \+= ring->head - ring->cursor;\n)/$1core_ring_counts(&rings->ring[(i + 1) % ASSAY_CLASSES], &(struct assay_ring_counts){0});\n/ };
fault 'resume-forgets', 'restart', qr/ReaderRead\(&second, 50\) is/, 'core/ring.c', sub { s/\n    ring->cursor = ring->tail;\n/\n/ };
fault 'guard-late', 'guard', qr/d\.passive is 0/, 'core/guard.c', sub { s/else if \(guard->starts >= CORE_GUARD_STARTS\)/else if (stored >= CORE_GUARD_STARTS)/ };
fault 'request-unchecked', 'hostile', qr/not so/, 'core/request.c', sub { s/return request->load == load \? CORE_OK : CORE_STALE;/return CORE_OK;/ };
