package consoleapi

import (
	"encoding/base64"
	"strconv"
	"strings"

	consolev1 "github.com/assay-audit/assay/proto/assay/console/v1"
	"github.com/assay-audit/assay/server/internal/assay"
)

// Pages have these sizes unless asked otherwise.
const (
	defaultPage = 100
	maxPage     = 500
)

// pageSize is what the caller may have of what it asked for.
func pageSize(page *consolev1.Page) int {
	switch size := page.GetSize(); {
	case size == 0:
		return defaultPage
	case size > maxPage:
		return maxPage
	default:
		return int(size)
	}
}

// window cuts a page out of a list that is held in memory; the token is the
// offset of the next one.
func window[T any](list []T, page *consolev1.Page) (part []T, next string, err error) {
	offset := 0
	if token := page.GetToken(); token != "" {
		fields, err := readToken(token, 1)
		if err != nil {
			return nil, "", err
		}
		offset = int(min(uint64(len(list)), fields[0]))
	}
	end := min(offset+pageSize(page), len(list))
	if end < len(list) {
		next = writeToken(uint64(end))
	}
	return list[offset:end], next, nil
}

func writeToken(fields ...uint64) string {
	texts := make([]string, len(fields))
	for i, f := range fields {
		texts[i] = strconv.FormatUint(f, 36)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(texts, ".")))
}

func readToken(token string, n int) ([]uint64, error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	texts := strings.Split(string(raw), ".")
	if err != nil || len(texts) != n {
		return nil, assay.Errorf(assay.Invalid, "the page token is not one of this list")
	}
	fields := make([]uint64, n)
	for i, t := range texts {
		if fields[i], err = strconv.ParseUint(t, 36, 64); err != nil {
			return nil, assay.Errorf(assay.Invalid, "the page token is not one of this list")
		}
	}
	return fields, nil
}
