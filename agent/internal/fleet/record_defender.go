package fleet

import (
	"fmt"
	"time"

	"github.com/assay-audit/assay/agent/winevent"
)

const (
	defenderProduct  = "Microsoft Defender Antivirus"
	defenderPlatform = "4.18.26090.9"
	defenderEngine   = "1.1.26090.3"
)

// signatureEvery is how often signatures are updated.
const signatureEvery = 8 * time.Hour

// signatures names the version of malware signatures at a time, and when it was
// made.
func signatures(at time.Time) (version string, made time.Time) {
	made = at.UTC().Truncate(signatureEvery)
	return fmt.Sprintf("1.4%02d.%d.0", made.Month(), made.Unix()/int64(signatureEvery/time.Second)%2000), made
}

// defenderHealthy is 1150.
func (h *Host) defenderHealthy(at time.Time) *winevent.Record {
	version, _ := signatures(at)
	return h.record(defenderKind(1150), at, data("Product Name", defenderProduct, "Platform version", defenderPlatform, "Unused", "",
		"Engine version", defenderEngine, "Security intelligence version", version))
}

// defenderReport is 1151. Windows Defender writes the day of its dates the
// American way.
func (h *Host) defenderReport(at time.Time, realtime bool) *winevent.Record {
	const american = "1/2/2006 3:04:05 PM"
	version, made := signatures(at)
	state := "Enabled"
	if !realtime {
		state = "Disabled"
	}
	scanned := at.UTC().Truncate(24 * time.Hour).Add(2 * time.Hour)
	if scanned.After(at) {
		scanned = scanned.Add(-24 * time.Hour)
	}
	return h.record(defenderKind(1151), at, data(
		"Product Name", defenderProduct, "Platform version", defenderPlatform, "Unused", "", "Engine version", defenderEngine,
		"NRI engine version", defenderEngine, "AV security intelligence version", version, "AS security intelligence version", version,
		"NRI security intelligence version", version, "RTP state", state, "OA state", state, "IOAV state", state, "BM state", state,
		"Last AV security intelligence age", "0", "Last AS security intelligence age", "0",
		"Last quick scan age", decimal(int(at.Sub(scanned)/(24*time.Hour))), "Last full scan age", "4294967295",
		"AV security intelligence creation time", made.Format(american), "AS security intelligence creation time", made.Format(american),
		"Last quick scan start time", scanned.Format(american), "Last quick scan end time", scanned.Add(71*time.Second).Format(american),
		"Last quick scan source", "2", "Last full scan start time", "1/1/1601 12:00:00 AM", "Last full scan end time", "1/1/1601 12:00:00 AM",
		"Last full scan source", "0", "Product status", "0x00080000"))
}

// signaturesUpdated is 2000.
func (h *Host) signaturesUpdated(at time.Time) *winevent.Record {
	now, _ := signatures(at)
	before, _ := signatures(at.Add(-signatureEvery))
	return h.record(defenderKind(2000), at, data("Product Name", defenderProduct, "Product Version", defenderPlatform,
		"Current security intelligence Version", now, "Previous security intelligence Version", before,
		"Domain", "NT AUTHORITY", "User", "SYSTEM", "SID", systemSID, "security intelligence Type Index", "1",
		"security intelligence Type", "AntiVirus", "Update Type Index", "2", "Update Type", "Delta",
		"Current Engine Version", defenderEngine, "Previous Engine Version", defenderEngine))
}

// quickScan is 1000 (begun) or 1001 (finished).
func (h *Host) quickScan(at time.Time, id uint32, scan string) *winevent.Record {
	fields := data("Product Name", defenderProduct, "Product Version", defenderPlatform, "Scan ID", "{"+scan+"}",
		"Scan Type Index", "1", "Scan Type", "Antimalware", "Scan Parameters Index", "1", "Scan Parameters", "Quick Scan",
		"Domain", "NT AUTHORITY", "User", "SYSTEM", "SID", systemSID)
	if id == 1000 {
		fields = append(fields, data("Scan Resources", "")...)
	} else {
		fields = append(fields, data("Scan Time Hours", "0", "Scan Time Minutes", "1", "Scan Time Seconds", "11")...)
	}
	return h.record(defenderKind(id), at, fields)
}

// realtime is 5000 (on) or 5001 (off).
func (h *Host) realtime(at time.Time, on bool) *winevent.Record {
	k := defenderKind(5001)
	if on {
		k = defenderKind(5000)
	}
	return h.record(k, at, data("Product Name", defenderProduct, "Product Version", defenderPlatform))
}

// malware is 1116 (found) or 1117 (quarantined).
func (h *Host) malware(at, found time.Time, id uint32, detection string) *winevent.Record {
	version, _ := signatures(at)
	threat := "Virus:DOS/EICAR_Test_File"
	path := `file:_C:\Users\` + h.user.name + `\Downloads\invoice-0417.com`
	k := defenderKind(id)
	status, state, action, name, remediation := "1", "1", "9", "Not Applicable", ""
	if id == 1117 {
		status, state, action, name, remediation = "3", "2", "2", "Quarantine", `NT AUTHORITY\SYSTEM`
	} else {
		k.level = 3
	}
	return h.record(k, at, data(
		"Product Name", defenderProduct, "Product Version", defenderPlatform, "Detection ID", "{"+detection+"}",
		"Detection Time", found.UTC().Format("2006-01-02T15:04:05.000Z"), "Unused", "", "Unused2", "",
		"Threat ID", "2147519003", "Threat Name", threat, "Severity ID", "5", "Severity Name", "Severe", "Category ID", "42",
		"Category Name", "Virus", "FWLink", "https://go.microsoft.com/fwlink/?linkid=37020&name="+threat+"&threatid=2147519003&enterprise=1",
		"Status Code", status, "Status Description", "", "State", state, "Source ID", "3", "Source Name", "Real-Time Protection",
		"Process Name", `C:\Windows\explorer.exe`, "Detection User", h.user.full(), "Unused3", "", "Path", path, "Origin ID", "1",
		"Origin Name", "Local machine", "Execution ID", "1", "Execution Name", "Suspended", "Type ID", "0", "Type Name", "Concrete",
		"Pre Execution Status", "0", "Action ID", action, "Action Name", name, "Unused4", "", "Error Code", "0x00000000",
		"Error Description", "The operation completed successfully. ", "Unused5", "", "Post Clean Status", "0",
		"Additional Actions ID", "0", "Additional Actions String", "No additional actions required", "Remediation User", remediation,
		"Unused6", "", "Security intelligence Version", "AV: "+version+", AS: "+version+", NIS: "+version,
		"Engine Version", "AM: "+defenderEngine+", NIS: "+defenderEngine))
}
