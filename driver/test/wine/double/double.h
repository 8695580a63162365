/*
 * The double of the Windows kernel: what Wine lacks of it, under the driver's own
 * object files. It lives in the driver's process, keeps what the driver registers,
 * and fires it when a scenario says so. It checks the rules that a real kernel
 * enforces by crashing (verify.c). It shows nothing of real timing or real locks.
 */
#pragma once

#include "../../../nt/flt.h"
#include "../../../nt/wfp.h"
#include "../script.h"

#define EXPORT __declspec(dllexport)

/* Of kernel32 and advapi32, declared here because windows.h and ntifs.h exclude each other. */
__declspec(dllimport) ULONG NTAPI TlsAlloc(void);
__declspec(dllimport) PVOID NTAPI TlsGetValue(ULONG);
__declspec(dllimport) int NTAPI TlsSetValue(ULONG, PVOID);
__declspec(dllimport) int NTAPI VirtualProtect(PVOID, SIZE_T, ULONG, PULONG);
__declspec(dllimport) PVOID NTAPI VirtualAlloc(PVOID, SIZE_T, ULONG, ULONG);
__declspec(dllimport) int NTAPI VirtualFree(PVOID, SIZE_T, ULONG);
__declspec(dllimport) PVOID NTAPI GetProcessHeap(void);
__declspec(dllimport) PVOID NTAPI HeapAlloc(PVOID, ULONG, SIZE_T);
__declspec(dllimport) int NTAPI HeapFree(PVOID, ULONG, PVOID);
__declspec(dllimport) int NTAPI GetModuleHandleExA(ULONG, const char *, PVOID *);
__declspec(dllimport) PVOID NTAPI GetModuleHandleA(const char *);
__declspec(dllimport) PVOID NTAPI GetProcAddress(PVOID, const char *);
__declspec(dllimport) PVOID NTAPI LoadLibraryA(const char *);
__declspec(dllimport) PVOID NTAPI CreateThread(PVOID, SIZE_T, ULONG(NTAPI *)(PVOID), PVOID, ULONG, PULONG);
__declspec(dllimport) int NTAPI CloseHandle(HANDLE);
__declspec(dllimport) VOID NTAPI Sleep(ULONG);
__declspec(dllimport) ULONG NTAPI GetCurrentThreadId(void);
__declspec(dllimport) ULONG NTAPI GetCurrentProcessId(void);
__declspec(dllimport) PVOID NTAPI AddVectoredExceptionHandler(ULONG, LONG(NTAPI *)(PVOID));
__declspec(dllimport) PVOID NTAPI CreateEventA(PVOID, int, int, const char *);
__declspec(dllimport) ULONG NTAPI WaitForSingleObject(HANDLE, ULONG);
__declspec(dllimport) int NTAPI SetEvent(HANDLE);
__declspec(dllimport) int NTAPI ResetEvent(HANDLE);
__declspec(dllimport) VOID NTAPI GetSystemTimeAsFileTime(PLARGE_INTEGER);
__declspec(dllimport) LONG NTAPI RegGetValueA(HANDLE, const char *, const char *, ULONG, PULONG, PVOID, PULONG);
__declspec(dllimport) LONG NTAPI RegSetKeyValueA(HANDLE, const char *, const char *, ULONG, const void *, ULONG);

/* A process as the double knows it; its address is the driver's PEPROCESS. */
typedef struct {
    ULONG pid;
    ULONG parent;
    LONG exit_status;
    LONG references;
    LONG64 created;
    WCHAR image[DOUBLE_TEXT];
    BOOLEAN running;
} DOUBLE_PROCESS;

/* What the running thread is to the driver. */
typedef struct {
    ULONG pid; /* 0: whoever it really is */
    ULONG tid;
    ULONG irql;
    ULONG locks; /* spin locks held */
    ULONG guarded; /* regions without APCs */
    BOOLEAN worker;
    BOOLEAN callback; /* runs what the system called it for, and must not wait */
} DOUBLE_CONTEXT;

DOUBLE_CONTEXT *Context(void);
void Boot(void);
void Leave(void);
extern BOOLEAN leaving; /* the device is gone: what is freed from now on is the last */
NTSTATUS DoubleRun(struct double_command *command);

/* verify.c */
void Violation(const char *what, const char *where);
void RequireIrql(ULONG most, const char *where); /* says so when the thread is above */
void RaiseTo(ULONG irql);                        /* and the driver's paged code with it */
void GateEnter(void);                            /* single-threaded while verifying */
void GateLeave(void);
BOOLEAN Verifying(void);
void KeptCheck(void); /* that nothing wrote to freed pool */
extern volatile LONG violations;
const char *ViolationText(ULONG n);

/* request.c */
void RequestsWatch(PDRIVER_OBJECT driver);
void RequestsEnd(void);
VOID Complete(PIRP irp, CCHAR boost);

/* load.c */
void LoadRemember(void);
void LoadDriver(PDRIVER_OBJECT driver);
PDRIVER_OBJECT LoadedDriver(void);
NTSTATUS LoadRun(struct double_command *c);

HANDLE TokenHandle(PVOID token); /* process.c */
BOOLEAN IsTokenHandle(HANDLE handle);
void ClockSkip(LONG64 ticks); /* system.c */
LONG64 ClockSkipped(void);
ULONG DisksAsked(void); /* disk.c: and not answered */
BOOLEAN ReferenceEnds(PVOID object); /* fallible.c */
BOOLEAN VolumeDiskEnds(PVOID object); /* volume.c */

/* Registrations: every registering call asks Fail() first, and counts itself in and out. */
BOOLEAN Fail(const char *name, NTSTATUS *status);
void FailSet(const char *name, ULONG nth, NTSTATUS status);
const char *Failed(void); /* the call that FailSet made fail, or NULL */
extern volatile LONG registered, calls, contexts, running;
extern volatile LONG pool_live;
extern volatile LONG64 pool_bytes;

DOUBLE_PROCESS *ProcessFind(ULONG pid);
DOUBLE_PROCESS *ProcessMake(ULONG pid);
void DoubleText(UNICODE_STRING *out, WCHAR *room, const uint16_t *text, ULONG number);
ULONG SecurityCopy(PVOID out, ULONG room);

NTSTATUS ProcessRun(struct double_command *c, ULONG n);
NTSTATUS KeyRun(struct double_command *c, ULONG n);
NTSTATUS FileRun(struct double_command *c, ULONG n);
NTSTATUS FlowRun(struct double_command *c, ULONG n);
void LateSet(ULONG64 which); /* context.c */
ULONG LateHeld(void);
