// Package event owns what the driver's records become as telemetry: a typed body
// for the table, and a raw form with Sysmon's event ids and field names, so that
// one rule holds for the driver, for Sysmon and for the audit log. It is pure: it
// is given the table of processes and the map of drives, and opens nothing.
//
// The raw form. Provider is Assay-Kernel, channel Assay-Kernel/Operational. A field
// that the driver does not know is not there, which differs from an empty one.
//
//	id    what                  fields beside UtcTime and those of the actor
//	1     process start         ProcessId Image CommandLine User ParentProcessId ParentImage ParentCommandLine ...
//	2     creation time changed TargetFilename CreationUtcTime PreviousCreationUtcTime
//	3     connection            Protocol Initiated SourceIp SourcePort DestinationIp DestinationPort
//	5     process end           ExitStatus
//	6     driver load           ImageLoaded Signed SignatureLevel
//	7     image load            ImageLoaded Signed SignatureLevel
//	8     remote thread         SourceProcessId SourceImage TargetProcessId TargetImage NewThreadId
//	10    process open          SourceProcessId SourceImage TargetProcessId TargetImage GrantedAccess
//	11    file created          TargetFilename
//	12-14 registry              EventType TargetObject, Details (13), NewName (14)
//	15    stream created        TargetFilename
//	22    DNS answer            QueryName QueryStatus QueryResults
//	23    file deleted          TargetFilename Route
//	1000  file renamed          SourceFilename TargetFilename
//	1001  volume                Action Device VolumeName BusType Vendor Product SerialNumber
//	1002  TLS hello             ServerName Ja3 Ja3Hash Ja4 ...
//	1003  HTTP head             Url Method Host UserAgent Referer StatusCode ...
//	1004  tampering             What TargetObject Status
//	1006  driver start          Version Passive Reason Starts
//	1007  file written          TargetFilename
//	1008  file linked           SourceFilename TargetFilename
//	1009  file mapped           TargetFilename
//	1010  listener              SourceIp SourcePort
//	1011  flow refused          as 3
//	1012  flow ended            as 3, BytesSent BytesReceived
//	1013  DNS question          QueryName QueryType
//	1014  unknown kind          Kind
//
// The actor is ProcessGuid ProcessId Image User. Lost records (1005) are a Gap
// event, which is no raw record.
package event
