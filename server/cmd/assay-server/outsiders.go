package main

import (
	"fmt"
	"os"
	"time"

	"github.com/assay-audit/assay/server/internal/stamp"
	"github.com/assay-audit/assay/server/internal/witness"
)

// askWithin bounds a request to a witness or an authority.
const askWithin = 30 * time.Second

// outsiders are those who vouch for the ledger and are not the server.
type outsiders struct {
	Witness      []string      `help:"A witness: \"URL KEY\" is asked for cosignatures (C2SP tlog-witness), KEY alone brings them by itself. May be repeated." env:"ASSAY_WITNESS" sep:";" placeholder:"\"URL KEY\""`
	WitnessEvery time.Duration `help:"How often witnesses are asked." default:"1m" env:"ASSAY_WITNESS_EVERY"`
	TimeStamp    string        `help:"Authority that stamps a checkpoint a day (RFC 3161)." env:"ASSAY_TIME_STAMP" placeholder:"URL"`
	TimeStampCA  string        `help:"PEM file with the roots of the authority's certificates." env:"ASSAY_TIME_STAMP_CA" type:"path" placeholder:"FILE"`
}

func (o *outsiders) open() (witnesses []*witness.Peer, authority *stamp.Authority, err error) {
	for _, text := range o.Witness {
		peer, err := witness.NewPeer(text)
		if err != nil {
			return nil, nil, fmt.Errorf("--witness: %w", err)
		}
		witnesses = append(witnesses, peer)
	}
	if o.TimeStamp == "" {
		return witnesses, nil, nil
	}
	if o.TimeStampCA == "" {
		return nil, nil, fmt.Errorf("--time-stamp-ca is missing: without the authority's roots its stamps could not be verified")
	}
	roots, err := os.ReadFile(o.TimeStampCA)
	if err != nil {
		return nil, nil, fmt.Errorf("--time-stamp-ca: %w", err)
	}
	if authority, err = stamp.NewAuthority(o.TimeStamp, roots); err != nil {
		return nil, nil, fmt.Errorf("--time-stamp-ca: %w", err)
	}
	return witnesses, authority, nil
}
