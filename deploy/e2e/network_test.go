package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// link joins a site to where the drill runs.
type link struct {
	name        string       // of both ends' interfaces, but for a prefix on ours
	here, there netip.Prefix // our end's address and the site's
}

// site is a network namespace: a machine of its own with two network cards.
type site struct {
	name  string
	front link // to whoever calls the server there
	back  link // to the database
}

// newSites makes so many namespaces, or skips the drill where that is not
// allowed. They go when the test ends.
func newSites(t *testing.T, count int) []*site {
	t.Helper()
	needNetworks(t)
	tag, subnet := fmt.Sprintf("as%04x", rand.IntN(1<<16)), freeSubnet(t)
	sites := make([]*site, count)
	for i := range sites {
		s := &site{name: fmt.Sprintf("%s-%d", tag, i)}
		s.front, s.back = subnet.link("front", 2*i), subnet.link("back", 2*i+1)
		command(t, "ip", "netns", "add", s.name)
		t.Cleanup(func() { command(t, "ip", "netns", "del", s.name) })
		s.inside(t, "ip", "link", "set", "lo", "up")
		for n, l := range []link{s.front, s.back} {
			ours := fmt.Sprintf("%s%d%c", tag, i, "fb"[n])
			command(t, "ip", "link", "add", ours, "type", "veth", "peer", "name", l.name, "netns", s.name)
			command(t, "ip", "addr", "add", l.here.String(), "dev", ours)
			command(t, "ip", "link", "set", ours, "up")
			s.inside(t, "ip", "addr", "add", l.there.String(), "dev", l.name)
			s.inside(t, "ip", "link", "set", l.name, "up")
		}
		sites[i] = s
	}
	return sites
}

// needNetworks skips the drill where no namespace can be made, but fails in CI.
func needNetworks(t *testing.T) {
	t.Helper()
	missing := ""
	for _, name := range []string{"ip", "iptables", "haproxy"} {
		if _, err := exec.LookPath(name); err != nil {
			missing = name + " is not installed (deploy/setup test)"
		}
	}
	if os.Geteuid() != 0 {
		missing = "only root makes network namespaces"
	}
	if missing != "" {
		lacking(t, missing)
	}
}

// lacking skips a drill for which something is missing here. CI has to bring it.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// subnet is a /24 that no interface here is in.
type subnet [3]byte

func freeSubnet(t *testing.T) subnet {
	t.Helper()
	taken, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		s := subnet{10, 231, byte(rand.IntN(256))}
		if !slices.ContainsFunc(taken, func(a net.Addr) bool {
			return strings.HasPrefix(a.String(), fmt.Sprintf("%d.%d.%d.", s[0], s[1], s[2]))
		}) {
			return s
		}
	}
	t.Fatal("no free subnet was found")
	return subnet{}
}

// link is the nth of the subnet's /30 networks.
func (s subnet) link(name string, n int) link {
	at := func(host int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{s[0], s[1], s[2], byte(4*n + host)}), 30)
	}
	return link{name: name, here: at(1), there: at(2)}
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// inside runs a command in the namespace.
func (s *site) inside(t *testing.T, name string, args ...string) {
	t.Helper()
	command(t, "ip", append([]string{"netns", "exec", s.name, name}, args...)...)
}

// cut makes the links drop everything, without a word to either end.
func (s *site) cut(t *testing.T, links ...link) { s.filter(t, "-I", links) }

// mend undoes cut.
func (s *site) mend(t *testing.T, links ...link) { s.filter(t, "-D", links) }

func (s *site) filter(t *testing.T, what string, links []link) {
	t.Helper()
	for _, l := range links {
		s.inside(t, "iptables", "-w", what, "INPUT", "-i", l.name, "-j", "DROP")
		s.inside(t, "iptables", "-w", what, "OUTPUT", "-o", l.name, "-j", "DROP")
	}
}
