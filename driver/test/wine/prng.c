/* bcryptprimitives.dll, which Go's runtime needs and Wine 8 has not. */
#include <windows.h>

BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE out, SIZE_T bytes) {
    while (bytes != 0) {
        ULONG n = bytes > 65536 ? 65536 : (ULONG)bytes;

        if (!SystemFunction036(out, n))
            return FALSE;
        out += n;
        bytes -= n;
    }
    return TRUE;
}
