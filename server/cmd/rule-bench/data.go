package main

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/assay-audit/assay/agent/evtx"
	"github.com/assay-audit/assay/server/internal/rule"
)

// placeholders are what the public rules leave to the site.
var placeholders = rule.Config{Placeholders: map[string][]string{"known_cdcs": {"dc01"}}}

// event is a record as both engines take it.
type event struct {
	rule.FieldsEvent
}

// set is a set of events to be measured.
type set struct {
	name   string
	events []*event
}

// untar hands each regular file of an archive to keep.
func untar(path string, keep func(name string, data []byte) error) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	archive := tar.NewReader(zipped)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		if err := keep(strings.TrimPrefix(header.Name, "./"), data); err != nil {
			return err
		}
	}
}

func readRules(root string) (sources []rule.Source, err error) {
	err = untar(filepath.Join(root, "sigma", "sigmahq-rules.tar.gz"), func(name string, data []byte) error {
		if strings.HasPrefix(name, "rules") && strings.HasSuffix(name, ".yml") {
			sources = append(sources, rule.Source{Name: name, Data: data})
		}
		return nil
	})
	return sources, err
}

func readSets(root string) ([]set, error) {
	records, err := readLogs(filepath.Join(root, "evtx.tar.gz"))
	if err != nil {
		return nil, err
	}
	attacks, err := readAttacks(filepath.Join(root, "otrf"))
	if err != nil {
		return nil, err
	}
	var starts []*event
	for _, ev := range records {
		if ev.ID == 1 && ev.ChannelName == "Microsoft-Windows-Sysmon/Operational" {
			starts = append(starts, ev)
		}
	}
	return []set{{"evtx", records}, {"sysmon1", starts}, {"otrf", attacks}}, nil
}

func readLogs(path string) (events []*event, err error) {
	err = untar(path, func(name string, data []byte) error {
		file, err := evtx.Open(bytes.NewReader(data), int64(len(data)), evtx.Options{})
		if errors.Is(err, evtx.ErrNotEVTX) {
			return nil
		}
		for err == nil {
			var ev *event
			if ev, err = nextRecord(file); err == nil {
				events = append(events, ev)
			}
		}
		if !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		return nil
	})
	return events, err
}

func nextRecord(file *evtx.File) (*event, error) {
	r, _, err := file.Next()
	if err != nil {
		return nil, err
	}
	ev := &event{rule.FieldsEvent{ProviderName: r.Provider, ChannelName: r.Channel, ID: r.EventID, System: []rule.Field{
		{Name: "Computer", Value: r.Computer}, {Name: "Level", Value: strconv.Itoa(int(r.Level))},
		{Name: "Keywords", Value: "0x" + strconv.FormatUint(r.Keywords, 16)}, {Name: "Security_UserID", Value: r.UserSID},
	}}}
	for _, f := range r.Fields() {
		ev.Data = append(ev.Data, rule.Field{Name: f.Name, Value: f.Value})
	}
	return ev, nil
}

// readAttacks reads the recorded attacks: zipped JSON lines of flat records.
func readAttacks(dir string) (events []*event, err error) {
	archives, err := filepath.Glob(filepath.Join(dir, "*.zip"))
	if err != nil || len(archives) == 0 {
		return nil, errors.Join(err, fmt.Errorf("no recorded attacks are in %s", dir))
	}
	for _, path := range archives {
		archive, err := zip.OpenReader(path)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		for _, f := range archive.File {
			if !strings.HasSuffix(f.Name, ".json") || strings.HasPrefix(filepath.Base(f.Name), "._") {
				continue
			}
			if events, err = appendLines(events, f); err != nil {
				return nil, errors.Join(fmt.Errorf("reading %s: %w", path, err), archive.Close())
			}
		}
		if err := archive.Close(); err != nil {
			return nil, err
		}
	}
	return events, nil
}

func appendLines(events []*event, f *zip.File) (_ []*event, err error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := bytes.Trim(lines.Bytes(), "\x00 \r")
		if len(line) == 0 {
			continue
		}
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.UseNumber()
		var record map[string]any
		if err := decoder.Decode(&record); err != nil {
			return nil, err
		}
		events = append(events, flat(record))
	}
	return events, lines.Err()
}

// flat makes an event of a record whose values are all at the top.
func flat(record map[string]any) *event {
	ev := &event{}
	for name, v := range record {
		var text string
		switch v := v.(type) {
		case string:
			text = v
		case json.Number:
			text = v.String()
		default:
			continue
		}
		switch name {
		case "EventID":
			id, _ := strconv.ParseUint(text, 10, 32) // what is no number is no event id
			ev.ID = uint32(id)
		case "SourceName":
			ev.ProviderName = text
		case "Channel":
			ev.ChannelName = text
		case "Hostname":
			ev.System = append(ev.System, rule.Field{Name: "Computer", Value: text})
		case "Level", "Keywords", "Task":
			ev.System = append(ev.System, rule.Field{Name: name, Value: text})
		case "Message", "@timestamp", "@version", "tags":
		default:
			ev.Data = append(ev.Data, rule.Field{Name: name, Value: text})
		}
	}
	slices.SortFunc(ev.Data, func(a, b rule.Field) int { return strings.Compare(a.Name, b.Name) })
	return ev
}
