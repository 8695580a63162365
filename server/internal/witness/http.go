package witness

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"

	"github.com/assay-audit/assay/proto/evidence"
)

// sizeType is the media type of a size, with which a witness says where it is.
const sizeType = "text/x.tlog.size"

// Handler answers POST /add-checkpoint (C2SP tlog-witness).
func (w *Witness) Handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", func(out http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(out, r.Body, maxRequest))
		if err != nil {
			http.Error(out, "the request is too large or was cut short", http.StatusBadRequest)
			return
		}
		line, err := w.answer(body)
		var size *SizeError
		switch {
		case errors.As(err, &size):
			out.Header().Set("Content-Type", sizeType)
			out.WriteHeader(http.StatusConflict)
			_, _ = fmt.Fprintf(out, "%d\n", size.Size) // who went away is told by nothing
		case err != nil:
			log.WarnContext(r.Context(), "not cosigned", "origin", originOfRequest(body), "error", err.Error())
			http.Error(out, err.Error(), statusOf(err))
		default:
			log.InfoContext(r.Context(), "cosigned", "origin", originOfRequest(body))
			_, _ = io.WriteString(out, line)
		}
	})
	return mux
}

func (w *Witness) answer(body []byte) (string, error) {
	old, proof, signed, err := ParseRequest(body)
	if err != nil {
		return "", err
	}
	return w.Add(old, proof, signed)
}

func statusOf(err error) int {
	var fork *ForkError
	switch {
	case errors.Is(err, ErrUnknownLog):
		return http.StatusNotFound
	case errors.Is(err, ErrSignature):
		return http.StatusForbidden
	case errors.Is(err, ErrProof):
		return http.StatusUnprocessableEntity
	case errors.As(err, &fork):
		return http.StatusConflict
	case errors.Is(err, evidence.ErrMalformed):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

func originOfRequest(body []byte) string {
	_, _, signed, err := ParseRequest(body)
	if err != nil {
		return ""
	}
	return originOf(signed)
}

// ParseRequest reads the body of add-checkpoint: a line with the old size, the
// proof's hashes in lines, an empty line, the note.
func ParseRequest(body []byte) (old int64, proof []evidence.Hash, signed []byte, err error) {
	head, signed, found := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	size, isOld := strings.CutPrefix(lines[0], "old ")
	if !found || !isOld || len(lines)-1 > maxProof || len(signed) > maxNote {
		return 0, nil, nil, fmt.Errorf("%w: add-checkpoint request", evidence.ErrMalformed)
	}
	old, err = strconv.ParseInt(size, 10, 64)
	if err != nil || old < 0 || strconv.FormatInt(old, 10) != size {
		return 0, nil, nil, fmt.Errorf("%w: old size %q", evidence.ErrMalformed, size)
	}
	for _, line := range lines[1:] {
		raw, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(raw) != len(evidence.Hash{}) {
			return 0, nil, nil, fmt.Errorf("%w: proof line %q", evidence.ErrMalformed, line)
		}
		proof = append(proof, evidence.Hash(raw))
	}
	return old, proof, signed, nil
}

// FormatRequest is the inverse of ParseRequest.
func FormatRequest(old int64, proof []evidence.Hash, signed []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", old)
	for _, hash := range proof {
		b.WriteString(base64.StdEncoding.EncodeToString(hash[:]) + "\n")
	}
	b.WriteByte('\n')
	b.Write(signed)
	return b.Bytes()
}

// Peer is a witness that is asked, or only believed.
type Peer struct {
	// URL is the prefix of its add-checkpoint; empty: it brings its cosignatures.
	URL string
	// Key is its verifier key in note format.
	Key      string
	verifier *torchwood.CosignatureVerifier
}

// NewPeer reads "URL KEY", or KEY alone.
func NewPeer(text string) (*Peer, error) {
	fields := strings.Fields(text)
	p := &Peer{}
	switch len(fields) {
	case 1:
		p.Key = fields[0]
	case 2:
		p.URL, p.Key = strings.TrimSuffix(fields[0], "/"), fields[1]
		if !strings.HasPrefix(p.URL, "https://") && !strings.HasPrefix(p.URL, "http://") {
			return nil, fmt.Errorf("reading witness %q: %q is no URL", text, fields[0])
		}
	default:
		return nil, fmt.Errorf("reading witness %q: write \"URL KEY\", or KEY alone", text)
	}
	var err error
	if p.verifier, err = torchwood.NewCosignatureVerifier(p.Key); err != nil {
		return nil, fmt.Errorf("reading witness %q: the key is not one of cosignatures: %w", text, err)
	}
	return p, nil
}

// Name is the witness's name.
func (p *Peer) Name() string { return p.verifier.Name() }

// Verify finds the witness's line among those given (the lines of signatures
// under a note) and verifies it over the checkpoint. It returns the line alone
// and when it was signed.
func (p *Peer) Verify(c evidence.Checkpoint, lines string) (line string, at time.Time, err error) {
	if len(lines) > maxResponse {
		return "", at, fmt.Errorf("%w: cosignatures of %d bytes", evidence.ErrMalformed, len(lines))
	}
	opened, err := note.Open([]byte(c.Text()+"\n"+lines), note.VerifierList(p.verifier))
	if err != nil {
		return "", at, fmt.Errorf("%w: no cosignature of %s: %w", evidence.ErrMalformed, p.Name(), err)
	}
	signature := opened.Sigs[0]
	if _, err := base64.StdEncoding.Strict().DecodeString(signature.Base64); err != nil {
		return "", at, fmt.Errorf("%w: the cosignature of %s is not canonical base64", evidence.ErrMalformed, p.Name())
	}
	seconds, err := torchwood.CosignatureTimestamp(signature)
	if err != nil {
		return "", at, fmt.Errorf("%w: the cosignature of %s: %w", evidence.ErrMalformed, p.Name(), err)
	}
	return "\u2014 " + signature.Name + " " + signature.Base64 + "\n", time.Unix(seconds, 0).UTC(), nil
}

// Ask asks the witness to cosign. A SizeError says from which size the proof
// must begin.
func (p *Peer) Ask(ctx context.Context, client *http.Client, old int64, proof []evidence.Hash, signed []byte) (lines string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL+"/add-checkpoint", bytes.NewReader(FormatRequest(old, proof, signed)))
	if err != nil {
		return "", fmt.Errorf("asking witness %s: %w", p.Name(), err)
	}
	res, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("asking witness %s: %w", p.Name(), err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxResponse+1))
	if err != nil {
		return "", fmt.Errorf("asking witness %s: %w", p.Name(), err)
	}
	switch {
	case len(body) > maxResponse:
		return "", fmt.Errorf("asking witness %s: its answer is too large", p.Name())
	case res.StatusCode == http.StatusConflict && res.Header.Get("Content-Type") == sizeType:
		size, err := strconv.ParseInt(strings.TrimSpace(string(body)), 10, 64)
		if err != nil || size < 0 {
			return "", fmt.Errorf("asking witness %s: it says that it has signed %q leaves", p.Name(), body)
		}
		return "", &SizeError{size}
	case res.StatusCode != http.StatusOK:
		return "", fmt.Errorf("asking witness %s: %s: %s", p.Name(), res.Status, oneLine(body))
	}
	return string(body), nil
}

func oneLine(text []byte) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, string(text[:min(len(text), 300)]))
}
