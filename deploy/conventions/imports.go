package conventions

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// A layer is a row of packages of which none knows another. A package may import
// the layers below its own.
var layers = [][]string{
	{"proto/assay/agent", "proto/assay/console", "proto/assay/telemetry"},
	{"proto/evidence"},
	{"proto/telemetry"},
	{"server/internal/assay"},
	{
		"server/internal/postgres", "server/internal/ledger", "server/internal/rule", "server/internal/evaluate",
		"server/internal/framework", "server/internal/ca", "server/internal/vault", "server/internal/archive", "server/internal/witness", "server/internal/stamp", "migrations", "web", "agent/winevent",
	},
	{"server/internal/project", "server/internal/ruleimport", "server/internal/lease", "agent/evtx", "agent/filter"},
	{"server/internal/assess", "server/internal/evidence", "server/internal/notify"},
	{"server/internal/cli", "server/internal/agentapi", "server/internal/consoleapi", "server/internal/upkeep"},
	{"deploy", "agent/internal"},
	{"server/cmd", "agent/cmd"},
}

// sideways are the imports within a layer that the table would refuse, each with
// its reason.
var sideways = map[[2]string]string{
	{"proto/assay/console", "proto/assay/telemetry"}:          "an event is shown as it was received",
	{"server/internal/postgres", "migrations"}:                "the schema is applied by the package that owns all SQL",
	{"server/internal/evaluate", "server/internal/framework"}: "a verdict is of a check, and checks are the packs'",
	{"server/internal/archive", "server/internal/postgres"}:   "a segment is written as the rows are that it is read from",
	{"server/internal/ledger", "server/internal/postgres"}:    "the tree grows by comparing what is stored, in one transaction with its checkpoint",
	{"server/internal/ledger", "server/internal/witness"}:     "what a witness signed is verified again as it was when it came",
	{"server/internal/ledger", "server/internal/stamp"}:       "and so is a time-stamp",
}

// testOnly are packages that only tests import, and the benchmark, which is no
// part of the product; they may import what they like.
var testOnly = []string{"server/internal/pgtest", "server/internal/bench", "server/cmd/assay-bench", "agent/internal/servertest"}

// ImportDirection checks direct imports against the table, and that the agent's
// and the server's insides do not know each other. Tests are free.
func ImportDirection(t *Tree) []Problem {
	var found []Problem
	t.imports(func(file *GoFile) bool { return !file.Test }, func(file *GoFile, imported string, line int) {
		folder, ok := internal(imported)
		if !ok {
			return
		}
		if text := forbidden(file.Folder, folder); text != "" {
			found = append(found, Problem{file.Path, line, text})
		}
	})
	return found
}

// forbidden says what is wrong with one direct import, "" when nothing is.
func forbidden(from, to string) string {
	if isTestOnly(to) && !isTestOnly(from) {
		return to + " is for tests only"
	}
	if isTestOnly(from) || from == to {
		return ""
	}
	fromRoot, fromLayer := place(from)
	toRoot, toLayer := place(to)
	switch {
	case fromLayer < 0:
		return from + " has no place in the table of layers: give it one"
	case toLayer < 0:
		return to + " has no place in the table of layers: give it one"
	case within(from, "server") && within(to, "agent/internal", "agent/cmd"):
		return "the server does not import the agent"
	case within(from, "agent") && within(to, "server"):
		return "the agent does not import the server"
	case within(to, "deploy") && !within(from, "deploy", "server/cmd", "agent/cmd"):
		return "deploy is imported by commands only"
	case fromRoot == toRoot || toLayer < fromLayer || sideways[[2]string{fromRoot, toRoot}] != "":
		return ""
	}
	return fmt.Sprintf("%s (layer %d) may not import %s (layer %d)", fromRoot, fromLayer, toRoot, toLayer)
}

// isTestOnly also knows helpers by their name, such as evtxtest.
func isTestOnly(folder string) bool {
	return within(folder, testOnly...) || strings.HasSuffix(path.Base(folder), "test")
}

// place is the entry of the table that a folder belongs to, -1 for none.
func place(folder string) (root string, layer int) {
	for at, row := range layers {
		i := slices.IndexFunc(row, func(root string) bool { return within(folder, root) })
		if i >= 0 {
			return row[i], at
		}
	}
	return "", -1
}

// pure are the packages that compute and nothing else.
var pure = []string{
	"proto", "agent/evtx", "agent/winevent", "agent/filter", "agent/internal/kernel",
	"server/internal/assay", "server/internal/rule", "server/internal/evaluate",
}

// Pure checks that pure packages cannot reach a database, a network or files.
// Generated code and the Windows half of a package are not meant.
func Pure(t *Tree) []Problem {
	var found []Problem
	hand := func(file *GoFile) bool {
		return !file.Test && !file.Generated && within(file.Folder, pure...) && !isTestOnly(file.Folder) &&
			file.Syntax.Name.Name != "main" && !strings.HasSuffix(file.Path, "_windows.go")
	}
	t.imports(hand, func(file *GoFile, imported string, line int) {
		if imported != "net/netip" && within(imported, "net", "os", "github.com/jackc/pgx", "google.golang.org/grpc", "database/sql", "syscall") {
			found = append(found, Problem{file.Path, line, "a pure package may not import " + imported})
		}
	})
	return found
}

// confined says of what must not spread which packages may import it.
var confined = []struct {
	imported string
	to       []string
	why      string
}{
	{"github.com/jackc/pgx", []string{"server/internal/postgres", "server/internal/pgtest", "server/internal/bench", "deploy"}, "pgx stops in postgres"},
	{"database/sql", []string{"server/internal/postgres", "deploy"}, "SQL stops in postgres"},
	{
		Module + "/proto/assay/agent", []string{
			"server/internal/agentapi", "server/internal/bench", "agent/internal/uplink", "agent/internal/enrol", "agent/internal/servertest",
		},
		"messages of agent/v1 stop in agentapi, uplink and enrol",
	},
	{
		Module + "/proto/assay/console", []string{"proto/assay/console", "server/internal/consoleapi", "server/internal/cli"},
		"messages of console/v1 stop in consoleapi and cli",
	},
}

// Confined checks that what belongs to one layer stays there. Tests are free.
func Confined(t *Tree) []Problem {
	var found []Problem
	t.imports(func(file *GoFile) bool { return !file.Test }, func(file *GoFile, imported string, line int) {
		for _, rule := range confined {
			if within(imported, rule.imported) && !within(file.Folder, rule.to...) {
				found = append(found, Problem{file.Path, line, rule.why})
			}
		}
	})
	return found
}
