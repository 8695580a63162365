// Package kernel owns the agent's side of the kernel driver: the decoder of its
// records, the table of processes that gives them identities, what they become
// as telemetry, the filters that are pushed into it, and the port to its device.
// driver/abi.h is the contract, and the driver's own encoder writes the vectors
// that the decoder is tested with. Only port_windows.go touches a device; nothing
// here starts or installs a driver.
package kernel
