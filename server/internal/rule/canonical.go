package rule

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Domain separators: a digest of one kind of thing is never one of another.
const (
	domainRule  = "assay rule v1\x00"
	domainRules = "assay rule set v1\x00"
	domainTable = "assay logsource table v1\x00"
)

// appendCanonical appends an unambiguous encoding of an expanded YAML tree:
// kind and tag, then length-prefixed text or counted children. Mappings are
// sorted by key, so key order, comments and style do not show; the order of
// lists does.
func appendCanonical(b []byte, n *yaml.Node) []byte {
	switch n.Kind {
	case yaml.MappingNode:
		b = append(b, 'm')
		b = binary.AppendUvarint(b, uint64(len(n.Content)/2))
		order := make([]int, 0, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			order = append(order, i)
		}
		slices.SortFunc(order, func(x, y int) int {
			return strings.Compare(n.Content[x].Value, n.Content[y].Value)
		})
		for _, i := range order {
			b = appendCanonical(b, n.Content[i])
			b = appendCanonical(b, n.Content[i+1])
		}
	case yaml.SequenceNode:
		b = append(b, 's')
		b = binary.AppendUvarint(b, uint64(len(n.Content)))
		for _, c := range n.Content {
			b = appendCanonical(b, c)
		}
	default:
		b = append(b, 'v')
		b = appendText(b, n.Tag)
		b = appendText(b, n.Value)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// digestOf hashes one document under a domain, followed by further digests.
func digestOf(domain string, doc *yaml.Node, further ...[32]byte) [32]byte {
	b := appendCanonical([]byte(domain), doc)
	for _, f := range further {
		b = append(b, f[:]...)
	}
	return sha256.Sum256(b)
}
