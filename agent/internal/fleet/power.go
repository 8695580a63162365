package fleet

import (
	"github.com/assay-audit/assay/proto/evidence"
)

// shutdown is how a host goes off on purpose: what asked for it, the log service
// and the kernel say so, and the agent's last statement comes before.
func (b *builder) shutdown() {
	h := b.host
	b.health(2)
	b.add(
		h.userLogoff(b.second(4), b.userSession()),
		h.logoff(b.second(5), b.userSession()),
		h.shutdownRequested(b.second(5.5), "power off"),
		h.auditServiceStopped(b.second(11)),
		h.logServiceStopped(b.second(11.2)),
		h.kernelStop(b.second(12.5)),
	)
}

// boot is how it comes back. The agent starts with it.
func (b *builder) boot() {
	h := b.host
	b.state.Boot++
	booted := b.second(0.5)
	b.state.BootedAt, b.state.Started = evidence.Ticks(booted), evidence.Ticks(b.second(9))
	systemSession := session{account: systemAccount, id: systemLogon, kind: 5}
	b.add(
		h.kernelStart(b.second(1.1), booted),
		h.plain(b.second(3), 4608, 12288),
		h.systemVersion(b.second(3.4)),
		h.logServiceStarted(b.second(3.5)),
		h.plain(b.second(5), 5033, 12292),
		h.logon(b.second(5.5), systemSession, "-", "-"),
		h.specialPrivileges(b.second(5.5), systemSession),
		h.plain(b.second(6), 5024, 12292),
		h.sysmonState(b.second(6.5), "Started"),
		h.serviceState(b.second(8), "Windows Update", "wuauserv", true),
		h.defenderHealthy(b.second(14)),
		h.defenderReport(b.second(14.1), b.realtimeOn(b.second(14))),
		h.signaturesUpdated(b.second(20)),
		h.logon(b.second(22), b.userSession(), "127.0.0.1", "0"),
	)
}
