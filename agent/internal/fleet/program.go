package fleet

import "sync"

// program is an executable that hosts run.
type program struct {
	image, description, product, company, original, version string
	directory                                               string
	hashes                                                  string
	// commands are its command lines; the first is that of the running parent.
	commands []string
	// files and hosts are what it writes and where it connects.
	files []string
	hosts []destination
}

const (
	windows   = "Microsoft® Windows® Operating System"
	microsoft = "Microsoft Corporation"
	retailer  = "Example Retail Systems"
	osFile    = "10.0.26100.1 (WinBuild.160101.0800)"
	system32  = `C:\Windows\System32\`
)

// parts of the world that programs connect to, in addresses for documentation.
var (
	directory  = destination{"dc-01." + dnsDomain, "10.20.1.11", 389, "ldap"}
	shareHost  = destination{"srv-01." + dnsDomain, "10.20.1.12", 445, "microsoft-ds"}
	paymentAPI = destination{"switch.payments.example", "192.0.2.40", 443, "https"}
	stockAPI   = destination{"stock." + dnsDomain, "10.20.1.13", 8443, "-"}
	database   = destination{"srv-03." + dnsDomain, "10.20.1.14", 1433, "ms-sql-s"}
	web        = []destination{
		{"www.supplier.example", "198.51.100.17", 443, "https"}, {"mail.corp.example", "198.51.100.25", 443, "https"},
		{"docs.partner.example", "203.0.113.80", 443, "https"}, {"news.example", "203.0.113.9", 443, "https"},
		{"cdn.assets.example", "198.51.100.200", 443, "https"},
	}
	updateHosts = []destination{{"updates.vendor.example", "203.0.113.130", 443, "https"}, {"definitions.vendor.example", "203.0.113.131", 443, "https"}}
)

// catalogue is what runs where.
type catalogue struct {
	services, explorer *program
	system             []*program // run by the system, anywhere
	byRole             map[Role][]*program
}

// programs returns the catalogue; it is never changed.
var programs = sync.OnceValue(func() *catalogue {
	c := &catalogue{
		services: windowsProgram("services.exe", "Services and Controller app", system32+"services.exe"),
		explorer: windowsProgram("explorer.exe", "Windows Explorer", `C:\Windows\Explorer.EXE`),
		byRole:   map[Role][]*program{},
	}
	c.explorer.image = `C:\Windows\explorer.exe`
	svchost := windowsProgram("svchost.exe", "Host Process for Windows Services",
		system32+"svchost.exe -k netsvcs -p -s Schedule", system32+"svchost.exe -k netsvcs -p -s wuauserv",
		system32+"svchost.exe -k wsappx -p -s AppXSvc", system32+"svchost.exe -k LocalService -p -s NlaSvc")
	svchost.hosts = updateHosts
	svchost.files = []string{`C:\Windows\SoftwareDistribution\Download\%s.tmp`, `C:\Windows\Temp\%s.tmp`}
	taskhost := windowsProgram("taskhostw.exe", "Host Process for Windows Tasks", "taskhostw.exe", "taskhostw.exe Install $(Arg0)")
	conhost := windowsProgram("conhost.exe", "Console Window Host", `\??\C:\Windows\system32\conhost.exe 0xffffffff -ForceV1`)
	wmi := windowsProgram("WmiPrvSE.exe", "WMI Provider Host", system32+`wbem\wmiprvse.exe -secured -Embedding`)
	wmi.image = system32 + `wbem\WmiPrvSE.exe`
	defrag := windowsProgram("Defrag.exe", "Disk Defragmenter Module", system32+"defrag.exe -c -h -o -$")
	c.system = []*program{svchost, taskhost, conhost, wmi, defrag}

	till := vendorProgram(`C:\Program Files\TillPoint\`, "TillPoint.exe", "TillPoint checkout", retailer, `"C:\Program Files\TillPoint\TillPoint.exe" --lane`)
	till.files = []string{`C:\ProgramData\TillPoint\journal\%s.jrn`, `C:\ProgramData\TillPoint\receipts\%s.xml`}
	till.hosts = []destination{paymentAPI, stockAPI}
	printer := vendorProgram(`C:\Program Files\TillPoint\`, "ReceiptSpooler.exe", "Receipt spooler", retailer, `"C:\Program Files\TillPoint\ReceiptSpooler.exe" /port COM3`)
	printer.files = []string{`C:\ProgramData\TillPoint\spool\%s.prn`}
	c.byRole[PointOfSale] = []*program{till, till, till, printer}

	office := vendorProgram(`C:\Program Files\Microsoft Office\root\Office16\`, "EXCEL.EXE", "Microsoft Excel", microsoft,
		`"C:\Program Files\Microsoft Office\root\Office16\EXCEL.EXE" /dde`)
	office.files = []string{`C:\Users\Public\Documents\%s.xlsx`}
	office.hosts = []destination{shareHost, web[1]}
	browser := vendorProgram(`C:\Program Files (x86)\Microsoft\Edge\Application\`, "msedge.exe", "Microsoft Edge", microsoft,
		`"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe" --type=renderer --lang=en-US`,
		`"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe" --type=utility --utility-sub-type=network.mojom.NetworkService`)
	browser.files = []string{`C:\Users\Public\Downloads\%s.pdf`, `C:\Users\Public\Downloads\%s.zip`}
	browser.hosts = web
	cmd := windowsProgram("cmd.exe", "Windows Command Processor", `C:\Windows\system32\cmd.exe /c "\\srv-01\netlogon\drives.cmd"`)
	cmd.hosts = []destination{shareHost}
	c.byRole[Workstation] = []*program{browser, browser, browser, office, cmd}

	sql := vendorProgram(`C:\Program Files\Microsoft SQL Server\150\Tools\Binn\`, "SQLCMD.EXE", "SQL Command Line Tool", microsoft,
		`sqlcmd -S srv-03 -E -i C:\Jobs\close_of_day.sql`, `sqlcmd -S srv-03 -E -i C:\Jobs\stock.sql`)
	sql.files = []string{`C:\Jobs\out\%s.csv`}
	sql.hosts = []destination{database}
	backup := vendorProgram(`C:\Program Files\SafeCopy\`, "scagent.exe", "SafeCopy agent", "SafeCopy", `"C:\Program Files\SafeCopy\scagent.exe" --job nightly`,
		`"C:\Program Files\SafeCopy\scagent.exe" --job incremental`)
	backup.files = []string{`D:\SafeCopy\catalogue\%s.cat`}
	backup.hosts = []destination{shareHost}
	c.byRole[Server] = []*program{sql, backup}
	repadmin := windowsProgram("repadmin.exe", "Replication Diagnostics Tool", "repadmin /showrepl /csv")
	repadmin.hosts = []destination{directory}
	c.byRole[DomainController] = []*program{repadmin, backup}
	return c
})

func windowsProgram(name, description string, commands ...string) *program {
	p := &program{
		image: system32 + name, description: description, product: windows, company: microsoft, original: name, version: osFile,
		directory: `C:\Windows\system32\`, commands: commands,
	}
	p.hashes = fileHashes(p.image, p.version)
	return p
}

func vendorProgram(folder, name, description, company string, commands ...string) *program {
	p := &program{
		image: folder + name, description: description, product: description, company: company, original: name, version: "16.2.1.0",
		directory: folder, commands: commands,
	}
	p.hashes = fileHashes(p.image, p.version)
	return p
}
