package fleet

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// Role is what a host is for; it decides name, system and load.
type Role string

// The roles of hosts.
const (
	DomainController Role = "DC"
	Server           Role = "SRV"
	PointOfSale      Role = "POS"
	Workstation      Role = "WS"
)

// Host is a made-up machine.
type Host struct {
	// Number counts from 0 within a fleet.
	Number int
	Role   Role
	// Name is the NetBIOS name, Domain its DNS domain.
	Name, Domain string
	// OS is the product's name, OSVersion major.minor.build.
	OS, OSVersion string
	Build         uint32
	// Address is its IPv4 address.
	Address string

	user    account // who works here
	machine account // NAME$
	admin   account
	nightly bool   // switched off at night
	key     uint64 // mixes seed and number
	guid    string // first part of Sysmon's GUIDs, 8 hex digits
	// phase is the second of each minute at which the agent states its health.
	phase int
}

// account is a user as Windows writes it.
type account struct{ name, sid string }

func (a account) full() string { return netbiosDomain + `\` + a.name }

const (
	netbiosDomain = "CORP"
	dnsDomain     = "corp.example"
)

// fleetSize is the number of hosts after which the pattern of roles and the
// script of violations are complete; larger fleets add ordinary hosts.
const fleetSize = 25

// Hosts returns the first n hosts of a seed.
func Hosts(seed uint64, n int) []*Host {
	counts := map[Role]int{}
	hosts := make([]*Host, n)
	for i := range hosts {
		role := roleOf(i)
		counts[role]++
		hosts[i] = newHost(seed, i, role, counts[role])
	}
	return hosts
}

func roleOf(i int) Role {
	switch {
	case i == 0:
		return DomainController
	case i < 5:
		return Server
	case i < 14:
		return PointOfSale
	case i < fleetSize:
		return Workstation
	}
	return [...]Role{Server, PointOfSale, PointOfSale, Workstation, Workstation}[i%5]
}

// mix spreads numbers over 64 bits; the same numbers give the same result.
func mix(numbers ...uint64) uint64 {
	var b [32]byte
	h := sha256.New()
	for _, n := range numbers {
		binary.BigEndian.PutUint64(b[:], n)
		h.Write(b[:8])
	}
	return binary.BigEndian.Uint64(h.Sum(b[:0]))
}

func newHost(seed uint64, number int, role Role, ordinal int) *Host {
	h := &Host{
		Number: number, Role: role, Domain: dnsDomain, key: mix(seed, uint64(number)),
		Address: fmt.Sprintf("10.20.%d.%d", 1+number/200, 11+number%200),
	}
	r := rand.New(rand.NewPCG(h.key, 1))
	h.guid, h.phase = fmt.Sprintf("%08x", r.Uint32()), 25+r.IntN(30)
	domain := domainSID(seed)
	person := people[r.IntN(len(people))]
	switch role {
	case DomainController:
		h.Name, h.OS, h.Build, person = "DC-01", "Windows Server 2022", 20348, "svc-dirsync"
	case Server:
		h.Name, h.OS, h.Build, person = fmt.Sprintf("SRV-%02d", ordinal), "Windows Server 2019", 17763, "svc-app"
	case PointOfSale:
		store, till := 101+(ordinal-1)/3, 1+(ordinal-1)%3
		h.Name, h.OS, h.Build = fmt.Sprintf("POS-%04d-%02d", store, till), "Windows 10 IoT Enterprise", 19044
		person = fmt.Sprintf("till%04d%02d", store, till)
	default:
		h.Name, h.OS, h.Build = fmt.Sprintf("WS-%03d", ordinal), "Windows 11 Enterprise", 26100
		h.nightly = ordinal%2 == 0
	}
	h.OSVersion = fmt.Sprintf("10.0.%d", h.Build)
	h.user = account{person, fmt.Sprintf("%s-%d", domain, 1200+number)}
	h.machine = account{h.Name + "$", fmt.Sprintf("%s-%d", domain, 3000+number)}
	h.admin = account{"it.adm", domain + "-1105"}
	return h
}

func domainSID(seed uint64) string {
	d := mix(seed, 0x5d)
	return fmt.Sprintf("S-1-5-21-%d-%d-%d", 1e9+d%1e9, 1e8+d>>16%1e9, 1e9+d>>32%1e9)
}

var people = []string{
	"anna.berg", "omar.haddad", "lucia.romero", "jan.novak", "mei.tanaka", "paul.weber", "sara.lind", "ivo.marin",
	"nora.daly", "tom.fischer", "eva.kral", "luis.pinto", "ada.moreau", "kofi.mensah", "rita.silva", "max.vogel",
}

// FQDN is the computer name as records give it.
func (h *Host) FQDN() string { return h.Name + "." + h.Domain }

// rng returns the generator of a purpose; the same purpose gives the same one.
func (h *Host) rng(purpose, number uint64) *rand.Rand {
	return rand.New(rand.NewPCG(h.key^purpose*0x9e3779b97f4a7c15, number))
}

// uuid makes a UUID of a purpose.
func (h *Host) uuid(purpose, number uint64) string {
	r := h.rng(purpose, number)
	hi, lo := r.Uint64(), r.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xfff, 0x8000|lo>>48&0x3fff, lo&0xffffffffffff)
}

// bootID names a run of the operating system.
func (h *Host) bootID(boot uint32) string { return h.uuid(purposeBoot, uint64(boot)) }

// Purposes keep the random numbers of unlike things apart.
const (
	purposeMinute = iota + 1
	purposeBoot
	purposeHardware
	purposeMachine
	purposeNight
	purposeDay
	purposeDetection
)
