/*
 * Who may open the control device: LocalSystem and the agent's service, nobody
 * else, administrators included. IoCreateDeviceSecure is a static library of the
 * WDK, not an export, so the list is built here and set on the device before its
 * symbolic link exists: D:P(A;;GA;;;SY)(A;;GA;;;S-1-5-80-...).
 */
#include "driver.h"

/*
 * SID of NT SERVICE\assay-agent: S-1-5-80 and the SHA-1 of the upper-case name in
 * UTF-16LE as five little-endian words. The gates compute it anew and compare.
 */
#define SERVICE_SID_HASH SERVICE_SID_0, SERVICE_SID_1, SERVICE_SID_2, SERVICE_SID_3, SERVICE_SID_4

typedef struct {
    UCHAR revision;
    UCHAR count;
    UCHAR authority[6];
    ULONG sub[6];
} SID6;
ASSERT_AT(SID6, sub, 8);

static NTSTATUS PAGED SetList(PDEVICE_OBJECT device, PACL list) {
    SECURITY_DESCRIPTOR descriptor;
    HANDLE handle;
    NTSTATUS status;

    status = RtlCreateSecurityDescriptor(&descriptor, SECURITY_DESCRIPTOR_REVISION);
    if (!NT_SUCCESS(status))
        return status;
    status = RtlSetDaclSecurityDescriptor(&descriptor, TRUE, list, FALSE);
    if (!NT_SUCCESS(status))
        return status;
    status = ObOpenObjectByPointer(device, OBJ_KERNEL_HANDLE, NULL, WRITE_DAC, NULL, KernelMode, &handle);
    if (!NT_SUCCESS(status))
        return status;
    status = ZwSetSecurityObject(handle, DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION, &descriptor);
    ZwClose(handle);
    return status;
}

NTSTATUS PAGED AccessRestrict(PDEVICE_OBJECT device) {
    SID6 system = {1, 1, {0, 0, 0, 0, 0, 5}, {18}};
    SID6 service = {1, 6, {0, 0, 0, 0, 0, 5}, {80, SERVICE_SID_HASH}};
    ULONG64 room[16];
    PACL list = (PACL)room;
    NTSTATUS status;

    status = RtlCreateAcl(list, sizeof room, ACL_REVISION);
    if (!NT_SUCCESS(status))
        return status;
    status = RtlAddAccessAllowedAce(list, ACL_REVISION, FILE_ALL_ACCESS, &system);
    if (!NT_SUCCESS(status))
        return status;
    status = RtlAddAccessAllowedAce(list, ACL_REVISION, FILE_ALL_ACCESS, &service);
    if (!NT_SUCCESS(status))
        return status;
    return SetList(device, list);
}
