package assay

import "time"

// RebuildID names a rebuild.
type RebuildID [16]byte

func (id RebuildID) String() string { return formatID(id) }

// Rebuild makes a part of the event tables anew from the batches, for received
// days [From, To): From is a Monday. It goes week by week.
type Rebuild struct {
	ID        RebuildID
	From, To  time.Time
	StartedAt time.Time
	StartedBy string
	// Week is the one under way; the next batch that is read of it is at
	// Position, the last before End.
	Week          time.Time
	Position, End uint64
	Events        int64 // written so far
	FinishedAt    time.Time
	// KeepUntil is how long what it brings back beyond the hot period stays.
	KeepUntil time.Time
}

// Days are the received days of the week under way that are rebuilt.
func (r *Rebuild) Days() []time.Time {
	var days []time.Time
	for day := r.Week; day.Before(r.Week.AddDate(0, 0, 7)) && day.Before(r.To); day = day.AddDate(0, 0, 1) {
		days = append(days, day)
	}
	return days
}

// Monday is the first moment of the ISO week that t is in, in UTC.
func Monday(t time.Time) time.Time {
	day := t.UTC().Truncate(24 * time.Hour)
	return day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
}
