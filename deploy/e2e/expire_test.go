package e2e

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/assay-audit/assay/proto/evidence"
)

// TestExpiredCertificates gives agents certificates of the past: one that can
// still be renewed by the same key, one that no longer can.
func TestExpiredCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := generate(t, w.path("logs"), 1, 400)
	away, gone := w.enrol(t, "away", "enrol", "import"), w.enrol(t, "gone", "enrol", "import")
	undo := []func(){w.age(t, away, 5*time.Minute), w.age(t, gone, 120*24*time.Hour)}

	clear(t, run(t, promptly, "assay-agent", "import", "--dir", gone.dir, made.folders[0]), "expired", "assay-agent enrol", gone.dir)
	if r := away.startImport(t, made.folders...).result(t, 0); r.New != made.total {
		t.Errorf("%d of %d records were imported", r.New, made.total)
	}
	mustRun(t, promptly, "assay-agent", w.enrolArgs(gone.dir, w.token(t, "again", "enrol", "import"))...)
	if r := gone.startImport(t, made.folders...).result(t, 0); r.New != made.total {
		t.Errorf("enrolled again, %d of %d records were imported", r.New, made.total)
	}
	if n := w.number(t, `SELECT count(*) FROM batch b JOIN certificate c ON c.serial = b.certificate_serial WHERE c.not_after < b.received_at`); n != 0 {
		t.Errorf("%d batches came by an expired certificate", n)
	}
	if n := w.number(t, `SELECT count(*) FROM leaf WHERE kind = $1`, int16(evidence.LeafCertificate)); n != 4 {
		t.Errorf("%d certificates are in the ledger, want 4: two at first, one renewed, one anew", n)
	}
	for _, do := range undo { // the ledger knows the certificates as they were issued
		do()
	}
	twice := &logs{count: map[eventKey]int64{}}
	for key, n := range made.count {
		twice.count[key] = 2 * n // of two agents, whose imported hosts are apart
	}
	w.holds(t, twice)
}

// age replaces an agent's certificate by the same with a life that ended so long
// ago, signed by the CA, on both sides. The ledger keeps what was recorded; undo makes
// the row say so again.
func (w *world) age(t *testing.T, a *agent, ago time.Duration) (undo func()) {
	t.Helper()
	path := filepath.Join(a.dir, "identity.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var identity map[string]any
	decode(t, string(raw), &identity)
	var only struct{ Certificate []byte }
	decode(t, string(raw), &only)
	old, err := x509.ParseCertificate(only.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(w.pem(t, "issuing.key"))
	if err != nil {
		t.Fatal(err)
	}
	issuing, err := x509.ParseCertificate(w.pem(t, "issuing.crt"))
	if err != nil {
		t.Fatal(err)
	}
	// A renewal is judged at the certificate's last moment, when the CA, which is
	// as young as the drill, must have been valid.
	aged := *old
	aged.NotAfter = time.Now().Add(-ago).UTC().Truncate(time.Second)
	aged.NotBefore = aged.NotAfter.Add(-24 * time.Hour)
	if issuing.NotBefore.After(aged.NotBefore) && issuing.NotBefore.Before(aged.NotAfter) {
		aged.NotBefore = issuing.NotBefore
	}
	der, err := x509.CreateCertificate(rand.Reader, &aged, issuing, old.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	identity["certificate"] = der
	text, err := json.Marshal(identity)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	replace := func(was, is []byte, from, to time.Time) {
		tag, err := w.pool.Exec(t.Context(), `UPDATE certificate SET der = $2, not_before = $3, not_after = $4 WHERE der = $1`, was, is, from, to)
		if err != nil || tag.RowsAffected() != 1 {
			t.Fatalf("ageing a certificate: %d rows, %v", tag.RowsAffected(), err)
		}
	}
	replace(old.Raw, der, aged.NotBefore, aged.NotAfter)
	return func() { replace(der, old.Raw, old.NotBefore, old.NotAfter) }
}

// pem is the one block of a file of keys.
func (w *world) pem(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(w.path("keys"), name))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		t.Fatalf("%s holds no PEM", name)
	}
	return block.Bytes
}
