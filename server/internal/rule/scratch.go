package rule

import "strconv"

// Scratch is the working memory of Match. The zero value is ready. It belongs
// to one goroutine at a time and grows to what the largest event needed.
type Scratch struct {
	set *Set
	ev  Event

	// values are the event's fields, then system fields as they are asked for.
	values []value
	// slots are the values of each numbered field.
	slots []slot
	// used are the slots to clear for the next event.
	used []int32
	// data is the number of values that are the event's own fields.
	data int
	// arena holds the folded texts; name a field name without spaces.
	arena []byte
	name  []byte
	dash  []byte
	// words and wordsEnd bound the system values that only keywords see; both
	// are zero until they are loaded.
	words, wordsEnd int
	// ids are event ids as texts.
	ids map[uint32]string

	yield   func(name, value string) bool
	matched []int32
	// picked are the programs to evaluate.
	picked []int32
	// masks (by program) and seen (by pattern) hold what this event has shown,
	// where their stamp is that of the event.
	masks []mask
	seen  []uint32
	stamp uint32
}

// mask is the sets of a program's literals that were found.
type mask struct {
	stamp uint32
	sets  uint8
}

// value is one field value of the event and its forms, made when first needed.
type value struct {
	raw    string
	folded []byte
	// next is the next value of the same field, -1 at the end.
	next   int32
	folds  bool // folded is made
	dashes bool // holds a dash beyond ASCII; known once folds
}

// slot is a numbered field: its first and last value, or none.
type slot struct {
	first, last int32 // index into values plus one; zero is none
	asked       bool  // SystemField was asked
}

// maxIDTexts bounds the texts of event ids that are kept: Windows has a few
// thousand, an attacker four billion.
const maxIDTexts = 4096

// maxArena is what a Scratch keeps between events: one event of a few megabytes
// must not pin memory for the life of a worker.
const maxArena = 1 << 20

// load takes in an event.
func (sc *Scratch) load(s *Set, ev Event) {
	if sc.set != s {
		*sc = Scratch{set: s, slots: make([]slot, len(s.names)), ids: map[uint32]string{},
			masks: make([]mask, len(s.programs)), seen: make([]uint32, s.patterns)}
		sc.yield = sc.take
	}
	for _, f := range sc.used {
		sc.slots[f] = slot{}
	}
	sc.used, sc.values = sc.used[:0], sc.values[:0]
	sc.words, sc.wordsEnd = 0, 0
	if sc.stamp++; sc.stamp == 0 {
		clear(sc.masks)
		clear(sc.seen)
		sc.stamp = 1
	}
	if sc.arena = sc.arena[:0]; cap(sc.arena) > maxArena {
		sc.arena = nil
	}
	sc.ev = ev
	ev.Fields(sc.yield)
	sc.data = len(sc.values)
	sc.set.loadFixed(sc)
}

// release forgets the event, so that the Scratch keeps no caller's memory.
func (sc *Scratch) release() {
	sc.ev = nil
	clear(sc.values)
}

// take is handed each field of the event.
func (sc *Scratch) take(name, val string) bool {
	if name == "" {
		name = fieldData
	}
	id, known := sc.set.fields[name]
	if !known {
		id, known = sc.unspaced(name)
	} else if sc.set.system[id] && (name == fieldEventID || name == fieldProvider) {
		known = false // only the system's own answers
	}
	sc.values = append(sc.values, value{raw: val, next: -1})
	if known {
		sc.link(id)
	}
	return true
}

// unspaced looks a name up without its spaces.
func (sc *Scratch) unspaced(name string) (int32, bool) {
	spaces := false
	sc.name = sc.name[:0]
	for i := range len(name) {
		if name[i] == ' ' {
			spaces = true
			continue
		}
		sc.name = append(sc.name, name[i])
	}
	if !spaces {
		return 0, false
	}
	id, ok := sc.set.fields[string(sc.name)]
	return id, ok
}

// link makes the last value one of the field's.
func (sc *Scratch) link(field int32) {
	s := &sc.slots[field]
	at := int32(len(sc.values))
	if s.first == 0 {
		sc.used = append(sc.used, field)
		s.first = at
	} else {
		sc.values[s.last-1].next = at - 1
	}
	s.last = at
}

// loadFixed sets the two system fields that the event's data never hides.
func (s *Set) loadFixed(sc *Scratch) {
	if id, ok := s.fields[fieldEventID]; ok {
		sc.values = append(sc.values, value{raw: sc.idText(sc.ev.EventID()), next: -1})
		sc.link(id)
	}
	if id, ok := s.fields[fieldProvider]; ok {
		sc.values = append(sc.values, value{raw: sc.ev.Provider(), next: -1})
		sc.link(id)
	}
}

// idText writes an event id in decimal.
func (sc *Scratch) idText(id uint32) string {
	s, ok := sc.ids[id]
	if !ok {
		s = strconv.FormatUint(uint64(id), 10)
		if len(sc.ids) < maxIDTexts {
			sc.ids[id] = s
		}
	}
	return s
}

// first returns the index of the field's first value, -1 if it has none.
func (sc *Scratch) first(field int32) int32 {
	s := &sc.slots[field]
	if s.first == 0 && sc.set.system[field] && !s.asked {
		sc.askSystem(field)
	}
	return s.first - 1
}

func (sc *Scratch) askSystem(field int32) {
	s := &sc.slots[field]
	s.asked = true
	sc.used = append(sc.used, field)
	val, ok := "", false
	if name := sc.set.names[field]; name == fieldChannel {
		val, ok = sc.ev.Channel(), true
	} else {
		val, ok = sc.ev.SystemField(name)
	}
	if ok {
		sc.values = append(sc.values, value{raw: val, next: -1})
		sc.link(field)
	}
}

// text returns a value in the form a matcher compares with. The result is valid
// until the next call.
func (sc *Scratch) text(v *value, form variant) []byte {
	if form == 0 {
		return sc.folded(v)
	}
	if form&variantRaw != 0 {
		sc.dash = append(sc.dash[:0], v.raw...)
	} else {
		sc.dash = append(sc.dash[:0], sc.folded(v)...)
	}
	if form&variantDashed != 0 {
		// Dashing never lengthens, so it may overwrite its source.
		sc.dash = appendDashed(sc.dash[:0], sc.dash)
	}
	return sc.dash
}

// folded returns the value's folded text, made once per event.
func (sc *Scratch) folded(v *value) []byte {
	if !v.folds {
		at := len(sc.arena)
		sc.arena, v.dashes = sc.set.fold.append(sc.arena, v.raw)
		v.folded, v.folds = sc.arena[at:len(sc.arena):len(sc.arena)], true
	}
	return v.folded
}
